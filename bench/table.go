package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// listed is how many pools, and how many backends of a pool, a table lists; JSON has all of them.
const listed = 16

// WriteTable prints the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	r.writeCircumstances(&b)
	r.writeTimes(&b)
	r.writeVerdicts(&b)
	r.writePools(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// columns runs write on a writer that aligns columns.
func columns(b *strings.Builder, write func(w io.Writer)) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	write(w)
	_ = w.Flush() // writing to memory does not fail
}

func (r *Report) writeCircumstances(b *strings.Builder) {
	e := r.Environment
	columns(b, func(w io.Writer) {
		fmt.Fprintf(w, "traffic\t%s\n", r.Traffic.Name)
		fmt.Fprintf(w, "\t%d frames, %d flows, IP %s\n", r.Traffic.Frames, r.Traffic.Flows, r.Traffic.Family)
		for _, reason := range slices.Sorted(maps.Keys(r.Traffic.LeftOut)) {
			fmt.Fprintf(w, "\tleft out: %d frames, %s\n", r.Traffic.LeftOut[reason], reason)
		}
		fmt.Fprintf(w, "program\t%s, fed by a replayer of the form %q\n", r.Target, r.Form)
		fmt.Fprintf(w, "rounds\t%d of %d frames; head restored %d times, length changed %d times\n",
			len(r.Program.Rounds), r.Repeat, r.Buffer.Restored, r.Buffer.Resized)
		fmt.Fprintf(w, "kernel\t%s\n", e.Kernel)
		fmt.Fprintf(w, "cpu\t%s, microcode %s, on CPU %d\n", e.CPU, e.Microcode, e.OnCPU)
		fmt.Fprintf(w, "\t%s\n", e.Mitigations)
	})
}

func (r *Report) writeTimes(b *strings.Builder) {
	b.WriteString("\n")
	columns(b, func(w io.Writer) {
		fmt.Fprint(w, "ns/packet\tmedian\tmin\tmax\tmidmean\tnet\tnet/floor\n")
		line := func(name string, t Timing, net, ratio string) {
			fmt.Fprintf(w, "%s\t%.1f\t%.0f\t%.0f\t%.1f\t%s\t%s\n", name, t.Median, t.Min, t.Max, t.Midmean, net, ratio)
		}
		line("empty", r.Empty, "0.0", "")
		line("floor", r.Floor, fmt.Sprintf("%.1f", r.FloorNet), "1.00")
		line(r.Target, r.Program, fmt.Sprintf("%.1f", r.ProgramNet), fmt.Sprintf("%.2f", r.Ratio))
	})
}

func (r *Report) writeVerdicts(b *strings.Builder) {
	if r.Received == 0 {
		return
	}
	b.WriteString("\n")
	columns(b, func(w io.Writer) {
		fmt.Fprint(w, "verdict\taction\tpackets\tshare\n")
		for _, v := range r.Verdicts {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", v.Verdict, v.Action, v.Packets, percent(float64(v.Packets)/float64(r.Received)))
		}
		fmt.Fprintf(w, "received\t\t%d\t%s\n", r.Received, percent(1))
	})
}

func percent(share float64) string { return fmt.Sprintf("%.2f %%", 100*share) }

func (r *Report) writePools(b *strings.Builder) {
	if len(r.Pools) == 0 {
		return
	}
	b.WriteString("\n")
	columns(b, func(w io.Writer) {
		fmt.Fprint(w, "pool\tbackends\tpackets\tmax/avg\n")
		for _, p := range r.Pools[:min(len(r.Pools), listed)] {
			fmt.Fprintf(w, "%s\t%d\t%d\t%.3f\n", p.Pool, len(p.Backends), p.Packets, p.MaxOverAverage)
		}
	})
	if more := len(r.Pools) - listed; more > 0 {
		fmt.Fprintf(b, "(and %d more pools; -o json lists them)\n", more)
	}
	for _, p := range r.Pools {
		if len(p.Backends) > listed || len(r.Pools) > listed {
			continue
		}
		b.WriteString("\n")
		columns(b, func(w io.Writer) {
			fmt.Fprint(w, "backend\tpackets\tshare\tdue\n")
			for _, s := range p.Backends {
				fmt.Fprintf(w, "%s/%s\t%d\t%s\t%s\n", p.Pool, s.Backend, s.Packets, percent(s.Share), percent(s.Due))
			}
		})
	}
}
