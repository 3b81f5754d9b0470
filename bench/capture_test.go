package bench

import (
	"bytes"
	"compress/gzip"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/sluice-lb/sluice/lb"
)

func mustWrite(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestFormatsReadAlike writes one capture in every format that can be read.
func TestFormatsReadAlike(t *testing.T) {
	plain := filepath.Join("..", "testdata", "udp.pcap")
	want := mustRead(t, plain)
	data, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	var zipped, ng, raw bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err = z.Write(data)
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	ngWriter, err := pcapgo.NewNgWriter(&ng, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	rawWriter := pcapgo.NewWriter(&raw)
	if err := rawWriter.WriteFileHeader(65535, layers.LinkTypeRaw); err != nil {
		t.Fatal(err)
	}
	for _, p := range want.packets {
		info := gopacket.CaptureInfo{CaptureLength: len(p.frame), Length: len(p.frame)}
		if err := ngWriter.WritePacket(info, p.frame); err != nil {
			t.Fatal(err)
		}
		info.CaptureLength, info.Length = len(p.frame)-ethernetBytes, len(p.frame)-ethernetBytes
		if err := rawWriter.WritePacket(info, p.frame[ethernetBytes:]); err != nil {
			t.Fatal(err)
		}
	}
	if err := ngWriter.Flush(); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"c.pcap.gz": zipped.Bytes(), "c.pcapng": ng.Bytes(), "c.raw.pcap": raw.Bytes()} {
		got := mustRead(t, mustWrite(t, name, content))
		if len(got.packets) != len(want.packets) {
			t.Fatalf("%s: %d frames, want %d", name, len(got.packets), len(want.packets))
		}
		for i, p := range got.packets {
			if !reflect.DeepEqual(p.header, want.packets[i].header) || !bytes.Equal(p.frame[12:], want.packets[i].frame[12:]) {
				t.Fatalf("%s: frame %d differs", name, i)
			}
		}
	}
}

func TestBadCapturesAreRefused(t *testing.T) {
	var wifi bytes.Buffer
	if err := pcapgo.NewWriter(&wifi).WriteFileHeader(65535, layers.LinkTypeIEEE802_11); err != nil {
		t.Fatal(err)
	}
	cut, err := os.ReadFile(filepath.Join("..", "testdata", "udp.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	for want, data := range map[string][]byte{
		"not a capture":     {},
		"agic":              []byte("this is no capture at all"),
		"must be Ethernet":  wifi.Bytes(),
		"after 399 frames:": cut[:len(cut)-1],
	} {
		if _, err := ReadCapture(mustWrite(t, "bad.pcap", data)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one that says %q", err, want)
		}
	}
}

// TestAimKeepsAllButTheDestination checks every rewritten packet of every capture: checksums by gopacket.
func TestAimKeepsAllButTheDestination(t *testing.T) {
	config := mustConfig(t, Shape{VIPs: 3, Pools: 1, Backends: 1}, allKinds...)
	endpoints := Endpoints(config)
	for _, name := range []string{"echo-v4", "echo-v6", "udp", "mixed"} {
		c := mustRead(t, filepath.Join("..", "testdata", name+".pcap"))
		s, err := c.Aim(endpoints)
		if err != nil {
			t.Fatal(err)
		}
		originals := clientFrames(c)
		if len(originals) != s.Len() {
			t.Fatalf("%s: %d frames, want %d", name, s.Len(), len(originals))
		}
		for i, original := range originals {
			checkAimed(t, original, s.Frame(i), endpoints)
		}
	}
}

// clientFrames are the frames to one of the servers' ports in testdata.
func clientFrames(c *Capture) []recorded {
	var out []recorded
	for _, p := range c.packets {
		if port := p.header.destination.Port(); p.reason == "" && (port == 7 || port == 5353) {
			out = append(out, p)
		}
	}
	return out
}

func checkAimed(t *testing.T, original recorded, frame []byte, endpoints map[Kind][]netip.AddrPort) {
	t.Helper()
	h, reason := readHeader(frame)
	if reason != "" || h.source != original.header.source {
		t.Fatalf("rewritten frame is not readable (%s) or of another source: %x", reason, frame)
	}
	found := false
	for _, e := range endpoints[h.kind] {
		found = found || e == h.destination
	}
	if !found {
		t.Fatalf("rewritten frame goes to %s, which is no VIP", h.destination)
	}
	back := redirect(frame, h, original.header.destination)
	if !bytes.Equal(back, original.frame) {
		t.Fatalf("back and forth\nwant %x\ngot  %x", original.frame, back)
	}
	if want := recompute(t, frame, h); !bytes.Equal(want, frame) {
		t.Fatalf("checksums\nwant %x\ngot  %x", want, frame)
	}
}

// recompute has gopacket calculate the checksums anew.
func recompute(t *testing.T, frame []byte, h header) []byte {
	t.Helper()
	out := bytes.Clone(frame)
	packet := gopacket.NewPacket(out, layers.LinkTypeEthernet, gopacket.Default)
	var parts []gopacket.SerializableLayer
	for _, layer := range packet.Layers() {
		if l, ok := layer.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			if err := l.SetNetworkLayerForChecksum(packet.NetworkLayer()); err != nil {
				t.Fatal(err)
			}
		}
		part, ok := layer.(gopacket.SerializableLayer)
		if !ok || layer.LayerType() == gopacket.LayerTypePayload {
			continue
		}
		parts = append(parts, part)
		if layer.LayerType() == layers.LayerTypeTCP || layer.LayerType() == layers.LayerTypeUDP {
			parts = append(parts, gopacket.Payload(layer.LayerPayload()))
			break
		}
	}
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{ComputeChecksums: true}, parts...); err != nil {
		t.Fatal(err)
	}
	copy(out, buffer.Bytes()) // Ethernet's padding stays
	return out
}

