package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

// healthCheckItem is a pool's health check, with the document's field names.
type healthCheckItem struct {
	Type     string `json:"type"`
	Port     uint32 `json:"port,omitempty"`
	Path     string `json:"path,omitempty"`
	Host     string `json:"host,omitempty"`
	Expect   string `json:"expect,omitempty"`
	Query    string `json:"query,omitempty"`
	Service  string `json:"service,omitempty"`
	Interval string `json:"interval"`
	Timeout  string `json:"timeout"`
	Rise     uint32 `json:"rise"`
	Fall     uint32 `json:"fall"`
}

// healthCheckItemOf is nil where there is no check.
func healthCheckItemOf(h *sluicev1.HealthCheck) *healthCheckItem {
	if h == nil {
		return nil
	}
	return &healthCheckItem{
		Type: word("TYPE_", h.GetType().String()), Port: h.GetPort(), Path: h.GetPath(), Host: h.GetHost(), Expect: h.GetExpect(),
		Query: h.GetQuery(), Service: h.GetService(), Interval: h.GetInterval().AsDuration().String(),
		Timeout: h.GetTimeout().AsDuration().String(), Rise: h.GetRise(), Fall: h.GetFall(),
	}
}

// text is the check in one line; empty where there is none.
func (i *healthCheckItem) text() string {
	if i == nil {
		return ""
	}
	words := []string{i.Type}
	if i.Port != 0 {
		words = append(words, "port", decimal(i.Port))
	}
	for _, f := range [][2]string{
		{"path", i.Path}, {"host", i.Host}, {"expect", i.Expect}, {"query", i.Query},
		{"service", i.Service}, {"every", i.Interval}, {"timeout", i.Timeout}, {"rise", decimal(i.Rise)}, {"fall", decimal(i.Fall)},
	} {
		if f[1] != "" {
			words = append(words, f[0]+" "+f[1])
		}
	}
	return strings.Join(words, " ")
}

// poolHealthItem is how the backends of a pool do together.
type poolHealthItem struct {
	Up      uint32 `json:"up"`
	Enabled uint32 `json:"enabled"`
	Panic   bool   `json:"panic"`
}

func poolHealthItemOf(h *sluicev1.PoolHealth) *poolHealthItem {
	if h == nil {
		return nil
	}
	return &poolHealthItem{h.GetUp(), h.GetEnabled(), h.GetPanic()}
}

// text is for a table.
func (i *poolHealthItem) text() string {
	if i == nil {
		return ""
	}
	if i.Panic {
		return fmt.Sprintf("%d/%d panic", i.Up, i.Enabled)
	}
	return fmt.Sprintf("%d/%d", i.Up, i.Enabled)
}

// healthFacts say how the backends are checked, and how many are up.
func (p poolItem) healthFacts() []fact {
	if p.Health == nil || p.Checks == nil {
		return []fact{{"Health", "not checked"}}
	}
	up := fmt.Sprintf("%d of %d enabled backends", p.Checks.Up, p.Checks.Enabled)
	switch {
	case p.Checks.Panic:
		up += fmt.Sprintf(", fewer than %d%%: the pool panics, health is ignored", p.PanicThreshold)
	case p.PanicThreshold > 0:
		up += fmt.Sprintf(", panics below %d%%", p.PanicThreshold)
	default:
		up += ", never panics"
	}
	return []fact{{"Health", p.Health.text()}, {"  Up", up}}
}

// panicPercent is the threshold in force.
func panicPercent(p *sluicev1.Pool) uint32 {
	if p != nil && p.PanicThreshold != nil {
		return p.GetPanicThreshold()
	}
	return lb.DefaultPanicThreshold
}

// backendHealthItem is what the node knows of a backend by its checks.
type backendHealthItem struct {
	State string `json:"state"`
	// Ignored tells that the backend is used all the same: its pool panics.
	Ignored   bool         `json:"ignored"`
	Since     time.Time    `json:"since"`
	Reason    string       `json:"reason"`
	LastError *resultItem  `json:"last_error,omitempty"`
	Results   []resultItem `json:"results"`
}

type resultItem struct {
	Time           time.Time `json:"time"`
	LatencySeconds float64   `json:"latency_seconds"`
	Grade          string    `json:"grade"`
	Detail         string    `json:"detail"`
}

// backendHealthItemOf is nil where the backend is not checked. Results have the newest first.
func backendHealthItemOf(h *sluicev1.BackendHealth) *backendHealthItem {
	if h == nil {
		return nil
	}
	out := &backendHealthItem{
		State: word("STATE_", h.GetState().String()), Ignored: h.GetIgnored(), Since: h.GetSince().AsTime(), Reason: h.GetReason(),
		Results: []resultItem{},
	}
	if h.GetLastError() != nil {
		last := resultItemOf(h.GetLastError())
		out.LastError = &last
	}
	for _, r := range slices.Backward(h.GetResults()) {
		out.Results = append(out.Results, resultItemOf(r))
	}
	return out
}

func resultItemOf(r *sluicev1.CheckResult) resultItem {
	return resultItem{
		Time: r.GetTime().AsTime(), LatencySeconds: r.GetLatency().AsDuration().Seconds(),
		Grade: word("GRADE_", r.GetGrade().String()), Detail: r.GetDetail(),
	}
}

// text is for a table.
func (i *backendHealthItem) text() string {
	switch {
	case i == nil:
		return ""
	case i.Ignored:
		return i.State + " (ignored)"
	}
	return i.State
}

