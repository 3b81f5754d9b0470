package main

import (
	"fmt"
	"net/netip"

	"github.com/spf13/pflag"

	"github.com/sluice-lb/sluice/bench"
	"github.com/sluice-lb/sluice/lb"
)

// trafficFlags say what is replayed.
type trafficFlags struct {
	pcap      string
	unchanged bool

	flows        int
	distribution string
	syn          float64
	sizes        []int
	family       uint8
	protocol     string
	seed         uint64
}

func (f *trafficFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.pcap, "pcap", "", "replay a capture: a pcap or pcapng `file`, also gzipped")
	flags.BoolVar(&f.unchanged, "unchanged", false, "with --pcap: replay every frame as it is, instead of sending clients' packets to the VIPs")
	flags.IntVar(&f.flows, "flows", 0, fmt.Sprintf("generate traffic of this `number` of flows, to %d", bench.MaxFlows))
	flags.StringVar(&f.distribution, "dist", bench.Uniform.String(), "`distribution` of packets over flows: uniform or zipf")
	flags.Float64Var(&f.syn, "syn", 0, "`share` of TCP packets that are SYNs, 0 to 1")
	flags.IntSliceVar(&f.sizes, "size", []int{128}, fmt.Sprintf("length of frames in `bytes`, to %d; several lengths, separated by commas, are mixed", bench.MaxFrame))
	flags.Uint8Var(&f.family, "family", uint8(bench.IPv4), "`version` of IP, 4 or 6")
	flags.StringVar(&f.protocol, "protocol", lb.TCP.String(), "`protocol`: tcp or udp")
	flags.Uint64Var(&f.seed, "order", 0, "`seed` of the order of packets")
}

// source is traffic that is still to be aimed at VIPs.
type source struct {
	// kinds of VIPs that it needs.
	kinds []bench.Kind
	aim   func(map[bench.Kind][]netip.AddrPort) (*bench.Stream, error)
}

func (f *trafficFlags) source() (source, error) {
	if f.pcap != "" {
		return f.recorded()
	}
	if f.unchanged {
		return source{}, usageError{fmt.Errorf("--unchanged goes with --pcap only")}
	}
	return f.generated()
}

func (f *trafficFlags) recorded() (source, error) {
	capture, err := bench.ReadCapture(f.pcap)
	if err != nil {
		return source{}, err
	}
	s := source{kinds: capture.Kinds(), aim: capture.Aim}
	if f.unchanged {
		s.aim = func(map[bench.Kind][]netip.AddrPort) (*bench.Stream, error) { return capture.Unchanged() }
	}
	return s, nil
}

func (f *trafficFlags) generated() (source, error) {
	distribution, err := bench.ParseDistribution(f.distribution)
	if err != nil {
		return source{}, usageError{err}
	}
	protocol, err := lb.ParseProtocol(f.protocol)
	if err != nil {
		return source{}, usageError{err}
	}
	o := bench.FlowOptions{
		Flows: f.flows, Distribution: distribution, SYN: f.syn, Sizes: f.sizes,
		Family: bench.Family(f.family), Protocol: protocol, Seed: f.seed,
	}
	if err := o.Validate(); err != nil {
		return source{}, usageError{err}
	}
	kind := bench.Kind{Family: o.Family, Protocol: protocol}
	return source{
		kinds: []bench.Kind{kind},
		aim: func(endpoints map[bench.Kind][]netip.AddrPort) (*bench.Stream, error) {
			return bench.Generate(o, endpoints[kind])
		},
	}, nil
}
