package metrics

import (
	"fmt"
	"regexp"

	"github.com/safchain/ethtool"
)

// Driver reads the counters of interfaces' drivers, as ethtool -S does, in the network namespace it was opened in.
type Driver struct{ tool *ethtool.Ethtool }

// OpenDriver opens what Frames reads.
func OpenDriver() (*Driver, error) {
	tool, err := ethtool.NewEthtool()
	if err != nil {
		return nil, fmt.Errorf("open ethtool: %w", err)
	}
	return &Driver{tool}, nil
}

// Close lets go of it.
func (d *Driver) Close() { d.tool.Close() }

// framesCounters match the counters of frames that were given to XDP, one or, where each action is counted apart, several
// for each queue. Drivers that are not here have none that counts every action.
var framesCounters = []*regexp.Regexp{
	regexp.MustCompile(`^rx_queue_\d+_xdp_packets$`),                                 // veth; virtio_net before 6.9
	regexp.MustCompile(`^rx\d+_xdp_packets$`),                                        // virtio_net
	regexp.MustCompile(`^queue_\d+_rx_xdp_(aborted|drop|pass|tx|invalid|redirect)$`), // ena
}

// Frames is how many frames an interface's driver has given to XDP, summed over its queues. No queues means that the driver
// does not count them.
func (d *Driver) Frames(iface string) (frames uint64, queues int, err error) {
	stats, err := d.tool.Stats(iface)
	if err != nil {
		return 0, 0, fmt.Errorf("read the driver's counters of %q: %w", iface, err)
	}
	for name, n := range stats {
		for _, r := range framesCounters {
			if r.MatchString(name) {
				frames += n
				queues++
			}
		}
	}
	return frames, queues, nil
}
