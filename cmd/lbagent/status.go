package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/sluice-lb/sluice/agent"
)

func printStatus(w io.Writer, stateDir, output string) error {
	st, err := agent.ReadStatus(stateDir)
	if err != nil {
		return err
	}
	if output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(st)
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	printAgent(t, st)
	printTables(t, st)
	return t.Flush()
}

func printAgent(w io.Writer, st *agent.Status) {
	running := "not running (what is set up works without it)"
	if st.PID != 0 {
		running = fmt.Sprintf("running as process %d", st.PID)
	}
	var from []string
	for _, p := range st.From {
		from = append(from, p.String())
	}
	fmt.Fprintf(w, "agent:\t%s\nversion:\t%s\nfrom:\t%s\n", running, st.Version, strings.Join(from, " "))
	fmt.Fprintf(w, "encap:\t%s\n", st.Encap)
	fmt.Fprintf(w, "mss clamp:\t%s (v4 %d, v6 %d)\n", st.MSSClamp, st.MSSLimitV4, st.MSSLimitV6)
}

func printTables(w io.Writer, st *agent.Status) {
	fmt.Fprint(w, "\nVIP\tON LO\tADDED BY AGENT\n")
	for _, v := range st.VIPs {
		fmt.Fprintf(w, "%s\t%t\t%t\n", v.Address, v.Present, v.Added)
	}
	fmt.Fprint(w, "\nINTERFACE\tHOOK\tINGRESS\tEGRESS\n")
	for _, i := range st.Interfaces {
		fmt.Fprintf(w, "%s\t%s\t%t\t%t\n", i.Name, i.Hook, i.Ingress, i.Egress)
	}
	fmt.Fprint(w, "\nSYSCTL\tVALUE\tORIGINAL\n")
	for _, s := range st.Sysctls {
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Name, s.Value, s.Original)
	}
	fmt.Fprint(w, "\nVERDICT\tPACKETS\tBYTES\n")
	for _, c := range st.Counters {
		fmt.Fprintf(w, "%s\t%d\t%d\n", c.Verdict, c.Packets, c.Bytes)
	}
	if len(st.Refused) == 0 {
		return
	}
	fmt.Fprint(w, "\nREFUSED SOURCE\tPACKETS\n")
	for _, r := range st.Refused {
		fmt.Fprintf(w, "%s\t%d\n", r.Address, r.Packets)
	}
}
