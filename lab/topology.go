package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
)

// Addresses that never change. VIPs may be any address of the VIP networks: the router sends them all to the load
// balancer. Clients and VIPs are documentation addresses (RFC 5737, RFC 3849), the rest is private.
var (
	ClientV4  = netip.MustParseAddr("203.0.113.2")
	ClientV6  = netip.MustParseAddr("2001:db8:203::2")
	LBV4      = netip.MustParseAddr("10.9.2.2")
	LBV6      = netip.MustParseAddr("fd00:9:2::2")
	VIPsV4    = netip.MustParsePrefix("198.51.100.0/24")
	VIPsV6    = netip.MustParsePrefix("2001:db8:100::/64")
	VIPV4     = netip.MustParseAddr("198.51.100.10")
	VIPV6     = netip.MustParseAddr("2001:db8:100::10")
	innerV4   = netip.MustParsePrefix("10.9.0.0/16")
	innerV6   = netip.MustParsePrefix("fd00:9::/32")
	defaultV4 = netip.MustParsePrefix("0.0.0.0/0")
	defaultV6 = netip.MustParsePrefix("::/0")
)

const (
	// ClientMTU is that of the client's link, in bytes.
	ClientMTU = 1500
	// InnerMTU is that of the other links: room for a client's packet and an outer header of 40 bytes.
	InnerMTU = 1600
	// Iface is the name of the one interface of every namespace but the router.
	Iface = "eth0"
)

// Topology is one lab: namespaces, links and the processes in them.
type Topology struct {
	// Name is unique on this machine while the topology exists.
	Name string
	// Client, Router and LB are the namespaces that every topology has.
	Client, Router, LB *Namespace
	// Backends are the real servers, in the order in which they were added.
	Backends []*Backend
	// Sources are prefixes that agents take outer headers from beside the load balancer's first addresses.
	Sources []netip.Prefix

	binaries Binaries

	mu       sync.Mutex              // guards what follows
	procs    []*Process              // in the order in which they were started
	detaches map[string]func() error // by name of what is detached
}

// Backend is one real server of a topology.
type Backend struct {
	*Namespace
	// Server is what its servers answer with: web-1, web-2, and so on.
	Server string
	// V4 and V6 are its addresses, where a pool's packets go.
	V4, V6 netip.Addr
	// Flat says that it is on the load balancer's own segment.
	Flat bool
}

// Raise builds a topology with some backends; nothing runs in it yet. Leftovers of owners that died are removed first.
func Raise(binaries Binaries, backends int) (*Topology, error) {
	if err := Sweep(); err != nil {
		return nil, err
	}
	name, err := claimName()
	if err != nil {
		return nil, err
	}
	t := &Topology{Name: name, binaries: binaries, detaches: make(map[string]func() error)}
	if err := t.raise(backends); err != nil {
		return nil, errors.Join(fmt.Errorf("raising lab %q: %w", name, err), t.Close())
	}
	return t, nil
}

func (t *Topology) raise(backends int) error {
	for _, part := range []struct {
		suffix string
		ns     **Namespace
	}{{"rt", &t.Router}, {"cl", &t.Client}, {"lb", &t.LB}} {
		var err error
		if *part.ns, err = t.namespace(part.suffix); err != nil {
			return err
		}
	}
	if err := t.setUpRouter(); err != nil {
		return err
	}
	if err := t.connect(t.Client, "cl0", ClientV4, ClientV6, ClientMTU); err != nil {
		return err
	}
	if err := t.Client.SendWholeChecksums(Iface); err != nil {
		return err
	}
	if err := t.connectLB(); err != nil {
		return err
	}
	for range backends {
		if _, err := t.AddBackend(); err != nil {
			return err
		}
	}
	return nil
}

// connectLB links the load balancer to the router, which sends it what is for the VIPs.
func (t *Topology) connectLB() error {
	if err := t.connect(t.LB, "lb0", LBV4, LBV6, InnerMTU); err != nil {
		return err
	}
	if err := t.Router.AttachPassAll("lb0"); err != nil {
		return err
	}
	return t.routeVIPs()
}

// routeVIPs makes the router send what is for the VIPs to the load balancer.
func (t *Topology) routeVIPs() error {
	for vips, lb := range map[netip.Prefix]netip.Addr{VIPsV4: LBV4, VIPsV6: LBV6} {
		if err := t.Router.Route(vips, lb, 0); err != nil {
			return err
		}
	}
	return nil
}

