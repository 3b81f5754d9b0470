package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

const explainHelp = `Say what would become of a packet now, and why: the program that is live decides over
its own tables, and nothing changes, no counter and no flow. The packet is one of a
connection that is open, the first one of a connection (--syn), or one of a capture
(--pcap: pcap or pcapng of Ethernet, also compressed with gzip; - is standard input).`

const explainExamples = `  lbctl explain tcp 203.0.113.7:40000 198.51.100.10:80 --syn
  lbctl explain udp [2001:db8::7]:5353 [2001:db8:100::10]:53 -o json
  lbctl explain --pcap trace.pcap.gz --packet 17`

// defaultExplained is how many packets of a capture are explained unless --max says otherwise.
const defaultExplained = 10

// explainFlags is the command line.
type explainFlags struct {
	syn         bool
	iface       string
	pcap        string
	packet, max uint32
}

func (c *cli) explainCommand() *cobra.Command {
	f := &explainFlags{}
	cmd := &cobra.Command{
		Use: "explain (tcp|udp SOURCE DESTINATION | --pcap FILE)", Short: "Say what would become of a packet, and why",
		Long: explainHelp, Example: explainExamples,
		ValidArgs: []string{"tcp", "udp"},
		Args:      func(_ *cobra.Command, args []string) error { return f.check(args) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.syn, "syn", false, "the packet opens the connection (tcp)")
	flags.StringVar(&f.iface, "interface", "", "managed interface that the packet comes in by; needed where there are several")
	flags.StringVar(&f.pcap, "pcap", "", "explain packets of this capture")
	flags.Uint32Var(&f.packet, "packet", 0, "only the packet of this number, from 1")
	flags.Uint32Var(&f.max, "max", defaultExplained, "at most so many packets, from the first")
	cmd.MarkFlagsMutuallyExclusive("pcap", "syn")
	cmd.MarkFlagsMutuallyExclusive("packet", "max")
	_ = cmd.MarkFlagFilename("pcap", "pcap", "pcapng", "gz")
	cmd.RunE = c.does(func(ctx context.Context, args []string) error {
		if f.pcap != "" {
			return c.explainCapture(ctx, f)
		}
		answer, err := call(ctx, c, sluicev1.SluiceClient.Explain, f.request(args))
		if err != nil {
			return err
		}
		return c.printExplained([]explainedItem{explainedOf(answer)})
	})
	return cmd
}

// check finds the mistakes that need no daemon.
func (f *explainFlags) check(args []string) error {
	switch {
	case f.pcap != "" && len(args) > 0:
		return usagef("explain takes --pcap or a packet, got both")
	case f.pcap != "":
		if f.max == 0 {
			return usagef("--max 0: must be at least 1")
		}
		return nil
	case f.packet != 0 || f.max != defaultExplained:
		return usagef("--packet and --max choose from a capture: --pcap must be given")
	case len(args) != 3:
		return usagef("explain takes PROTOCOL, SOURCE and DESTINATION, or --pcap FILE, got %s", plural(len(args), "argument"))
	case args[0] != "tcp" && args[0] != "udp":
		return usagef("explain %q: must be tcp or udp", args[0])
	case args[0] == "udp" && f.syn:
		return usagef("--syn: udp has none")
	}
	var ends [2]netip.AddrPort
	for i, text := range args[1:] {
		var err error
		if ends[i], err = netip.ParseAddrPort(text); err != nil {
			return usagef("%q: must be ADDRESS:PORT, such as 203.0.113.7:40000 or [2001:db8::7]:40000", text)
		}
	}
	if ends[0].Addr().Is4() != ends[1].Addr().Is4() {
		return usagef("%s and %s are of different families", ends[0], ends[1])
	}
	return nil
}

func (f *explainFlags) request(args []string) *sluicev1.ExplainRequest {
	protocol := sluicev1.Protocol_PROTOCOL_TCP
	if args[0] == "udp" {
		protocol = sluicev1.Protocol_PROTOCOL_UDP
	}
	return &sluicev1.ExplainRequest{Protocol: protocol, Source: args[1], Destination: args[2], Syn: f.syn, Interface: f.iface}
}

// explainCapture explains the chosen packets of a capture. One that cannot be explained does not keep the others from it.
func (c *cli) explainCapture(ctx context.Context, f *explainFlags) error {
	capture, err := c.openCapture(f.pcap)
	if err != nil {
		return err
	}
	defer capture.close()
	var items []explainedItem
	refused, more := false, false
	for {
		p, err := capture.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if f.packet != 0 && p.number != f.packet {
			continue
		}
		if more = f.packet == 0 && p.number > f.max; more {
			break
		}
		if p.refused != "" {
			fmt.Fprintf(c.stderr, "lbctl: packet %d of %q: %s\n", p.number, f.pcap, p.refused)
			refused = true
			continue
		}
		answer, err := call(ctx, c, sluicev1.SluiceClient.Explain, &sluicev1.ExplainRequest{Frame: p.frame, Interface: f.iface})
		if err != nil {
			return err
		}
		item := explainedOf(answer)
		item.Packet, item.about = p.number, p.about
		items = append(items, item)
	}
	return c.endCapture(f, items, refused, more)
}

func (c *cli) endCapture(f *explainFlags, items []explainedItem, refused, more bool) error {
	if len(items) == 0 && !refused {
		if f.packet != 0 {
			return fmt.Errorf("capture %q has no packet %d", f.pcap, f.packet)
		}
		return fmt.Errorf("capture %q has no packets", f.pcap)
	}
	if err := c.printExplained(items); err != nil {
		return err
	}
	if more {
		fmt.Fprintf(c.stderr, "lbctl: the capture has more than %s (raise --max, or choose one with --packet)\n", plural(f.max, "packet"))
	}
	switch {
	case refused && len(items) == 0:
		return reportedError{exitFailed}
	case refused:
		return reportedError{exitPartial}
	}
	return nil
}

// printExplained prints a story for each packet, or the objects.
func (c *cli) printExplained(items []explainedItem) error {
	if c.output != "table" && c.output != "wide" {
		return printList(c, listing[explainedItem]{items, nil, explainedItem.name})
	}
	for i, item := range items {
		if i > 0 {
			fmt.Fprintln(c.stdout)
		}
		if item.about != "" {
			fmt.Fprintf(c.stdout, "packet %d, %s\n", item.Packet, item.about)
		}
		printTable(c, listing[stepItem]{item.Path, stepColumns, nil})
	}
	return nil
}

var stepColumns = []column[stepItem]{
	{title: "STEP", cell: func(s stepItem) string { return s.Step }},
	{title: "FOUND", cell: func(s stepItem) string { return s.Text }},
}

// name is the backend that gets the packet, or the verdict where none does.
func (e explainedItem) name() string {
	if e.Out != "" {
		return "backend/" + e.Backend
	}
	return "verdict/" + e.Verdict
}
