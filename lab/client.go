package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// answerTimeout is how long a client waits for a connection or an answer. A lost SYN is sent again after one second, a
// lost segment after 200 ms: a loss is slow, only an outage fails.
const answerTimeout = 5 * time.Second

// HostPort joins an address and a port.
func HostPort(address string, port int) string { return net.JoinHostPort(address, strconv.Itoa(port)) }

// Dial connects from inside the namespace to an address and port; never to a name, which would be looked up outside.
func (n *Namespace) Dial(network, address string) (c net.Conn, err error) {
	err = n.Do(func() error {
		c, err = net.DialTimeout(network, address, answerTimeout)
		return err
	})
	return c, err
}

// Get sends one HTTP request on a connection of its own and returns who answered.
func (n *Namespace) Get(address string) (string, error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(_ context.Context, network, address string) (net.Conn, error) { return n.Dial(network, address) },
	}
	client := http.Client{Transport: transport, Timeout: answerTimeout}
	response, err := client.Get("http://" + address + "/")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return strings.TrimSpace(string(body)), err
}

// Line is a connection to a line server.
type Line struct {
	net.Conn
	answers *bufio.Reader
}

// DialLine connects to a line server.
func (n *Namespace) DialLine(address string) (*Line, error) {
	c, err := n.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &Line{c, bufio.NewReader(c)}, nil
}

// Ask sends a line and returns who answered.
func (l *Line) Ask(question string) (string, error) {
	if err := l.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(l, question+"\n"); err != nil {
		return "", err
	}
	answer, err := l.answers.ReadString('\n')
	if err != nil {
		return "", err
	}
	return whoSaid(answer, question)
}

// AskDatagram sends one datagram from a new socket and returns who answered. A datagram that is lost stays lost.
func (n *Namespace) AskDatagram(address, question string) (string, error) {
	return n.AskDatagramWithin(answerTimeout, address, question)
}

// AskDatagramWithin is AskDatagram for a client that waits no longer than that.
func (n *Namespace) AskDatagramWithin(patience time.Duration, address, question string) (string, error) {
	c, err := n.Dial("udp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, question); err != nil {
		return "", err
	}
	answer := make([]byte, maxDatagram)
	length, err := c.Read(answer)
	if err != nil {
		return "", err
	}
	return whoSaid(string(answer[:length]), question)
}

// whoSaid takes an answer "NAME QUESTION" apart.
func whoSaid(answer, question string) (string, error) {
	who, echo, _ := strings.Cut(strings.TrimSpace(answer), " ")
	if echo != question {
		return who, fmt.Errorf("%s answered %d bytes that are not the %d of the question", who, len(echo), len(question))
	}
	return who, nil
}
