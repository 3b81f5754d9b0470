// Command testdata writes the captures that tests and benchmarks read where no recorded ones are at hand. The output is
// the same on every run and every machine.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

func main() {
	dir := flag.String("dir", ".", "directory to write to")
	flag.Parse()
	captures := map[string]func(*capture){
		"echo-v4.pcap": func(c *capture) { echo(c, v4, 500) },
		"echo-v6.pcap": func(c *capture) { echo(c, v6, 500) },
		"udp.pcap":     func(c *capture) { questions(c, v4, 100); questions(c, v6, 100) },
		"mixed.pcap":   mixed,
	}
	for name, make := range captures {
		c := newCapture()
		make(c)
		if err := os.WriteFile(filepath.Join(*dir, name), c.file.Bytes(), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// capture collects frames, a microsecond apart.
type capture struct {
	file   bytes.Buffer
	writer *pcapgo.Writer
	now    time.Time
}

func newCapture() *capture {
	c := &capture{now: time.Unix(1_700_000_000, 0)}
	c.writer = pcapgo.NewWriter(&c.file)
	must(c.writer.WriteFileHeader(65535, layers.LinkTypeEthernet))
	return c
}

// frame appends one frame, with lengths and checksums filled in.
func (c *capture) frame(parts ...gopacket.SerializableLayer) {
	buffer := gopacket.NewSerializeBuffer()
	must(gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...))
	data := buffer.Bytes()
	must(c.writer.WritePacket(gopacket.CaptureInfo{Timestamp: c.now, CaptureLength: len(data), Length: len(data)}, data))
	c.now = c.now.Add(time.Microsecond)
}

// must stops on errors of writing to memory, which are mistakes in this program.
func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("write capture: %v", err))
	}
}
