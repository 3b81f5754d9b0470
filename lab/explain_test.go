package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"google.golang.org/protobuf/proto"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// TestExplainPredicts asks explain who will answer 50 connections before they are opened, in a steady pool and while one of
// its backends is drained. No counter moves for it.
func TestExplainPredicts(t *testing.T) {
	topology, _ := raiseWhole(t, 3)
	client := api(t, topology)
	for _, vip := range firstVIPs {
		t.Run(vip+"/steady", func(t *testing.T) { testPredictions(t, topology, client, vip, 0) })
	}
	for _, pool := range []string{"web", "web6"} {
		if _, err := topology.LBCtl("", "set", "backend", pool+"/web-2", "--admin", "drained"); err != nil {
			t.Fatal(err)
		}
	}
	for _, vip := range firstVIPs {
		t.Run(vip+"/drained", func(t *testing.T) { testPredictions(t, topology, client, vip, 100) })
	}
}

// testPredictions opens 50 connections from ports of its own. Each is explained before it is opened, as its SYN, and again
// while it is open.
func testPredictions(t *testing.T, topology *Topology, client sluicev1.SluiceClient, vip string, firstPort int) {
	const connections = 50
	quiet, err := client.GetStats(context.Background(), &sluicev1.GetStatsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	source := ClientV4
	if netip.MustParseAddr(vip).Is6() {
		source = ClientV6
	}
	inserted := 0
	for i := range connections {
		from := netip.AddrPortFrom(source, uint16(20000+firstPort+i))
		e := explained(t, topology, from, vip, "--syn")
		if i == 0 {
			testExplainCountsNothing(t, client, quiet)
		}
		who, err := askFrom(topology.Client, from, HostPort(vip, LinePort), func() {
			if open := explained(t, topology, from, vip); open.Backend != e.Backend {
				t.Errorf("%s: explained as to %s, and to %s once it was open", from, e.Backend, open.Backend)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := e.Pool + "/" + who; e.Backend != want || e.Verdict != "forwarded" {
			t.Errorf("%s: explained as %s to %s, but %s answered", from, e.Verdict, e.Backend, want)
		}
		if e.Inserted {
			inserted++
		}
		if firstPort != 0 && who == "web-2" {
			t.Errorf("%s: the drained backend answered a new connection", from)
		}
	}
	if (inserted > 0) != (firstPort != 0) {
		t.Errorf("%d of %d new connections would have had an entry", inserted, connections)
	}
}

// explanation is what lbctl explain -o json prints, in part.
type explanation struct {
	Verdict, Pool, Backend string
	Inserted               bool
	ProgramTag             string `json:"program_tag"`
	LiveTag                string `json:"live_tag"`
}

func explained(t *testing.T, topology *Topology, from netip.AddrPort, vip string, flags ...string) explanation {
	t.Helper()
	args := append([]string{"explain", "tcp", from.String(), HostPort(vip, LinePort), "-o", "json"}, flags...)
	out, err := topology.LBCtl("", args...)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Items []explanation }
	if err := json.Unmarshal([]byte(out), &answer); err != nil || len(answer.Items) != 1 {
		t.Fatalf("explain printed %s: %v", out, err)
	}
	e := answer.Items[0]
	if e.ProgramTag == "" || e.ProgramTag != e.LiveTag {
		t.Fatalf("explained by program %q, while %q is live", e.ProgramTag, e.LiveTag)
	}
	return e
}

// askFrom opens a connection from an address and port, asks who is there, calls open, and resets it, so that the port is
// free again at once.
func askFrom(n *Namespace, from netip.AddrPort, to string, open func()) (who string, err error) {
	var c net.Conn
	err = n.Do(func() error {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(from), Timeout: answerTimeout}
		c, err = d.Dial("tcp", to)
		return err
	})
	if err != nil {
		return "", err
	}
	line := &Line{c, bufio.NewReader(c)}
	defer line.Close()
	if who, err = line.Ask("who"); err != nil {
		return "", fmt.Errorf("connection from %s: %w", from, err)
	}
	open()
	if again, err := line.Ask("who"); err != nil || again != who {
		return "", fmt.Errorf("connection from %s: answered by %s, then by %s: %w", from, who, again, err)
	}
	return who, c.(*net.TCPConn).SetLinger(0)
}

// testExplainCountsNothing compares the counters. Neighbour discovery and the like may come in by the interface meanwhile,
// so that only what belongs to VIPs and backends can be compared.
func testExplainCountsNothing(t *testing.T, client sluicev1.SluiceClient, before *sluicev1.GetStatsResponse) {
	t.Helper()
	after, err := client.GetStats(context.Background(), &sluicev1.GetStatsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	after.Time, after.Verdicts, before.Time, before.Verdicts = nil, nil, nil, nil
	if !proto.Equal(before, after) {
		t.Errorf("explain moved counters:\n%v\nbefore:\n%v", after, before)
	}
}
