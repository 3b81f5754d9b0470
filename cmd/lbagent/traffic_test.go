package main

import (
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-lb/sluice/agent/agenttest"
)

const echoPort, uploadPort = 5300, 8000

func vipOf(v6 bool) netip.Addr {
	if v6 {
		return agenttest.VIPv6
	}
	return agenttest.VIPv4
}

func clientOf(v6 bool) netip.Addr {
	if v6 {
		return agenttest.ClientV6
	}
	return agenttest.ClientV4
}

func familyName(v6 bool) string {
	if v6 {
		return "v6"
	}
	return "v4"
}

// serveEcho answers datagrams to a VIP with the ECN field that they were received with and what they said.
func serveEcho(t *testing.T, n *agenttest.Namespace, vip netip.Addr) {
	t.Helper()
	var conn *net.UDPConn
	var err error
	n.Do(t, func() {
		// The VIP may not be there yet: an agent is still to bring it.
		l := net.ListenConfig{Control: control(func(fd int) error { return freeBind(fd, vip) })}
		var c net.PacketConn
		if c, err = l.ListenPacket(t.Context(), "udp", netip.AddrPortFrom(vip, echoPort).String()); err == nil {
			conn = c.(*net.UDPConn)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		data, oob := make([]byte, 2048), make([]byte, 256)
		for {
			n, m, _, from, err := conn.ReadMsgUDPAddrPort(data[1:], oob)
			if err != nil {
				return
			}
			data[0] = ecnOf(oob[:m])
			if _, err := conn.WriteToUDPAddrPort(data[:n+1], from); err != nil {
				continue
			}
		}
	}()
}

func control(f func(fd int) error) func(string, string, syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) { err = f(int(fd)) }); e != nil {
			return e
		}
		return err
	}
}

func freeBind(fd int, vip netip.Addr) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_FREEBIND, 1); err != nil {
		return err
	}
	if vip.Is4() {
		return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_RECVTOS, 1)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVTCLASS, 1)
}

func ecnOf(oob []byte) byte {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0xff
	}
	for _, m := range messages {
		if m.Header.Type == unix.IP_TOS || m.Header.Type == unix.IPV6_TCLASS {
			return m.Data[0] & 3
		}
	}
	return 0xff
}

// client asks over one UDP socket, with an ECN field of its own.
type client struct{ net.Conn }

func mustClient(t *testing.T, lab *agenttest.Lab, v6 bool, ecn int) client {
	t.Helper()
	var conn net.Conn
	var err error
	lab.Client.Do(t, func() {
		d := net.Dialer{
			LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(clientOf(v6), 0)),
			Control: control(func(fd int) error {
				if v6 {
					return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_TCLASS, ecn)
				}
				return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TOS, ecn)
			}),
		}
		conn, err = d.Dial("udp", netip.AddrPortFrom(vipOf(v6), echoPort).String())
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return client{conn}
}

// ask returns the ECN field that the server saw, and whether it answered in time.
func (c client) ask(t *testing.T, question string, patience time.Duration) (byte, bool) {
	t.Helper()
	if _, err := c.Write([]byte(question)); err != nil {
		return 0, false // an ICMP error about an earlier question
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 2048)
	n, err := c.Read(answer)
	if err != nil {
		return 0, false
	}
	if got := string(answer[1:n]); got != question {
		t.Fatalf("question %q was answered by %q", question, got)
	}
	return answer[0], true
}

func (c client) mustAnswer(t *testing.T) {
	t.Helper()
	if _, ok := c.ask(t, "are you there?", 3*time.Second); !ok {
		t.Fatalf("no answer from %v", c.RemoteAddr())
	}
}

// mustListen accepts TCP connections to a VIP and sends each one's length to the channel.
func mustListen(t *testing.T, n *agenttest.Namespace, vip netip.Addr) <-chan int64 {
	t.Helper()
	var l net.Listener
	var err error
	n.Do(t, func() { l, err = net.Listen("tcp", netip.AddrPortFrom(vip, uploadPort).String()) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	received := make(chan int64, 16)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n, _ := io.Copy(io.Discard, conn)
			conn.Close()
			received <- n
		}
	}()
	return received
}

func mustDial(t *testing.T, lab *agenttest.Lab, v6 bool) *net.TCPConn {
	t.Helper()
	var conn net.Conn
	var err error
	lab.Client.Do(t, func() {
		d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(clientOf(v6), 0))}
		conn, err = d.Dial("tcp", netip.AddrPortFrom(vipOf(v6), uploadPort).String())
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}
