package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Kernels before 5.10 miss flags that decapsulation needs.
const oldestMajor, oldestMinor = 5, 10

// require checks what the host must have before anything is changed.
func require(o Options) error {
	if err := errors.Join(requireKernel(), requireCapabilities()); err != nil {
		return err
	}
	var errs []error
	for _, name := range o.Interfaces {
		errs = append(errs, requireInterface(name))
	}
	if o.has(false) {
		errs = append(errs, requireIPv6(o))
	}
	return errors.Join(errs...)
}

func requireKernel() error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("asking the kernel's release: %w", err)
	}
	return checkRelease(unix.ByteSliceToString(u.Release[:]))
}

func checkRelease(release string) error {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return fmt.Errorf("kernel %q: cannot tell its version: %w", release, err)
	}
	if major < oldestMajor || major == oldestMajor && minor < oldestMinor {
		return fmt.Errorf("kernel %q: too old (%d.%d or later is needed)", release, oldestMajor, oldestMinor)
	}
	return nil
}

func requireCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("asking for capabilities: %w", err)
	}
	has := func(c int) bool { return data[c/32].Effective&(1<<(c%32)) != 0 }
	var missing []string
	if !has(unix.CAP_NET_ADMIN) {
		missing = append(missing, "CAP_NET_ADMIN")
	}
	if !has(unix.CAP_SYS_ADMIN) && !has(unix.CAP_BPF) {
		missing = append(missing, "CAP_BPF")
	}
	if len(missing) > 0 {
		return fmt.Errorf("checking privileges: missing %s (run as root)", strings.Join(missing, " and "))
	}
	return nil
}

func requireInterface(name string) error {
	l, err := netlink.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return fmt.Errorf("interface %q: not found (ip link shows those there are)", name)
	}
	if err != nil {
		return fmt.Errorf("interface %q: %w", name, err)
	}
	if l.Attrs().EncapType != "ether" {
		return fmt.Errorf("interface %q: link type %q has no Ethernet header (name an Ethernet interface)", name,
			l.Attrs().EncapType)
	}
	return nil
}

// requireIPv6 looks at the sysctls that would silently drop every packet to an IPv6 VIP.
func requireIPv6(o Options) error {
	vip := firstIPv6(o.VIPs)
	var errs []error
	for _, name := range append([]string{"lo"}, o.Interfaces...) {
		key := "net/ipv6/conf/" + name + "/disable_ipv6"
		value, err := readSysctl(key)
		if err != nil {
			errs = append(errs, fmt.Errorf("VIP %q: IPv6 is not available: %w", vip, err))
		} else if value != "0" {
			errs = append(errs, fmt.Errorf("VIP %q: IPv6 is disabled by sysctl %q = %q (set it to 0)", vip, key, value))
		}
	}
	return errors.Join(errs...)
}

func firstIPv6(vips []netip.Addr) netip.Addr {
	for _, vip := range vips {
		if vip.Is6() {
			return vip
		}
	}
	return netip.Addr{}
}