func TestLeftOutFramesAreNamed(t *testing.T) {
	config := mustConfig(t, Shape{VIPs: 1, Pools: 1, Backends: 1}, Kind{IPv4, lb.TCP})
	s, err := mustRead(t, filepath.Join("..", "testdata", "mixed.pcap")).Aim(Endpoints(config))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{
		reasonOther:    1 + 2 + 2,     // ARP, two pings, two fragments
		reasonToClient: 2*20*3 + 10,   // three of eight packets of an echo connection; answers
		reasonNoVIP:    20*5 + 10 + 1, // IPv6 echo, questions, IPv6 with destination options
	}
	if !reflect.DeepEqual(s.LeftOut, want) {
		t.Errorf("left out %v, want %v", s.LeftOut, want)
	}
	if s.Flows != 22 { // echo, VLAN, options
		t.Errorf("%d flows, want 22", s.Flows)
	}
}

func TestClientIsFound(t *testing.T) {
	a, b := netip.MustParseAddrPort("203.0.113.1:40000"), netip.MustParseAddrPort("192.0.2.1:8080")
	low := netip.MustParseAddrPort("192.0.2.1:80")
	packet := func(from, to netip.AddrPort, syn, ack bool) recorded {
		return recorded{header: header{kind: Kind{IPv4, lb.TCP}, source: from, destination: to, syn: syn, ack: ack}}
	}
	for name, c := range map[string]struct {
		packets []recorded
		want    netip.AddrPort
	}{
		"first-packet":                  {[]recorded{packet(b, a, false, true), packet(a, b, false, true)}, b},
		"low-port-beats-first":          {[]recorded{packet(low, a, false, true), packet(a, low, false, true)}, a},
		"syn":                           {[]recorded{packet(b, a, false, true), packet(a, b, true, false)}, a},
		"syn-ack":                       {[]recorded{packet(b, a, true, true)}, a},
		"syn-from-low-port-is-a-client": {[]recorded{packet(low, a, true, false)}, low},
		"first-of-two-syns":             {[]recorded{packet(a, b, true, false), packet(b, a, true, false)}, a},
	} {
		t.Run(name, func(t *testing.T) {
			capture := &Capture{packets: c.packets}
			if got := capture.clients()[c.packets[0].header.conversation()]; got != c.want {
				t.Errorf("client %s, want %s", got, c.want)
			}
		})
	}
}
