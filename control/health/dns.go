package health

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// maxDNS is the largest answer by UDP that a question without EDNS gets, in bytes (RFC 1035, 4.2.1).
const maxDNS = 512

// askDNS asks for the A records of a name. NOERROR is good, also without records: the server knows the name.
func askDNS(ctx context.Context, t Target, deadline time.Time) (string, error) {
	id := uint16(rand.Uint32())
	question, query, err := dnsQuery(id, t.Check.Query)
	if err != nil {
		return "", err
	}
	d := net.Dialer{Deadline: deadline, Control: reportErrors}
	conn, err := d.DialContext(ctx, "udp", netip.AddrPortFrom(t.Address, t.Check.Port).String())
	if err != nil {
		return "", stepError{"connect", err}
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(deadline); err != nil {
		return "", err
	}
	defer breakOff(ctx, conn)()
	if _, err := conn.Write(query); err != nil {
		return "", stepError{"query", err}
	}
	buf := make([]byte, maxDNS+1)
	for strays := error(nil); ; {
		n, err := conn.Read(buf)
		if err != nil && strays != nil {
			return "", fmt.Errorf("no answer within %s, only %w", t.Check.Timeout, strays)
		}
		if err != nil {
			return "", silenceError{stepError{"answer", err}}
		}
		rcode, err := dnsAnswer(buf[:n], id, question)
		if err != nil {
			strays = err // not to this question: the answer may still come
			continue
		}
		if rcode != dnsmessage.RCodeSuccess {
			return "", fmt.Errorf("answer %s, want NOERROR", rcodeName(rcode))
		}
		return "NOERROR", nil
	}
}

func dnsQuery(id uint16, name string) (dnsmessage.Question, []byte, error) {
	if !strings.HasSuffix(name, ".") {
		name += "."
	}
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return dnsmessage.Question{}, nil, fmt.Errorf("query %q: %w", name, err)
	}
	q := dnsmessage.Question{Name: n, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{q},
	}
	wire, err := m.Pack()
	return q, wire, err
}

// dnsAnswer reads the head of an answer; the error is that it is none to this question.
func dnsAnswer(wire []byte, id uint16, want dnsmessage.Question) (dnsmessage.RCode, error) {
	var p dnsmessage.Parser
	head, err := p.Start(wire)
	if err != nil {
		return 0, fmt.Errorf("what is no DNS message: %w", err)
	}
	if !head.Response || head.ID != id {
		return 0, errors.New("a message that is no answer to this query")
	}
	questions, err := p.AllQuestions()
	if err != nil {
		return 0, fmt.Errorf("what is no DNS message: %w", err)
	}
	// A server may leave the question out of an error (RFC 1035 does not say), never put another in.
	for _, q := range questions {
		if !strings.EqualFold(q.Name.String(), want.Name.String()) || q.Type != want.Type || q.Class != want.Class {
			return 0, errors.New("an answer to another question")
		}
	}
	return head.RCode, nil
}

var rcodeNames = map[dnsmessage.RCode]string{
	dnsmessage.RCodeFormatError: "FORMERR", dnsmessage.RCodeServerFailure: "SERVFAIL", dnsmessage.RCodeNameError: "NXDOMAIN",
	dnsmessage.RCodeNotImplemented: "NOTIMP", dnsmessage.RCodeRefused: "REFUSED",
}

func rcodeName(c dnsmessage.RCode) string {
	if name, ok := rcodeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("code %d", c)
}

// reportErrors makes a datagram socket return the ICMP errors that say the host is unreachable; without it Linux takes
// them for passing trouble.
func reportErrors(network, _ string, c syscall.RawConn) error {
	level, option := unix.SOL_IP, unix.IP_RECVERR
	if strings.HasSuffix(network, "6") || strings.HasPrefix(network, "ip6") {
		level, option = unix.SOL_IPV6, unix.IPV6_RECVERR
	}
	var err error
	if control := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, 1) }); control != nil {
		return control
	}
	return err
}
