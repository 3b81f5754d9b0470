package bench

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/sluice-lb/sluice/lb"
)

// Capture is a recorded file, read.
type Capture struct {
	// Path is the file's.
	Path    string
	packets []recorded
}

// recorded is one frame of a capture.
type recorded struct {
	frame  []byte // Ethernet, padded or cut to its length on the wire
	header header
	reason string // why there is no header
}

// header is what rewriting needs to know of a frame. Offsets are in bytes from its start.
type header struct {
	kind                Kind
	source, destination netip.AddrPort
	ip, transport       int
	syn, ack            bool
}

// Reasons for which a frame is left out of a stream.
const (
	reasonOther    = "neither TCP nor UDP over IP, or a fragment"
	reasonCut      = "captured without its headers"
	reasonTunnel   = "IP in IP"
	reasonTooLong  = "longer than the replayer's buffer"
	reasonToClient = "server to client"
	reasonNoVIP    = "no VIP of its family and protocol"
)

// ReadCapture reads a file in the formats pcap or pcapng, which may be compressed with gzip. The link type must be
// Ethernet or raw IP.
func ReadCapture(path string) (*Capture, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	c := &Capture{Path: path}
	if err := c.read(bufio.NewReader(file)); err != nil {
		return nil, fmt.Errorf("read capture %q: %w", path, err)
	}
	return c, nil
}

var (
	magicGzip   = []byte{0x1f, 0x8b}
	magicPcapng = []byte{0x0a, 0x0d, 0x0d, 0x0a}
)

func (c *Capture) read(r *bufio.Reader) error {
	magic, err := r.Peek(4)
	if err != nil {
		return fmt.Errorf("not a capture: %w", err)
	}
	if bytes.HasPrefix(magic, magicGzip) {
		plain, err := gzip.NewReader(r)
		if err != nil {
			return err
		}
		return c.read(bufio.NewReader(plain))
	}
	var source interface {
		gopacket.PacketDataSource
		LinkType() layers.LinkType
	}
	if bytes.Equal(magic, magicPcapng) {
		source, err = pcapgo.NewNgReader(r, pcapgo.DefaultNgReaderOptions)
	} else {
		source, err = pcapgo.NewReader(r)
	}
	if err != nil {
		return err
	}
	return c.readFrames(source, source.LinkType())
}

func (c *Capture) readFrames(source gopacket.PacketDataSource, link layers.LinkType) error {
	if link != layers.LinkTypeEthernet && link != layers.LinkTypeRaw {
		return fmt.Errorf("link type %s: must be Ethernet or Raw", link)
	}
	for {
		data, info, err := source.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %d frames: %w", len(c.packets), err)
		}
		length := info.Length
		if link == layers.LinkTypeRaw {
			data, length = withEthernet(data), length+ethernetBytes
		}
		c.add(data, length)
	}
}

// withEthernet puts a frame header before a bare IP packet.
func withEthernet(packet []byte) []byte {
	etherType := uint16(0x0800)
	if len(packet) > 0 && packet[0]>>4 == 6 {
		etherType = 0x86dd
	}
	return append(ethernet(etherType), packet...)
}

// add records a frame as it was on the wire: hosts record what they send before it is padded, and may record only the
// beginning of long frames.
func (c *Capture) add(data []byte, length int) {
	var r recorded
	r.header, r.reason = readHeader(data)
	length = max(length, MinFrame)
	if length > MaxFrame {
		r.reason, length = reasonTooLong, MaxFrame
	}
	r.frame = make([]byte, length)
	copy(r.frame, data)
	c.packets = append(c.packets, r)
}

// readHeader finds addresses and ports, or says why it cannot.
func readHeader(data []byte) (header, string) {
	var h header
	var source, destination netip.Addr
	offset := 0
	packet := gopacket.NewPacket(data, layers.LinkTypeEthernet, gopacket.DecodeOptions{NoCopy: true})
	for _, layer := range packet.Layers() {
		switch l := layer.(type) {
		case *layers.IPv4:
			source, _ = netip.AddrFromSlice(l.SrcIP.To4())
			destination, _ = netip.AddrFromSlice(l.DstIP.To4())
		case *layers.IPv6:
			source, _ = netip.AddrFromSlice(l.SrcIP)
			destination, _ = netip.AddrFromSlice(l.DstIP)
		case *layers.TCP:
			h.kind.Protocol, h.syn, h.ack = lb.TCP, l.SYN, l.ACK
			return h.withPorts(source, destination, uint16(l.SrcPort), uint16(l.DstPort), offset)
		case *layers.UDP:
			h.kind.Protocol = lb.UDP
			return h.withPorts(source, destination, uint16(l.SrcPort), uint16(l.DstPort), offset)
		}
		if id := layer.LayerType(); id == layers.LayerTypeIPv4 || id == layers.LayerTypeIPv6 {
			if h.ip != 0 {
				return h, reasonTunnel
			}
			h.ip = offset
		}
		offset += len(layer.LayerContents())
	}
	if packet.ErrorLayer() != nil && h.ip != 0 {
		return h, reasonCut
	}
	return h, reasonOther
}

func (h header) withPorts(source, destination netip.Addr, from, to uint16, transport int) (header, string) {
	if h.ip == 0 {
		return h, reasonOther
	}
	h.kind.Family = FamilyOf(source)
	h.source, h.destination = netip.AddrPortFrom(source, from), netip.AddrPortFrom(destination, to)
	h.transport = transport
	return h, ""
}

// Kinds are the families and protocols of the capture's conversations, each once.
func (c *Capture) Kinds() []Kind {
	var kinds []Kind
	for _, family := range []Family{IPv4, IPv6} {
		for _, protocol := range lb.Protocols {
			kind := Kind{family, protocol}
			for _, p := range c.packets {
				if p.reason == "" && p.header.kind == kind {
					kinds = append(kinds, kind)
					break
				}
			}
		}
	}
	return kinds
}
