package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// capture is an open file of packets.
type capture struct {
	name   string
	file   io.Closer
	source gopacket.PacketDataSource
	// link is the link type of all packets; a pcapng file has one for each packet instead.
	link   *layers.LinkType
	number uint32
}

// captured is one packet of a capture.
type captured struct {
	number uint32
	frame  []byte
	about  string
	// refused is why it cannot be explained; empty where it can.
	refused string
}

var (
	magicGzip   = []byte{0x1f, 0x8b}
	magicPcapng = []byte{0x0a, 0x0d, 0x0d, 0x0a}
)

// openCapture opens FILE or standard input.
func (c *cli) openCapture(name string) (*capture, error) {
	out := &capture{name: documentName(name), file: io.NopCloser(nil)}
	in := c.stdin
	if name != standardInput {
		file, err := c.openFile(name)
		if err != nil {
			return nil, err
		}
		in, out.file = file, file
	}
	if err := out.open(bufio.NewReader(in)); err != nil {
		out.close()
		return nil, fmt.Errorf("capture %q: %w", out.name, err)
	}
	return out, nil
}

func (c *capture) close() { _ = c.file.Close() } // it was only read

func (c *capture) open(r *bufio.Reader) error {
	magic, err := r.Peek(4)
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("too short to be a pcap or pcapng file")
	case err != nil:
		return err
	case bytes.HasPrefix(magic, magicGzip):
		plain, err := gzip.NewReader(r)
		if err != nil {
			return err
		}
		return c.open(bufio.NewReader(plain))
	case bytes.Equal(magic, magicPcapng):
		options := pcapgo.DefaultNgReaderOptions
		options.WantMixedLinkType = true
		if c.source, err = pcapgo.NewNgReader(r, options); err != nil {
			return fmt.Errorf("reading as pcapng: %w", err)
		}
		return nil
	}
	source, err := pcapgo.NewReader(r)
	if err != nil {
		return fmt.Errorf("neither pcap nor pcapng: %w", err)
	}
	link := source.LinkType()
	c.source, c.link = source, &link
	if link != layers.LinkTypeEthernet {
		return fmt.Errorf("link type %s: must be Ethernet (capture on the interface itself, not on \"any\")", link)
	}
	return nil
}

// Sizes of a frame that lbd explains, in bytes.
const minFrame, maxFrame = 14, 3512

// next returns the next packet; io.EOF after the last one.
func (c *capture) next() (captured, error) {
	data, info, err := c.source.ReadPacketData()
	if errors.Is(err, io.EOF) {
		return captured{}, io.EOF
	}
	if err != nil {
		return captured{}, fmt.Errorf("capture %q: after %s: %w", c.name, plural(c.number, "packet"), err)
	}
	c.number++
	p := captured{number: c.number, frame: data, about: fmt.Sprintf("%s, %d bytes", info.Timestamp.UTC().Format("15:04:05.000000"), info.Length)}
	if len(data) < info.Length && info.Length <= maxFrame {
		// Its lengths are to be right; nobody looks at the data.
		p.frame = append(bytes.Clone(data), make([]byte, info.Length-len(data))...)
		p.about += fmt.Sprintf(" of which %d were captured", len(data))
	}
	link := c.link
	if link == nil && len(info.AncillaryData) > 0 {
		if of, ok := info.AncillaryData[0].(layers.LinkType); ok {
			link = &of
		}
	}
	switch {
	case link == nil || *link != layers.LinkTypeEthernet:
		p.refused = "its link type is not Ethernet"
	case len(data) < minFrame || info.Length > maxFrame:
		p.refused = fmt.Sprintf("a frame of %d bytes cannot be explained (must be %d to %d)", info.Length, minFrame, maxFrame)
	}
	return p, nil
}
