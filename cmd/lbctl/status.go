package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

type statusItem struct {
	Version     string `json:"version"`
	Revision    uint64 `json:"revision"`
	Publication uint64 `json:"publication"`
	// Started is when lbd was.
	Started         *time.Time      `json:"started,omitempty"`
	SeedFingerprint string          `json:"seed_fingerprint"`
	Caller          string          `json:"caller"`
	Role            string          `json:"role"`
	Unmatched       string          `json:"unmatched"`
	MapMemoryBytes  uint64          `json:"map_memory_bytes"`
	Interfaces      []interfaceItem `json:"interfaces"`
	Limits          []limitItem     `json:"limits"`
	Tables          []digestItem    `json:"tables"`
	// Certificates are those that the API uses over TCP.
	Certificates []certificateItem `json:"certificates"`
	Warnings     []string          `json:"warnings"`
	// Confirmation is what the live revision waits for.
	Confirmation *confirmationItem `json:"confirmation,omitempty"`
	// Checks is absent where no backend is checked.
	Checks *checksItem `json:"checks,omitempty"`
}

type certificateItem struct {
	Use      string    `json:"use"`
	Path     string    `json:"path"`
	Subject  string    `json:"subject"`
	NotAfter time.Time `json:"not_after"`
}

type interfaceItem struct {
	Name       string `json:"name"`
	Mode       string `json:"mode"`
	Ifindex    uint32 `json:"ifindex"`
	ProgramID  uint32 `json:"program_id"`
	ProgramTag string `json:"program_tag"`
	MTU        uint32 `json:"mtu"`
	Fault      string `json:"fault,omitempty"`
}

type limitItem struct {
	Name       string `json:"name"`
	Used       uint64 `json:"used"`
	Configured uint64 `json:"configured"`
}

type digestItem struct {
	Pool   string `json:"pool"`
	Digest string `json:"digest"`
}

func (c *cli) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show how the node is", Args: none,
		RunE: c.does(func(ctx context.Context, _ []string) error {
			answer, err := call(ctx, c, sluicev1.SluiceClient.GetStatus, &sluicev1.GetStatusRequest{})
			if err != nil {
				return err
			}
			item := statusItemOf(answer)
			return describe(c, item, "status", c.statusFacts(item), func() {
				section(c, listing[interfaceItem]{item.Interfaces, interfaceColumns, nil})
				section(c, listing[limitItem]{item.Limits, limitColumns, nil})
				section(c, listing[digestItem]{item.Tables, digestColumns, nil})
				section(c, listing[certificateItem]{item.Certificates, certificateColumns, nil})
				c.warn(item.Warnings)
			})
		}),
	}
}

func statusItemOf(s *sluicev1.GetStatusResponse) statusItem {
	out := statusItem{
		Version: s.GetVersion(), Revision: s.GetRevision(), Publication: s.GetPublication(),
		SeedFingerprint: s.GetSeedFingerprint(), Unmatched: s.GetUnmatched(), MapMemoryBytes: s.GetMapMemoryBytes(),
		Caller: s.GetCaller(), Role: s.GetRole(), Certificates: []certificateItem{},
		Interfaces: []interfaceItem{}, Limits: []limitItem{}, Tables: []digestItem{},
		Warnings: append([]string{}, s.GetWarnings()...), Confirmation: confirmationItemOf(s.GetConfirmation()),
		Checks: checksItemOf(s.GetChecks()),
	}
	if s.GetStarted() != nil {
		started := s.GetStarted().AsTime()
		out.Started = &started
	}
	for _, i := range s.GetInterfaces() {
		out.Interfaces = append(out.Interfaces, interfaceItem{
			i.GetName(), i.GetMode(), i.GetIfindex(), i.GetProgramId(), i.GetProgramTag(), i.GetMtu(), i.GetFault(),
		})
	}
	for _, l := range s.GetLimits() {
		out.Limits = append(out.Limits, limitItem{l.GetName(), l.GetUsed(), l.GetConfigured()})
	}
	for _, t := range s.GetTables() {
		out.Tables = append(out.Tables, digestItem{t.GetPool(), t.GetDigest()})
	}
	for _, crt := range s.GetCertificates() {
		out.Certificates = append(out.Certificates, certificateItem{crt.GetUse(), crt.GetPath(), crt.GetSubject(), crt.GetNotAfter().AsTime()})
	}
	return out
}

func (c *cli) statusFacts(s statusItem) []fact {
	up := ""
	if s.Started != nil {
		up = age(c.now(), *s.Started)
	}
	revision := decimal(s.Revision)
	if w := s.Confirmation; w != nil {
		revision += fmt.Sprintf(" (to be confirmed until %s, %d comes back otherwise)", stamp(w.Deadline), w.BackTo)
	}
	facts := []fact{
		{"Version", s.Version}, {"Up", up}, {"Revision", revision}, {"Publication", decimal(s.Publication)},
		{"Seed", s.SeedFingerprint}, {"Unmatched", s.Unmatched}, {"Map memory", bytesText(s.MapMemoryBytes)},
		{"Caller", s.Caller + " (" + s.Role + ")"},
	}
	if s.Checks != nil {
		facts = append(facts, fact{"Checks", s.Checks.text()})
	}
	return facts
}

var interfaceColumns = []column[interfaceItem]{
	{title: "INTERFACE", cell: func(i interfaceItem) string { return i.Name }},
	{title: "MODE", cell: func(i interfaceItem) string { return i.Mode }},
	{title: "MTU", right: true, cell: func(i interfaceItem) string { return decimal(i.MTU) }},
	{title: "PROGRAM", right: true, cell: func(i interfaceItem) string { return decimal(i.ProgramID) }},
	{title: "TAG", cell: func(i interfaceItem) string { return dash(i.ProgramTag) }},
	{title: "IFINDEX", right: true, wide: true, cell: func(i interfaceItem) string { return decimal(i.Ifindex) }},
}

var limitColumns = []column[limitItem]{
	{title: "LIMIT", cell: func(l limitItem) string { return l.Name }},
	{title: "USED", right: true, cell: func(l limitItem) string { return decimal(l.Used) }},
	{title: "CONFIGURED", right: true, cell: func(l limitItem) string { return decimal(l.Configured) }},
}

var digestColumns = []column[digestItem]{
	{title: "POOL", cell: func(d digestItem) string { return d.Pool }},
	{title: "DIGEST", cell: func(d digestItem) string { return d.Digest }},
}

var certificateColumns = []column[certificateItem]{
	{title: "CERTIFICATE", cell: func(i certificateItem) string { return i.Use }},
	{title: "SUBJECT", cell: func(i certificateItem) string { return i.Subject }},
	{title: "EXPIRES", cell: func(i certificateItem) string { return i.NotAfter.UTC().Format(time.DateOnly) }},
	{title: "FILE", wide: true, cell: func(i certificateItem) string { return i.Path }},
}
