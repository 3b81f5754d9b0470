package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/lb"
)

func (c *cli) validateCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "validate -f FILE|-", Short: "Check a document and show what it contains", Args: none,
		RunE: c.does(func(context.Context, []string) error {
			doc, err := c.readDocument(file)
			if err != nil {
				return err
			}
			contents := contentsOf(doc.Config)
			if err := printList(c, listing[contentItem]{contents, contentColumns, contentItem.object}); err != nil {
				return err
			}
			if c.output == "table" || c.output == "wide" {
				fmt.Fprintf(c.stdout, "%s is valid: %s\n", documentName(file), summary(doc.Config))
			}
			c.warn(append(doc.Config.Warnings(), beyondDefaults(doc.Config)...))
			return nil
		}),
	}
	fileFlag(cmd, &file)
	return cmd
}

// contentItem is one object of a document. Its JSON form leaves out what its kind does not have.
type contentItem struct {
	Kind     string `json:"kind"`
	Name     string `json:"name"`
	Pool     string `json:"pool,omitempty"`
	Address  string `json:"address,omitempty"`
	Protocol string `json:"protocol,omitempty"`
	Ports    []int  `json:"ports,omitempty"`
	Encap    string `json:"encap,omitempty"`
	Slots    uint32 `json:"slots,omitempty"`
	Backends *int   `json:"backends,omitempty"`
	// Weight is the effective one.
	Weight *uint32 `json:"effective_weight,omitempty"`
}

func (i contentItem) object() string {
	if i.Kind == "backend" {
		return i.Kind + "/" + lb.BackendKey(i.Pool, i.Name)
	}
	return i.Kind + "/" + i.Name
}

// contentsOf lists pools, each with its backends, then VIPs, all sorted by name.
func contentsOf(config lb.Config) []contentItem {
	var out []contentItem
	config = config.Normalize()
	for _, p := range config.Pools {
		count := len(p.Backends)
		out = append(out, contentItem{Kind: "pool", Name: p.Name, Encap: p.Encap.String(), Slots: p.SlotCount(), Backends: &count})
		for _, b := range p.Backends {
			weight := b.EffectiveWeight()
			out = append(out, contentItem{Kind: "backend", Name: b.Name, Pool: p.Name, Address: b.Address.String(), Weight: &weight})
		}
	}
	for _, v := range config.VIPs {
		item := contentItem{Kind: "vip", Name: v.Name, Pool: v.Pool, Address: v.Address.String(), Protocol: v.Protocol.String()}
		for _, port := range v.Ports {
			item.Ports = append(item.Ports, int(port))
		}
		out = append(out, item)
	}
	return out
}

var contentColumns = []column[contentItem]{
	{title: "OBJECT", cell: contentItem.object},
	{title: "ADDRESS", cell: func(i contentItem) string { return dash(i.Address) }},
	{title: "DETAIL", cell: contentItem.detail},
}

func (i contentItem) detail() string {
	switch i.Kind {
	case "pool":
		return fmt.Sprintf("%s, %s, %s", i.Encap, plural(i.Slots, "slot"), plural(*i.Backends, "backend"))
	case "backend":
		return "weight " + decimal(*i.Weight)
	}
	return fmt.Sprintf("%s %s to pool %s", i.Protocol, portList(i.Ports), i.Pool)
}

func summary(config lb.Config) string {
	backends := 0
	for _, p := range config.Pools {
		backends += len(p.Backends)
	}
	return fmt.Sprintf("%s, %s, %s", plural(len(config.VIPs), "VIP"), plural(len(config.Pools), "pool"), plural(backends, "backend"))
}

// beyondDefaults warns of a document that only a node with raised limits takes.
func beyondDefaults(config lb.Config) []string {
	var violations lb.Violations
	var out []string
	if errors.As(config.Validate(lb.DefaultLimits), &violations) {
		for _, v := range violations {
			out = append(out, "with the default limits: "+v.Message)
		}
	}
	return out
}
