package xdp

import (
	"errors"
	"fmt"
	"strings"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
)

// offloads are the features that merge frames before XDP sees them: the program would meet frames that no wire carries,
// and drivers refuse XDP or, worse, do not. The value is the short name that ethtool -K knows.
var offloads = map[string]string{
	"rx-lro":    "lro",
	"rx-gro-hw": "rx-gro-hw",
}

// preflight checks an interface before anything is attached.
func (d *Dataplane) preflight(name string) error {
	iface, err := netlink.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return fmt.Errorf("not found (there are: %s)", strings.Join(interfaceNames(), ", "))
	}
	if err != nil {
		return err
	}
	if err := checkForeign(iface, d.linkPath(name)); err != nil {
		return err
	}
	tool, err := ethtool.NewEthtool()
	if err != nil {
		return fmt.Errorf("ethtool: %w", err)
	}
	defer tool.Close()
	features, err := tool.FeaturesWithState(name)
	if err != nil {
		d.log.Warn("features of the interface cannot be read", "iface", name, "err", err)
		return nil
	}
	return checkOffloads(name, features)
}

// checkOffloads refuses an interface with one of offloads on.
func checkOffloads(name string, features map[string]ethtool.FeatureState) error {
	for feature, short := range offloads {
		state := features[feature]
		if !state.Active {
			continue
		}
		remedy := fmt.Sprintf("turn it off: ethtool -K %s %s off", name, short)
		if !state.Available || state.NeverChanged {
			remedy = "its driver cannot turn it off: let the hypervisor, or choose another interface"
		}
		return fmt.Errorf("offload %s is on, which merges frames before XDP sees them (%s)", feature, remedy)
	}
	return nil
}

// checkForeign refuses an interface that carries a program which is not ours: it is never replaced.
func checkForeign(iface netlink.Link, linkPath string) error {
	x := iface.Attrs().Xdp
	if x == nil || !x.Attached {
		return nil
	}
	if id, err := linkProgram(linkPath); err == nil && uint32(id) == x.ProgId {
		return nil
	}
	return fmt.Errorf("it carries another XDP program: %s (detach that one, or choose another interface; it is not replaced)",
		describeProgram(x))
}

// interfaceNames are those of the network namespace.
func interfaceNames() []string {
	links, err := netlink.LinkList()
	if err != nil {
		return []string{err.Error()}
	}
	var names []string
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return names
}
