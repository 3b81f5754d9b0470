package metrics

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/sluice-lb/sluice/proto/jsonwire"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// collectWithin bounds one scrape: the daemon may be in the middle of a change.
const collectWithin = 5 * time.Second

// Source is where a scrape reads from.
type Source struct {
	// API is the node's own.
	API grpc.ClientConnInterface
	// Driver counts frames; nil where nothing can.
	Driver Frames
	// Ready tells whether the API serves.
	Ready func() bool
	// Watching is the number of open watches.
	Watching func() int
}

// Frames is what a scrape needs of the drivers. *Driver implements it.
type Frames interface {
	Frames(iface string) (frames uint64, queues int, err error)
}

// The parts that can fail on their own.
const (
	partStatus, partVIPs, partPools, partBackends, partStats, partDriver = "status", "vips", "pools", "backends", "stats", "driver"
)

var parts = []string{partStatus, partVIPs, partPools, partBackends, partStats, partDriver}

// collector reads the node when somebody scrapes. What cannot be read is missing from the answer and counted.
type collector struct {
	*families
	api      sluicev1.SluiceClient
	source   Source
	failures *prometheus.CounterVec
	log      *slog.Logger

	mu       sync.Mutex // one scrape at a time, and guards what follows
	accounts map[string]*account
}

func newCollector(s Source, failures *prometheus.CounterVec, log *slog.Logger) *collector {
	return &collector{families: newFamilies(), api: sluicev1.NewSluiceClient(s.API), source: s, failures: failures, log: log,
		accounts: map[string]*account{}}
}

// Describe lists the families.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, f := range c.list() {
		out <- f.desc
	}
}

// Collect reads the node.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), collectWithin) // the registry gives none
	defer cancel()
	s := scrape{collector: c, ctx: ctx, out: out}
	s.put(c.watch, float64(c.source.Watching()))
	if !c.source.Ready() {
		s.put(c.ready, 0)
		return
	}
	s.put(c.ready, 1)
	node, err := c.api.GetStatus(ctx, &sluicev1.GetStatusRequest{})
	if err != nil {
		s.failed(partStatus, err)
		return
	}
	s.node(node)
	s.vips()
	s.pools()
	s.backends()
	s.verdicts(node.GetInterfaces())
}

// scrape is one reading.
type scrape struct {
	*collector
	ctx context.Context
	out chan<- prometheus.Metric
}

func (s *scrape) put(f *Family, value float64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(f.desc, f.Kind, value, labels...)
}

func (s *scrape) failed(part string, err error) {
	s.failures.WithLabelValues(part).Inc()
	s.log.Debug("reading metrics failed", "part", part, "err", err)
}

func (s *scrape) node(n *sluicev1.GetStatusResponse) {
	s.put(s.revision, float64(n.GetRevision()))
	s.put(s.publication, float64(n.GetPublication()))
	s.put(s.warnings, float64(len(n.GetWarnings())))
	s.put(s.unconfirmed, oneIf(n.GetConfirmation() != nil))
	s.put(s.mapMemory, float64(n.GetMapMemoryBytes()))
	s.checkTotals(n.GetChecks())
	s.certificates(n.GetCertificates())
	for _, l := range n.GetLimits() {
		s.put(s.limitUsed, float64(l.GetUsed()), l.GetName())
		s.put(s.limitConfigured, float64(l.GetConfigured()), l.GetName())
	}
	for _, i := range n.GetInterfaces() {
		s.put(s.interfaceInfo, 1, i.GetName(), i.GetMode(), i.GetProgramTag())
		s.put(s.interfaceFaults, oneIf(i.GetFault() != ""), i.GetName())
	}
}

func (s *scrape) vips() {
	r, err := s.api.ListVips(s.ctx, &sluicev1.ListVipsRequest{})
	if err != nil {
		s.failed(partVIPs, err)
		return
	}
	for _, v := range r.GetVips() {
		name := v.GetVip().GetName()
		s.counted([5]*Family{s.vipPackets, s.vipBytes, s.vipNewFlows, s.vipRefused, s.vipHeld}, v.GetCounter(), name)
		s.put(s.vipBackends, float64(v.GetBackends()), name)
		s.put(s.vipBackendsWithSlots, float64(v.GetBackendsWithSlots()), name)
	}
}

