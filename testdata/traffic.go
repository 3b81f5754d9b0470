package main

import (
	"bytes"
	"fmt"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// inFlight is how many connections overlap.
const inFlight = 8

// echo writes connections that say a line, hear it again, and close: handshake, data, echo, close from the client.
// They overlap, so that flows are mixed as on a real link.
func echo(c *capture, n network, connections int) {
	for first := 0; first < connections; first += inFlight {
		var open []*connection
		for i := first; i < min(first+inFlight, connections); i++ {
			open = append(open, &connection{network: n, number: i, port: uint16(32768 + 7*i), client: uint32(1000 * i), server: uint32(77 * i)})
		}
		for _, step := range []func(*capture, *connection){
			func(c *capture, t *connection) { t.say(c, true, "", flags{syn: true}) },
			func(c *capture, t *connection) { t.say(c, false, "", flags{syn: true, ack: true}) },
			func(c *capture, t *connection) { t.say(c, true, "", flags{ack: true}) },
			func(c *capture, t *connection) { t.say(c, true, t.line(), flags{ack: true, psh: true}) },
			func(c *capture, t *connection) { t.say(c, false, t.line(), flags{ack: true, psh: true}) },
			func(c *capture, t *connection) { t.say(c, true, "", flags{ack: true, fin: true}) },
			func(c *capture, t *connection) { t.say(c, false, "", flags{ack: true, fin: true}) },
			func(c *capture, t *connection) { t.say(c, true, "", flags{ack: true}) },
		} {
			for _, t := range open {
				step(c, t)
			}
		}
	}
}

// connection is one TCP connection under way.
type connection struct {
	network        network
	number         int
	port           uint16
	client, server uint32 // next sequence numbers
}

type flags struct{ syn, ack, psh, fin bool }

// line differs in length from connection to connection.
func (t *connection) line() string {
	return fmt.Sprintf("hello %d%s\n", t.number, bytes.Repeat([]byte("."), t.number%40))
}

func (t *connection) say(c *capture, toServer bool, text string, f flags) {
	below := t.network.below(t.number, toServer, layers.IPProtocolTCP)
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(t.port), DstPort: 7, Seq: t.client, Ack: t.server,
		Window: 64240, SYN: f.syn, ACK: f.ack, PSH: f.psh, FIN: f.fin,
	}
	next := &t.client
	if !toServer {
		tcp.SrcPort, tcp.DstPort, tcp.Seq, tcp.Ack = tcp.DstPort, tcp.SrcPort, tcp.Ack, tcp.Seq
		next = &t.server
	}
	if !f.ack {
		tcp.Ack = 0
	}
	*next += uint32(len(text))
	if f.syn || f.fin {
		*next++
	}
	must(tcp.SetNetworkLayerForChecksum(networkLayer(below)))
	c.frame(append(below, tcp, gopacket.Payload(text))...)
}

// questions writes UDP requests, each with its answer.
func questions(c *capture, n network, count int) {
	for i := range count {
		for _, toServer := range []bool{true, false} {
			below := n.below(i, toServer, layers.IPProtocolUDP)
			udp := &layers.UDP{SrcPort: layers.UDPPort(40000 + i), DstPort: 5353}
			if !toServer {
				udp.SrcPort, udp.DstPort = udp.DstPort, udp.SrcPort
			}
			must(udp.SetNetworkLayerForChecksum(networkLayer(below)))
			c.frame(append(below, udp, gopacket.Payload(fmt.Sprintf("question %d", i)))...)
		}
	}
}
