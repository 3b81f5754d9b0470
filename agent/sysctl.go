package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

const sysctlRoot = "/proc/sys"

// sysctl is one setting that the agent changed.
type sysctl struct {
	// Name is the path below /proc/sys: interface names may hold dots.
	Name     string `json:"name"`
	Original string `json:"original"`
	Value    string `json:"value"`
}

// demand is a sysctl that direct return needs.
type demand struct {
	name  string
	value int
	// atLeast is for settings whose larger values are stricter and serve as well.
	atLeast bool
}

// demandsAll hold for the host. A decapsulated packet has the client's address as source and the interface towards the
// load balancer as its way in; reverse path filtering would drop it wherever the route to the client is another one. The
// kernel takes the larger value of `all` and the interface, so both must be 0. arp_ignore and arp_announce keep the host
// from answering ARP for a VIP, which on a shared segment would take the VIP's traffic past the load balancer.
var demandsAll = []demand{
	{name: "net/ipv4/conf/all/rp_filter"},
	{name: "net/ipv4/conf/all/arp_ignore", value: 1, atLeast: true},
	{name: "net/ipv4/conf/all/arp_announce", value: 2, atLeast: true},
}

func interfacePrefix(name string) string { return path.Join("net/ipv4/conf", name) + "/" }

func demandsOf(iface string) []demand {
	return []demand{{name: interfacePrefix(iface) + "rp_filter"}}
}

func readSysctl(name string) (string, error) {
	text, err := os.ReadFile(path.Join(sysctlRoot, name))
	if err != nil {
		return "", fmt.Errorf("reading sysctl: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func writeSysctl(name, value string) error {
	if err := os.WriteFile(path.Join(sysctlRoot, name), []byte(value), 0); err != nil {
		return fmt.Errorf("setting sysctl to %q: %w", value, err)
	}
	return nil
}

func (d demand) satisfied(current string) bool {
	n, err := strconv.Atoi(current)
	return err == nil && (n == d.value || d.atLeast && n > d.value)
}

// ensureSysctl sets what d demands, after the original is on disk. It says whether something was changed.
func (s *state) ensureSysctl(d demand) (bool, error) {
	current, err := readSysctl(d.name)
	if err != nil {
		return false, err
	}
	if d.satisfied(current) {
		return false, nil
	}
	value := strconv.Itoa(d.value)
	known := slices.ContainsFunc(s.Sysctls, func(c sysctl) bool { return c.Name == d.name })
	if !known {
		s.Sysctls = append(s.Sysctls, sysctl{Name: d.name, Original: current, Value: value})
		if err := s.save(); err != nil {
			return false, err
		}
	}
	return true, writeSysctl(d.name, value)
}

// restoreSysctls puts the originals of the settings below prefix back. A value that somebody else has set since is left.
func (s *state) restoreSysctls(prefix string) error {
	var errs []error
	s.Sysctls = slices.DeleteFunc(s.Sysctls, func(c sysctl) bool {
		if !strings.HasPrefix(c.Name, prefix) {
			return false
		}
		err := c.restore()
		errs = append(errs, err)
		return err == nil
	})
	return errors.Join(errs...)
}

func (c sysctl) restore() error {
	current, err := readSysctl(c.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its interface is gone
	}
	if err != nil || current != c.Value {
		return err
	}
	return writeSysctl(c.Name, c.Original)
}

// forgetSysctls drops the originals below prefix: their interface is not the one they were read from.
func (s *state) forgetSysctls(prefix string) {
	s.Sysctls = slices.DeleteFunc(s.Sysctls, func(c sysctl) bool { return strings.HasPrefix(c.Name, prefix) })
}
