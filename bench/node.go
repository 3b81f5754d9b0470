package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/sluice-lb/sluice/lb"
	"github.com/sluice-lb/sluice/xdp"
)

// nodeInterface is the one that a node's packets seem to come in by. It need not exist: nothing is attached.
const nodeInterface = "bench0"

// nodes numbers the nodes of this process.
var nodes atomic.Uint32

// Node is the real data plane, loaded and published to, but attached nowhere: only replays see it.
type Node struct {
	// State is what was published.
	State *lb.State
	// Seed is the one that flows are hashed with.
	Seed lb.Seed

	dataplane *xdp.Dataplane
	dir       string
}

// Open loads the data plane with a configuration whose next hops are all known. Maps are made as large as the
// configuration needs. It needs root.
func Open(config lb.Config, seed lb.Seed) (*Node, error) {
	config = config.Normalize()
	limits := limitsFor(config)
	if err := config.Validate(limits); err != nil {
		return nil, err
	}
	state, err := lb.Plan(nil, lb.PlanInput{Config: config, Hops: hops(config), Seed: seed, Limits: limits, Revision: 1})
	if err != nil {
		return nil, err
	}
	n := &Node{State: state, Seed: seed}
	n.dir = filepath.Join("/sys/fs/bpf", fmt.Sprintf("sluice-bench-%d-%d", os.Getpid(), nodes.Add(1)))
	n.dataplane, err = xdp.Open(xdp.Options{Interfaces: []string{nodeInterface}, BPFFSDir: n.dir, Seed: seed, Limits: limits})
	if err != nil {
		return nil, errors.Join(err, xdp.Detach(n.dir))
	}
	if err := n.dataplane.Publish(state); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Target is the node's program.
func (n *Node) Target() Target {
	return Target{
		Name:     "sluice",
		Program:  n.dataplane.Program(nodeInterface),
		Counters: n.dataplane.Counters,
		State:    n.State,
	}
}

// Twin does in Go what the node's program does.
func (n *Node) Twin() *lb.Twin { return lb.NewTwin(n.State, n.Seed, nodeInterface) }

// Close unloads the data plane and removes its directory.
func (n *Node) Close() error { return errors.Join(n.dataplane.Close(), xdp.Detach(n.dir)) }

// hops gives every backend a next hop that nobody answers at. Its MTU takes the longest frame that can be replayed.
func hops(c lb.Config) lb.Hops {
	out := lb.Hops{}
	for _, pool := range c.Pools {
		for _, b := range pool.Backends {
			hop := lb.NextHop{Interface: nodeInterface, InterfaceMAC: lb.MAC(stationMAC), MAC: lb.MAC(routerMAC), MTU: 9000}
			hop.Source = netip.MustParseAddr("10.0.0.1")
			if b.Address.Is6() {
				hop.Source = netip.MustParseAddr("fd00::1")
			}
			out[b.Address] = hop
		}
	}
	return out
}