// AddBackend adds a real server and its link; nothing runs in it yet.
func (t *Topology) AddBackend() (*Backend, error) {
	n := len(t.Backends) + 1
	ns, err := t.namespace(fmt.Sprintf("b%d", n))
	if err != nil {
		return nil, err
	}
	b := &Backend{
		Namespace: ns,
		Server:    fmt.Sprintf("web-%d", n),
		V4:        netip.MustParseAddr(fmt.Sprintf("10.9.%d.2", 10+n)),
		V6:        netip.MustParseAddr(fmt.Sprintf("fd00:9:%d::2", 10+n)),
	}
	t.Backends = append(t.Backends, b)
	return b, t.connect(ns, fmt.Sprintf("b%d", n), b.V4, b.V6, InnerMTU)
}

// Dir is where sockets, stores and logs lie.
func (t *Topology) Dir() string { return filepath.Join(runDir, t.Name) }

// BPFFSDir is where the pins of one part ("lb", "b1") lie.
func (t *Topology) BPFFSDir(part string) string { return filepath.Join(bpffsRoot, t.Name+"-"+part) }

// Keep makes the topology outlive its owner; Remove(t.Name) ends it.
func (t *Topology) Keep() error {
	return os.WriteFile(filepath.Join(t.Dir(), keptFile), nil, 0o644)
}

// Close stops every process, detaches what was attached, and removes everything. It may be called twice, and must not be
// called while something is being started.
func (t *Topology) Close() error {
	var errs []error
	for i := len(t.procs) - 1; i >= 0; i-- {
		errs = append(errs, t.procs[i].Stop())
	}
	for _, detach := range t.detaches {
		errs = append(errs, detach())
	}
	for _, n := range []*Namespace{t.Client, t.Router, t.LB} {
		if n != nil {
			n.close()
		}
	}
	for _, b := range t.Backends {
		b.close()
	}
	t.procs, t.detaches, t.Client, t.Router, t.LB, t.Backends = nil, nil, nil, nil, nil, nil
	return errors.Join(append(errs, Remove(t.Name))...)
}

// namespace creates one namespace of the topology.
func (t *Topology) namespace(suffix string) (*Namespace, error) {
	n, err := newNamespace(t.Name + "-" + suffix)
	if err != nil {
		return nil, err
	}
	return n, n.quiet()
}

// setUpRouter lets the router forward. Its reverse path filter is off: an answer comes from a backend with the VIP as
// its source, while the route to the VIP leads to the load balancer.
func (t *Topology) setUpRouter() error {
	for key, value := range map[string]string{
		"net.ipv4.ip_forward":                  "1",
		"net.ipv6.conf.all.forwarding":         "1",
		"net.ipv4.conf.all.rp_filter":          "0",
		"net.ipv4.conf.default.rp_filter":      "0",
		"net.ipv4.conf.all.send_redirects":     "0",
		"net.ipv4.conf.default.send_redirects": "0",
	} {
		if err := t.Router.Sysctl(key, value); err != nil {
			return err
		}
	}
	return nil
}

// connect links a namespace to the router, which gets the network's first address and becomes the gateway.
func (t *Topology) connect(n *Namespace, port string, v4, v6 netip.Addr, mtu int) error {
	const bits4, bits6 = 24, 64
	gateway4 := netip.PrefixFrom(v4, bits4).Masked().Addr().Next()
	gateway6 := netip.PrefixFrom(v6, bits6).Masked().Addr().Next()
	err := wire(
		end{ns: n, iface: Iface, addresses: []netip.Prefix{netip.PrefixFrom(v4, bits4), netip.PrefixFrom(v6, bits6)}},
		end{ns: t.Router, iface: port, addresses: []netip.Prefix{netip.PrefixFrom(gateway4, bits4), netip.PrefixFrom(gateway6, bits6)}},
		mtu)
	if err != nil {
		return err
	}
	for _, r := range []struct {
		to      netip.Prefix
		gateway netip.Addr
		mtu     int
	}{
		// What goes to clients has to fit their link; only the inner networks take more.
		{defaultV4, gateway4, ClientMTU}, {defaultV6, gateway6, ClientMTU},
		{innerV4, gateway4, mtu}, {innerV6, gateway6, mtu},
	} {
		if err := n.Route(r.to, r.gateway, r.mtu); err != nil {
			return err
		}
	}
	return nil
}