func (i *backendHealthItem) facts(now time.Time) []fact {
	if i == nil {
		return []fact{{"Health", "not checked"}}
	}
	last := ""
	if e := i.LastError; e != nil {
		last = fmt.Sprintf("%s, %s ago", e.Detail, age(now, e.Time))
	}
	return []fact{
		{"Health", i.text() + ", for " + age(now, i.Since)}, {"  Reason", i.Reason}, {"  Last error", last},
	}
}

func resultColumns(now time.Time) []column[resultItem] {
	return []column[resultItem]{
		{title: "CHECKED", cell: func(r resultItem) string { return age(now, r.Time) + " ago" }},
		{title: "RESULT", cell: func(r resultItem) string { return r.Grade }},
		{title: "LATENCY", right: true, cell: func(r resultItem) string { return milliseconds(r.LatencySeconds) }},
		{title: "DETAIL", cell: func(r resultItem) string { return dash(r.Detail) }},
	}
}

func milliseconds(seconds float64) string {
	return strconv.FormatFloat(seconds*1000, 'f', 1, 64) + "ms"
}

// healthFields are the flags of a pool's health check.
type healthFields struct {
	kind, path, host, expect, query, service string
	port, rise, fall, panicThreshold         uint32
	interval, timeout                        time.Duration
}

// healthFlagNames are those that make or change the check.
var healthFlagNames = []string{
	"health", "health-port", "health-path", "health-host", "health-expect", "health-query", "health-service",
	"health-interval", "health-timeout", "health-rise", "health-fall",
}

func healthFlags(cmd *cobra.Command) *healthFields {
	f, flags := &healthFields{}, cmd.Flags()
	types := append(words(lb.CheckTypes), lb.CheckNone.String())
	flags.StringVar(&f.kind, "health", "", "how backends are checked: "+strings.Join(types, ", "))
	flags.Uint32Var(&f.port, "health-port", 0, "port to check; default for http 80, https 443, dns 53")
	flags.StringVar(&f.path, "health-path", "/", "path that http and https ask for")
	flags.StringVar(&f.host, "health-host", "", "name that http, https and grpc ask for; default is the backend's address")
	flags.StringVar(&f.expect, "health-expect", lb.DefaultExpect.String(), "HTTP statuses that are good")
	flags.StringVar(&f.query, "health-query", "", "name that dns asks for")
	flags.StringVar(&f.service, "health-service", "", "service that grpc asks for; default is the server as a whole")
	flags.DurationVar(&f.interval, "health-interval", lb.DefaultInterval, "time from one check to the next")
	flags.DurationVar(&f.timeout, "health-timeout", lb.DefaultTimeout, "how long an answer may take")
	flags.Uint32Var(&f.rise, "health-rise", lb.DefaultRise, "good results in a row that make a backend up")
	flags.Uint32Var(&f.fall, "health-fall", lb.DefaultFall, "bad results in a row that make a backend down")
	flags.Uint32Var(&f.panicThreshold, "panic-threshold", lb.DefaultPanicThreshold, "ignore health when fewer percent of the backends are up")
	_ = cmd.RegisterFlagCompletionFunc("health", cobra.FixedCompletions(types, cobra.ShellCompDirectiveNoFileComp))
	return f
}

// value is the check that the flags describe; nil where none of them is given.
func (f *healthFields) value(cmd *cobra.Command) (*sluicev1.HealthCheck, error) {
	if !slices.ContainsFunc(healthFlagNames, cmd.Flags().Changed) {
		return nil, nil
	}
	out := &sluicev1.HealthCheck{
		Port: given(cmd, "health-port", f.port), Path: given(cmd, "health-path", f.path), Host: given(cmd, "health-host", f.host),
		Expect: given(cmd, "health-expect", f.expect), Query: given(cmd, "health-query", f.query),
		Service: given(cmd, "health-service", f.service), Rise: given(cmd, "health-rise", f.rise), Fall: given(cmd, "health-fall", f.fall),
	}
	if cmd.Flags().Changed("health-interval") {
		out.Interval = durationpb.New(f.interval)
	}
	if cmd.Flags().Changed("health-timeout") {
		out.Timeout = durationpb.New(f.timeout)
	}
	switch f.kind {
	case "":
	case lb.CheckNone.String():
		out.Type = sluicev1.HealthCheck_TYPE_NONE
	default:
		t, err := lb.ParseCheckType(f.kind)
		if err != nil {
			return nil, usagef("--health %q: must be one of %s, none", f.kind, strings.Join(words(lb.CheckTypes), ", "))
		}
		out.Type = translate.CheckTypeToProto(t)
	}
	return out, nil
}

// checksItem is what the health checks of the node do.
type checksItem struct {
	Backends       uint32            `json:"backends"`
	Outstanding    uint32            `json:"outstanding"`
	MaxOutstanding uint32            `json:"max_outstanding"`
	Late           uint64            `json:"late"`
	Results        map[string]uint64 `json:"results"`
}

// checksItemOf is nil where nothing is checked.
func checksItemOf(c *sluicev1.CheckTotals) *checksItem {
	if c == nil {
		return nil
	}
	out := &checksItem{c.GetBackends(), c.GetOutstanding(), c.GetMaxOutstanding(), c.GetLate(), map[string]uint64{}}
	for _, r := range c.GetResults() {
		out.Results[word("GRADE_", r.GetGrade().String())] = r.GetChecks()
	}
	return out
}

// text is for a description.
func (i *checksItem) text() string {
	var total uint64
	for _, n := range i.Results {
		total += n
	}
	text := fmt.Sprintf("%s, %d made, %d good", plural(i.Backends, "backend"), total, i.Results["good"])
	if i.Late > 0 {
		text += fmt.Sprintf(", %d late", i.Late)
	}
	return text
}
