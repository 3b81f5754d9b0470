package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// table is what the client and the load balancer see now, one line for each backend.
func (d *demo) table(ctx context.Context) string {
	var text strings.Builder
	fmt.Fprintln(&text)
	if backends, err := d.backends(ctx); err == nil {
		d.describe(&text, backends)
	} else {
		fmt.Fprintln(&text, "  lbd is away; the client goes on and has seen:")
		for i, pool := range pools {
			fmt.Fprintf(&text, "  %s: %v\n", pool, d.requests(i).Answers)
		}
	}
	tally := d.requests(0).Plus(d.requests(1))
	fmt.Fprintf(&text, "  client: %d requests answered, %d failed", tally.Total(), tally.Failures)
	if d.held != nil {
		held := d.held.Tally()
		fmt.Fprintf(&text, "; %d connections held, %d broke, %d moved", held.Held, held.Failures, held.Moved)
	}
	fmt.Fprint(&text, "\n\n")
	return text.String()
}

// describe writes one line for each backend.
func (d *demo) describe(text io.Writer, backends []*sluicev1.BackendStatus) {
	w := tabwriter.NewWriter(text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  BACKEND\tADDRESS\tWEIGHT\tSLOTS\tKEEPS\tANSWERED\tPACKETS\tBYTES\tNEXT HOP")
	for _, b := range backends {
		hop := b.GetNextHop()
		fmt.Fprintf(w, "  %s/%s\t%s\t%d\t%d/%d\t%d\t%d\t%d\t%d\t%s %s %s\n",
			b.GetPool(), b.GetBackend().GetName(), b.GetBackend().GetAddress(), b.GetEffectiveWeight(),
			b.GetSlots(), b.GetPoolSlots(), b.GetKeepsSlots(), d.answered(b.GetPool(), b.GetBackend().GetName()),
			b.GetCounter().GetPackets(), b.GetCounter().GetBytes(),
			hop.GetGateway(), hop.GetMac(), stateName(hop.GetState()))
	}
	_ = w.Flush() // text is in memory
}

// backends asks lbd, which may be dead.
func (d *demo) backends(ctx context.Context) ([]*sluicev1.BackendStatus, error) {
	client, connection, err := d.topology.Dial()
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	answer, err := client.ListBackends(ctx, &sluicev1.ListBackendsRequest{})
	return answer.GetBackends(), err
}

// answered is how many requests a backend of a pool has answered, counted by the client.
func (d *demo) answered(pool, backend string) int {
	for i := range pools {
		if pools[i] == pool {
			return d.requests(i).Answers[backend]
		}
	}
	return 0
}

// stateName is a next hop's state in the words of lbctl.
func stateName(s sluicev1.NextHop_State) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(s.String(), "STATE_")), "_", "-")
}
