package lab

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// TestUntouched talks to the load balancer's own addresses while it balances: pings small, large and in fragments, TCP
// in bulk, UDP in fragments.
func TestUntouched(t *testing.T) {
	topology, _ := raiseWhole(t, 1)
	own := &Backend{Namespace: topology.LB, Server: "lb"}
	if _, err := topology.StartServers(own, LBV4.String(), LBV6.String()); err != nil {
		t.Fatal(err)
	}
	for _, address := range []netip.Addr{LBV4, LBV6} {
		t.Run(address.String(), func(t *testing.T) {
			checkServers(t, topology.Client, address.String(), "lb")
			line, err := topology.Client.DialLine(HostPort(address.String(), LinePort))
			if err != nil {
				t.Fatal(err)
			}
			defer line.Close()
			if _, err := line.Ask(strings.Repeat("x", 1<<20)); err != nil {
				t.Errorf("1 MiB: %v", err)
			}
			for _, size := range []int{8, 1400, 4000, 16000} {
				if err := ping(topology.Client, address, size); err != nil {
					t.Errorf("ping with %d bytes: %v", size, err)
				}
			}
		})
	}
}

// ping sends one echo request and expects the reply to hold the same data.
func ping(n *Namespace, to netip.Addr, size int) error {
	network, local, protocol := "ip4:icmp", "0.0.0.0", 1
	var request, reply icmp.Type = ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply
	if to.Is6() {
		network, local, protocol = "ip6:ipv6-icmp", "::", 58
		request, reply = ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	var c *icmp.PacketConn
	err := n.Do(func() (err error) {
		c, err = icmp.ListenPacket(network, local)
		return err
	})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	echo := &icmp.Echo{ID: os.Getpid() & 0xffff, Seq: size, Data: bytes.Repeat([]byte("sluice.."), size/8)}
	packet, err := (&icmp.Message{Type: request, Body: echo}).Marshal(nil)
	if err != nil {
		return err
	}
	if _, err := c.WriteTo(packet, &net.IPAddr{IP: to.AsSlice()}); err != nil {
		return err
	}
	for buffer := make([]byte, maxDatagram); ; {
		length, from, err := c.ReadFrom(buffer)
		if err != nil {
			return err
		}
		m, err := icmp.ParseMessage(protocol, buffer[:length])
		if err != nil {
			return fmt.Errorf("parsing what %s sent: %w", from, err)
		}
		got, ok := m.Body.(*icmp.Echo)
		if !ok || m.Type != reply || got.ID != echo.ID || got.Seq != echo.Seq {
			continue // a neighbour's or somebody else's
		}
		if !bytes.Equal(got.Data, echo.Data) {
			return fmt.Errorf("%s answered with other data", from)
		}
		return nil
	}
}
