package agent

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
)

// Status is what an agent has set up, as it is in the kernel now.
type Status struct {
	// PID is the agent that watches, or 0: what is set up works without one.
	PID        int               `json:"pid"`
	Version    string            `json:"version"`
	VIPs       []VIPStatus       `json:"vips"`
	From       []netip.Prefix    `json:"from"`
	Interfaces []InterfaceStatus `json:"interfaces"`
	Sysctls    []SysctlStatus    `json:"sysctls"`
	// Encap is what the agent was told of the ways that packets come, such as "ipip,l2".
	Encap string `json:"encap"`
	// MSSClamp is what the agent was told, the limits what that means in bytes; 0 is none.
	MSSClamp   string          `json:"mss_clamp"`
	MSSLimitV4 int             `json:"mss_limit_v4"`
	MSSLimitV6 int             `json:"mss_limit_v6"`
	Counters   []Count         `json:"counters"`
	Refused    []RefusedSource `json:"refused_sources"`
}

// VIPStatus is one VIP.
type VIPStatus struct {
	Address netip.Addr `json:"address"`
	// Present says that it is on the loopback interface, Added that an agent put it there.
	Present bool `json:"present"`
	Added   bool `json:"added"`
}

// InterfaceStatus is one interface. Ingress and Egress say whether the agent's programs are attached.
type InterfaceStatus struct {
	Name    string `json:"name"`
	Hook    string `json:"hook"`
	Ingress bool   `json:"ingress"`
	Egress  bool   `json:"egress"`
}

// SysctlStatus is one setting that an agent changed.
type SysctlStatus struct {
	Name     string `json:"name"`
	Value    string `json:"value"`
	Original string `json:"original"`
}

// Count is what ended in one verdict, since the counters were pinned.
type Count struct {
	Verdict string `json:"verdict"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// RefusedSource is an outer source that no --from covers. Only the last 256 or so are remembered.
type RefusedSource struct {
	Address netip.Addr `json:"address"`
	Packets uint64     `json:"packets"`
}

// ReadStatus reads the state and the pinned maps; it disturbs no agent.
func ReadStatus(stateDir string) (*Status, error) {
	s, err := loadState(stateDir)
	if err != nil {
		return nil, err
	}
	if !s.exists() {
		return nil, fmt.Errorf("reading status: no agent has set anything up here (state directory %q)", stateDir)
	}
	// Empty lists print as [] and not as null.
	st := &Status{Sysctls: []SysctlStatus{}, Refused: []RefusedSource{}, PID: runningPID(stateDir), Version: s.Version, From: s.From, MSSClamp: s.MSSClamp, Encap: s.Encap}
	return st, errors.Join(st.readHost(s), st.readInterfaces(s), st.readMaps(s.BPFFSDir))
}

func (st *Status) readHost(s *state) error {
	lo, err := loopback()
	if err != nil {
		return err
	}
	for _, vip := range s.VIPs {
		present, err := loopbackHas(lo, vip)
		if err != nil {
			return err
		}
		st.VIPs = append(st.VIPs, VIPStatus{Address: vip, Present: present, Added: slices.Contains(s.Addresses, vip)})
	}
	for _, c := range s.Sysctls {
		value, err := readSysctl(c.Name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		st.Sysctls = append(st.Sysctls, SysctlStatus{Name: c.Name, Value: value, Original: c.Original})
	}
	return nil
}

func (st *Status) readInterfaces(s *state) error {
	for _, at := range s.Attachments {
		i := InterfaceStatus{Name: at.Interface, Hook: at.Hook}
		l, err := netlink.LinkByName(at.Interface)
		if err == nil && l.Attrs().Index == at.Index {
			var h hook = tcx{s.BPFFSDir}
			if at.Hook == AttachClsact.String() {
				h = clsact{}
			}
			var inErr, outErr error
			i.Ingress, inErr = h.attached(at.Index, ingress)
			i.Egress, outErr = h.attached(at.Index, egress)
			if err := errors.Join(inErr, outErr); err != nil {
				return err
			}
		}
		st.Interfaces = append(st.Interfaces, i)
	}
	slices.SortFunc(st.Interfaces, func(a, b InterfaceStatus) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

func (st *Status) readMaps(dir string) error {
	for name, read := range map[string]func(*ebpf.Map) error{
		bpfMapCounters: st.readCounters,
		bpfMapRefused:  st.readRefused,
		bpfMapLimits:   st.readLimits,
	} {
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), &ebpf.LoadPinOptions{ReadOnly: true})
		if err != nil {
			return fmt.Errorf("opening pinned map %q: %w", name, err)
		}
		err = read(m)
		m.Close()
		if err != nil {
			return fmt.Errorf("reading pinned map %q: %w", name, err)
		}
	}
	return nil
}

func (st *Status) readCounters(m *ebpf.Map) error {
	for v := Verdict(0); v < VerdictCount; v++ {
		var perCPU []bpfCounter
		if err := m.Lookup(uint32(v), &perCPU); err != nil {
			return err
		}
		c := Count{Verdict: v.String()}
		for _, one := range perCPU {
			c.Packets += one.Packets
			c.Bytes += one.Bytes
		}
		// The zero verdict is shown only if the bug that it stands for happens.
		if v > 0 || c.Packets > 0 {
			st.Counters = append(st.Counters, c)
		}
	}
	return nil
}

func (st *Status) readRefused(m *ebpf.Map) error {
	var key bpfAddress
	var packets uint64
	entries := m.Iterate()
	for entries.Next(&key, &packets) {
		st.Refused = append(st.Refused, RefusedSource{netip.AddrFrom16(key.Octets).Unmap(), packets})
	}
	slices.SortFunc(st.Refused, func(a, b RefusedSource) int {
		return cmp.Or(cmp.Compare(b.Packets, a.Packets), a.Address.Compare(b.Address))
	})
	// An LRU map that is written to meanwhile may move under the iterator: what was read is still true.
	if err := entries.Err(); !errors.Is(err, ebpf.ErrIterationAborted) {
		return err
	}
	return nil
}

func (st *Status) readLimits(m *ebpf.Map) error {
	var limits bpfMssLimits
	err := m.Lookup(uint32(0), &limits)
	st.MSSLimitV4, st.MSSLimitV6 = int(limits.MssV4), int(limits.MssV6)
	return err
}
