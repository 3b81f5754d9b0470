package bench

import (
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/cilium/ebpf"

	"github.com/sluice-lb/sluice/lb"
)

func checkRestored(t *testing.T, name string, s *Stream, program *ebpf.Program, grown int) {
	t.Helper()
	r, err := newReplayer(s, Forms[0])
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.aim(program); err != nil {
		t.Fatal(err)
	}
	// A prime step ends on a different frame in every stream; the last lap is not whole.
	repeat := uint32(s.Len() + 61)
	out := make([]byte, MaxFrame+256)
	result, handled, err := r.run(0, repeat, 0, out)
	if err != nil {
		t.Fatalf("%s, growing by %d: %v", name, grown, err)
	}
	if handled.Laid != uint64(repeat) {
		t.Skipf("a signal interrupted the run; the last frame is not known")
	}
	want := s.Frame(int(repeat-1) % s.Len())
	if got := result.out[grown:]; string(got) != string(want) {
		t.Errorf("%s, growing by %d: frame %d\nwant %x\ngot  %x", name, grown, repeat-1, want, got)
	}
}

func TestFloorSendsValidPackets(t *testing.T) {
	needRoot(t)
	for _, family := range []Family{IPv4, IPv6} {
		programs, err := newFloor(family, Forms[0])
		if err != nil {
			t.Fatal(err)
		}
		defer programs.Close()
		o := FlowOptions{Flows: 50, Sizes: []int{80, 128, 1500}, Family: family, Protocol: lb.TCP}
		err = Walk(Target{Program: programs.Encap}, mustGenerate(t, o).head(200), func(step Step) error {
			if step.Action != lb.ActionTX {
				t.Fatalf("frame %d: action %s, want tx", step.Place, step.Action)
			}
			if want := mustEncap(t, family, step.In); string(want) != string(step.Out) {
				t.Fatalf("frame %d\nwant %x\ngot  %x", step.Place, want, step.Out)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// mustEncap is what the floor should make of a frame, by another hand.
func mustEncap(t *testing.T, family Family, frame []byte) []byte {
	t.Helper()
	inner := gopacket.Payload(frame[ethernetBytes:])
	ethernet := &layers.Ethernet{SrcMAC: stationMAC[:], DstMAC: routerMAC[:], EthernetType: layers.EthernetTypeIPv4}
	var outer gopacket.SerializableLayer = &layers.IPv4{
		Version: 4, TTL: 64, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocolIPv4,
		SrcIP: []byte{10, 0, 0, 1}, DstIP: []byte{10, 0, 0, 2},
	}
	if family == IPv6 {
		ethernet.EthernetType = layers.EthernetTypeIPv6
		source, destination := [16]byte{0: 0xfd, 15: 1}, [16]byte{0: 0xfd, 15: 2}
		outer = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolIPv6, SrcIP: source[:], DstIP: destination[:]}
	}
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buffer, options, ethernet, outer, inner); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}
