package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

// The flags of create and of set are the same; what lbd would refuse is left to it, so that the words are the same too.

// vipFields are the flags of a VIP.
type vipFields struct {
	address, protocol, pool string
	ports                   []string
}

func (c *cli) vipFlags(cmd *cobra.Command) *vipFields {
	f := &vipFields{}
	cmd.Flags().StringVar(&f.address, "address", "", "IPv4 or IPv6 address that clients dial")
	cmd.Flags().StringVar(&f.protocol, "protocol", "", "tcp or udp")
	cmd.Flags().StringSliceVar(&f.ports, "ports", nil, "ports, as in 80,443")
	cmd.Flags().StringVar(&f.pool, "pool", "", "pool that answers")
	_ = cmd.RegisterFlagCompletionFunc("protocol", cobra.FixedCompletions(words(lb.Protocols), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("pool", c.complete(2, c.poolNames))
	return f
}

// protocolValue translates --protocol; empty stands for "not given".
func (f *vipFields) protocolValue() (sluicev1.Protocol, error) {
	if f.protocol == "" {
		return sluicev1.Protocol_PROTOCOL_UNSPECIFIED, nil
	}
	p, err := lb.ParseProtocol(f.protocol)
	if err != nil {
		return 0, usagef("--%v", err)
	}
	return translate.ProtocolToProto(p), nil
}

// poolFields are the flags of a pool.
type poolFields struct {
	encap               string
	slots               uint32
	drainMax, drainIdle time.Duration
	*healthFields
}

func poolFlags(cmd *cobra.Command) *poolFields {
	f := &poolFields{healthFields: healthFlags(cmd)}
	cmd.Flags().StringVar(&f.encap, "encap", "", "how packets travel to the backends: "+strings.Join(words(lb.Encaps), ", "))
	cmd.Flags().Uint32Var(&f.slots, "slots", 0, "size of the slot table, a power of two; 0 is the smallest with 256 slots a backend")
	cmd.Flags().DurationVar(&f.drainMax, "drain-max", lb.DefaultDrainMax, "how long a slot keeps the flows of its previous owner at most")
	cmd.Flags().DurationVar(&f.drainIdle, "drain-idle", lb.DefaultDrainIdle, "after how much silence those flows are taken for gone")
	_ = cmd.RegisterFlagCompletionFunc("encap", cobra.FixedCompletions(words(lb.Encaps), cobra.ShellCompDirectiveNoFileComp))
	return f
}

// givenDuration is a duration that is on the command line, and nil where it is not.
func givenDuration(cmd *cobra.Command, flag string, d time.Duration) *durationpb.Duration {
	if !cmd.Flags().Changed(flag) {
		return nil
	}
	return durationpb.New(d)
}

// encapValue translates --encap; empty stands for "not given".
func (f *poolFields) encapValue() (sluicev1.Encap, error) {
	if f.encap == "" {
		return sluicev1.Encap_ENCAP_UNSPECIFIED, nil
	}
	e, err := lb.ParseEncap(f.encap)
	if err != nil {
		return 0, usagef("--%v", err)
	}
	return translate.EncapToProto(e), nil
}

// backendFields are the flags of a backend.
type backendFields struct {
	address string
	weight  uint32
	scale   float64
	admin   string
}

// order is the flag --admin; unset where it is absent.
func (f *backendFields) order() (sluicev1.Admin, error) {
	if f.admin == "" {
		return sluicev1.Admin_ADMIN_UNSPECIFIED, nil
	}
	a, err := lb.ParseAdmin(f.admin)
	if err != nil {
		return 0, usagef("--%v", err)
	}
	return translate.AdminToProto(a), nil
}

func backendFlags(cmd *cobra.Command) *backendFields {
	f := &backendFields{}
	cmd.Flags().StringVar(&f.address, "address", "", "IPv4 or IPv6 address of the server")
	cmd.Flags().Uint32Var(&f.weight, "weight", lb.DefaultWeight, "nominal share of slots, 0 to 65535")
	cmd.Flags().Float64Var(&f.scale, "scale", 1, "factor on the weight, 0 to 100")
	cmd.Flags().StringVar(&f.admin, "admin", "", "enabled, drained (takes no new flows) or disabled (takes no packets)")
	return f
}

// given returns a pointer to value where the flag is on the command line, and nil elsewhere.
func given[T any](cmd *cobra.Command, flag string, value T) *T {
	if !cmd.Flags().Changed(flag) {
		return nil
	}
	return &value
}

// words prints enumerations.
func words[T interface{ String() string }](values []T) []string { return namesOf(values, T.String) }
