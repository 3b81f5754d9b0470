package bench

import (
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/sluice-lb/sluice/lb"
)

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