func (s *scrape) pools() {
	r, err := s.api.ListPools(s.ctx, &sluicev1.ListPoolsRequest{})
	if err != nil {
		s.failed(partPools, err)
		return
	}
	for _, p := range r.GetPools() {
		name := p.GetPool().GetName()
		s.put(s.poolSlots, float64(p.GetSlots()), name)
		s.put(s.poolEmptySlots, float64(p.GetEmptySlots()), name)
		s.put(s.poolTable, 1, name, p.GetDigest())
		s.put(s.poolTransition, float64(p.GetTransitionSlots()), name)
		s.put(s.poolPinned, float64(p.GetPinnedSlots()), name)
		s.healthOfPool(p.GetHealth(), name)
	}
}

func (s *scrape) backends() {
	r, err := s.api.ListBackends(s.ctx, &sluicev1.ListBackendsRequest{})
	if err != nil {
		s.failed(partBackends, err)
		return
	}
	for _, b := range r.GetBackends() {
		pool, name := b.GetPool(), b.GetBackend().GetName()
		if b.GetLeaving() {
			name += "@" + b.GetBackend().GetAddress() // another of the name may be configured
			s.put(s.backendLeaving, 1, pool, name)
		}
		admin, hop := b.GetBackend().GetAdmin(), b.GetNextHop().GetState()
		s.counted([5]*Family{s.backendPackets, s.backendBytes, s.backendNewFlows, s.backendRefused, s.backendHeld}, b.GetCounter(), pool, name)
		s.put(s.backendKeeps, float64(b.GetKeepsSlots()), pool, name)
		s.put(s.backendFlows, float64(b.GetFlows()), pool, name)
		s.put(s.backendSlots, float64(b.GetSlots()), pool, name)
		s.put(s.backendWeight, float64(b.GetEffectiveWeight()), pool, name)
		s.healthOfBackend(b.GetHealth(), pool, name)
		if !b.GetLeaving() {
			s.put(s.backendAdmin, 1, pool, name, jsonwire.Word(admin.Descriptor(), admin.Number()))
		}
		s.put(s.backendNextHop, 1, pool, name, jsonwire.Word(hop.Descriptor(), hop.Number()))
	}
}

func oneIf(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// counted puts the values of a counter line.
func (s *scrape) counted(f [5]*Family, c *sluicev1.Counter, labels ...string) {
	for i, n := range [5]uint64{c.GetPackets(), c.GetBytes(), c.GetNewFlows(), c.GetRefused(), c.GetHeld()} {
		s.put(f[i], float64(n), labels...)
	}
}

// verdicts puts the verdicts, and what the drivers saw before and after they were read.
func (s *scrape) verdicts(interfaces []*sluicev1.Interface) {
	before, err := s.api.GetStats(s.ctx, &sluicev1.GetStatsRequest{})
	if err != nil {
		s.failed(partStats, err)
		return
	}
	for _, v := range before.GetVerdicts() {
		s.put(s.verdictPackets, float64(v.GetPackets()), v.GetInterface(), v.GetVerdict())
	}
	track := before.GetTracking()
	s.put(s.trackLookups, float64(track.GetLookups()))
	s.put(s.trackHits, float64(track.GetHits()))
	s.put(s.trackInserts, float64(track.GetInserts()))
	s.put(s.trackHeld, float64(track.GetHeld()))
	s.put(s.trackBypassed, float64(track.GetBypassed()))
	if s.source.Driver == nil {
		return
	}
	seen := map[string]*reading{}
	for _, i := range interfaces {
		if i.GetMode() != "native" {
			continue // the driver does not know of it
		}
		frames, queues, err := s.source.Driver.Frames(i.GetName())
		if err != nil {
			s.failed(partDriver, err)
			continue
		}
		if queues > 0 {
			s.put(s.framesSeen, float64(frames), i.GetName())
			seen[i.GetName()] = &reading{seen: frames, queues: queues}
		}
	}
	s.accountFor(before, seen)
}

// accountFor compares what drivers saw with what the verdicts add up to before and after.
func (s *scrape) accountFor(before *sluicev1.GetStatsResponse, seen map[string]*reading) {
	if len(seen) == 0 {
		return
	}
	after, err := s.api.GetStats(s.ctx, &sluicev1.GetStatsRequest{})
	if err != nil {
		s.failed(partStats, err)
		return
	}
	for _, v := range before.GetVerdicts() {
		if r := seen[v.GetInterface()]; r != nil {
			r.before += v.GetPackets()
		}
	}
	for _, v := range after.GetVerdicts() {
		if r := seen[v.GetInterface()]; r != nil {
			r.after += v.GetPackets()
		}
	}
	for name, r := range seen {
		if s.accounts[name] == nil {
			s.accounts[name] = &account{}
		}
		s.put(s.framesUnaccounted, float64(s.accounts[name].add(*r)), name)
	}
}
