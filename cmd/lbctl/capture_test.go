package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// pcap writes frames of a link type, each cut to snap bytes.
func pcap(t *testing.T, link layers.LinkType, snap int, frames ...[]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := pcapgo.NewWriter(&out)
	if err := w.WriteFileHeader(65535, link); err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		kept := f[:min(snap, len(f))]
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: noon, CaptureLength: len(kept), Length: len(f)}, kept); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// pcapng writes the same frame once for each link type, on interfaces of their own.
func pcapng(t *testing.T, frame []byte, links ...layers.LinkType) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := pcapgo.NewNgWriter(&out, links[0])
	if err != nil {
		t.Fatal(err)
	}
	for i, link := range links {
		if i > 0 {
			if _, err := w.AddInterface(pcapgo.NgInterface{Name: link.String(), LinkType: link}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: noon, CaptureLength: len(frame), Length: len(frame), InterfaceIndex: i}, frame); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(data)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// readAll reads a capture from standard input.
func readAll(data []byte) (packets []captured, err error) {
	c := &cli{env: env{stdin: bytes.NewReader(data)}}
	file, err := c.openCapture(standardInput)
	if err != nil {
		return nil, err
	}
	defer file.close()
	for {
		p, err := file.next()
		if errors.Is(err, io.EOF) {
			return packets, nil
		}
		if err != nil {
			return packets, err
		}
		packets = append(packets, p)
	}
}

func TestCaptures(t *testing.T) {
	frame := bytes.Repeat([]byte{7}, 60)
	plain := pcap(t, layers.LinkTypeEthernet, 1<<16, frame, frame)
	for name, row := range map[string]struct {
		data  []byte
		count int
	}{
		"pcap":        {plain, 2},
		"pcap-gz":     {gzipped(t, plain), 2},
		"pcapng":      {pcapng(t, frame, layers.LinkTypeEthernet), 1},
		"pcapng-gz":   {gzipped(t, pcapng(t, frame, layers.LinkTypeEthernet)), 1},
		"no-packets":  {pcap(t, layers.LinkTypeEthernet, 1<<16), 0},
		"gz-of-gz-of": {gzipped(t, gzipped(t, plain)), 2},
	} {
		t.Run(name, func(t *testing.T) {
			packets, err := readAll(row.data)
			if err != nil || len(packets) != row.count {
				t.Fatalf("%d packets, %v; expected %d", len(packets), err, row.count)
			}
			for i, p := range packets {
				if p.number != uint32(i+1) || p.refused != "" || !bytes.Equal(p.frame, frame) || p.about != "12:00:00.000000, 60 bytes" {
					t.Errorf("packet %d: %+v", i+1, p)
				}
			}
		})
	}
}

func TestCapturedPacketsThatAreCutOrRefused(t *testing.T) {
	frame := bytes.Repeat([]byte{7}, 100)
	packets, err := readAll(pcap(t, layers.LinkTypeEthernet, 64, frame, frame[:14], frame[:13], make([]byte, maxFrame), make([]byte, maxFrame+1)))
	if err != nil || len(packets) != 5 {
		t.Fatalf("%d packets, %v", len(packets), err)
	}
	if cut := packets[0]; len(cut.frame) != 100 || cut.frame[63] != 7 || cut.frame[64] != 0 || !strings.HasSuffix(cut.about, "100 bytes of which 64 were captured") {
		t.Errorf("a cut packet: %+v", cut)
	}
	for i, refused := range []bool{false, false, true, false, true} {
		if got := packets[i].refused != ""; got != refused {
			t.Errorf("packet %d of %d bytes: refused %q", i+1, len(packets[i].frame), packets[i].refused)
		}
	}
	packets, err = readAll(pcapng(t, frame, layers.LinkTypeRaw, layers.LinkTypeEthernet, layers.LinkTypeLinuxSLL))
	if err != nil || len(packets) != 3 || packets[0].refused == "" || packets[1].refused != "" || packets[2].refused == "" {
		t.Errorf("packets of three link types: %+v, %v", packets, err)
	}
}

func TestCapturesThatCannotBeRead(t *testing.T) {
	whole := pcap(t, layers.LinkTypeEthernet, 1<<16, make([]byte, 60))
	for name, row := range map[string]struct {
		data []byte
		want string
	}{
		"empty":     {nil, "too short"},
		"text":      {[]byte("version: 1\n"), "neither pcap nor pcapng"},
		"raw-ip":    {pcap(t, layers.LinkTypeRaw, 1<<16, make([]byte, 60)), "must be Ethernet"},
		"cooked":    {pcap(t, layers.LinkTypeLinuxSLL, 1<<16, make([]byte, 60)), "must be Ethernet"},
		"cut":       {whole[:len(whole)-1], "after 0 packets"},
		"gz-broken": {[]byte{0x1f, 0x8b, 0, 0}, "capture"},
	} {
		t.Run(name, func(t *testing.T) {
			if packets, err := readAll(row.data); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%d packets, %v; expected an error with %q", len(packets), err, row.want)
			}
		})
	}
}
