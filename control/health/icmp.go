package health

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Types of ICMP messages (RFC 792, RFC 4443).
const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
)

// askICMP sends an echo request and waits for its reply. Each check has a raw socket of its own, connected to the
// backend, so that the kernel sorts the replies; it needs CAP_NET_RAW.
func askICMP(ctx context.Context, t Target, deadline time.Time) (string, error) {
	network, question, answer := "ip4:icmp", byte(echoRequest4), byte(echoReply4)
	if t.Address.Is6() {
		network, question, answer = "ip6:ipv6-icmp", echoRequest6, echoReply6
	}
	d := net.Dialer{Deadline: deadline, Control: reportErrors}
	c, err := d.DialContext(ctx, network, t.Address.String())
	if errors.Is(err, unix.EPERM) {
		return "", fmt.Errorf("open a raw socket: %w (icmp checks need CAP_NET_RAW)", err)
	}
	if err != nil {
		return "", stepError{"connect", err}
	}
	conn := c.(*net.IPConn)
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(deadline); err != nil {
		return "", err
	}
	defer breakOff(ctx, conn)()
	message := echo(question, rand.Uint64(), t.Address)
	if _, err := conn.Write(message); err != nil {
		return "", stepError{"request", err}
	}
	want := bytes.Clone(message)
	want[0] = answer
	return awaitEcho(conn, want)
}

// awaitEcho reads past whatever else the backend sends.
func awaitEcho(conn *net.IPConn, want []byte) (string, error) {
	buf := make([]byte, 1500)
	for {
		n, _, err := conn.ReadFromIP(buf) // not Read, which leaves the IPv4 header on
		if err != nil {
			return "", silenceError{stepError{"reply", err}}
		}
		// All is the same but the checksum, which the kernel has verified.
		if n >= len(want) && bytes.Equal(buf[:2], want[:2]) && bytes.Equal(buf[4:len(want)], want[4:]) {
			return "echo reply", nil
		}
	}
}

// echo is an echo request with a nonce, by which its reply is known. The kernel fills in the checksum for ICMPv6 alone.
func echo(kind byte, nonce uint64, to netip.Addr) []byte {
	m := make([]byte, 16)
	m[0] = kind
	binary.BigEndian.PutUint16(m[4:], uint16(os.Getpid()))
	binary.BigEndian.PutUint16(m[6:], uint16(nonce>>48))
	binary.BigEndian.PutUint64(m[8:], nonce)
	if to.Is4() {
		binary.BigEndian.PutUint16(m[2:], checksum(m))
	}
	return m
}

// checksum is that of RFC 1071, of an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum>>16 + sum&0xffff
	return ^uint16(sum + sum>>16)
}
