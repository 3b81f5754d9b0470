package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sluice-lb/sluice/agent"
	"github.com/sluice-lb/sluice/agent/agenttest"
)

// questions are asked without a pause until stop is called, which returns how many there were and how many went unanswered.
func questions(t *testing.T, c client) (stop func() (asked, lost int)) {
	t.Helper()
	var end atomic.Bool
	type result struct{ asked, lost int }
	done := make(chan result, 1)
	go func() {
		var r result
		for !end.Load() {
			if _, ok := c.ask(t, fmt.Sprint("question ", r.asked), time.Second); !ok {
				r.lost++
			}
			r.asked++
			time.Sleep(500 * time.Microsecond)
		}
		done <- r
	}()
	return func() (int, int) {
		end.Store(true)
		r := <-done
		return r.asked, r.lost
	}
}

// Agents are killed, stopped, adopted and changed under traffic: no question is lost, and the counters go on.
func TestAdopt(t *testing.T) {
	for _, hook := range hooks(t) {
		t.Run(hook, func(t *testing.T) {
			h := mustHost(t)
			args := append(slices.Clone(standard), "--attach", hook)
			first := h.start(t, args...)
			var stops []func() (int, int)
			for _, v6 := range []bool{false, true} {
				serveEcho(t, h.Backend, vipOf(v6))
				c := mustClient(t, h.Lab, v6, 0)
				c.mustAnswer(t)
				stops = append(stops, questions(t, c))
			}
			first.kill()
			time.Sleep(200 * time.Millisecond)
			if st := h.mustStatus(t); st.PID != 0 || !st.Interfaces[0].Ingress || !st.VIPs[0].Present {
				t.Errorf("after kill -9: %+v", st)
			}

			extra := netip.MustParseAddr("198.51.100.99")
			second := h.start(t, append(args, "--vip", extra.String())...)
			second.mustSay(t, "adopted=true")
			if vips := h.mustStatus(t).VIPs; !slices.Contains(vips, agent.VIPStatus{Address: extra, Present: true, Added: true}) {
				t.Errorf("VIPs %+v", vips)
			}
			second.terminate(t)

			third := h.start(t, args...)
			if slices.Contains(loopbackAddresses(t, h.Backend), extra.String()+"/32") {
				t.Errorf("VIP %v stays although it is no longer wanted", extra)
			}
			_, stderr, code := h.run(t, args...)
			if code != exitFailed {
				t.Errorf("a second agent ends with %d", code)
			}
			mustContain(t, stderr, fmt.Sprintf("an agent runs as process %d", third.Process.Pid))

			var total int
			for _, stop := range stops {
				asked, lost := stop()
				total += asked
				if lost > 0 || asked < 100 {
					t.Errorf("%d of %d questions were lost", lost, asked)
				}
			}
			st := h.mustStatus(t)
			v4, _ := packets(st, agent.VerdictDecapsulatedV4)
			v6, _ := packets(st, agent.VerdictDecapsulatedV6)
			if int(v4+v6) != total+2 {
				t.Errorf("%d packets were counted, %d sent", v4+v6, total+2)
			}
		})
	}
}

// An agent of the other hook takes over without both taking a header off, and without a gap.
func TestChangeHook(t *testing.T) {
	if len(hooks(t)) == 1 {
		return // there is nothing to change to
	}
	h := mustHost(t)
	p := h.start(t, append(slices.Clone(standard), "--attach", "clsact")...)
	serveEcho(t, h.Backend, agenttest.VIPv4)
	c := mustClient(t, h.Lab, false, 0)
	c.mustAnswer(t)
	stop := questions(t, c)
	for _, hook := range []string{"tcx", "clsact", "tcx"} {
		p.terminate(t)
		p = h.start(t, append(slices.Clone(standard), "--attach", hook)...)
		if i := h.mustStatus(t).Interfaces[0]; i.Hook != hook || !i.Ingress || !i.Egress {
			t.Errorf("interface %+v, want hook %s", i, hook)
		}
	}
	if asked, lost := stop(); lost > 0 || asked < 100 {
		t.Errorf("%d of %d questions were lost", lost, asked)
	}
	p.terminate(t)
	h.mustDetach(t)
	if n := qdiscs(t, h.Backend); slices.Contains(n, "clsact") {
		t.Errorf("qdiscs %v: the agent's clsact is left", n)
	}
}

var watchedSysctls = []string{"all/rp_filter", "all/arp_ignore", "all/arp_announce", agenttest.BackendDevice + "/rp_filter"}

func sysctlPath(name string) string { return filepath.Join("/proc/sys/net/ipv4/conf", name) }

func setSysctl(t *testing.T, n *agenttest.Namespace, path, value string) {
	t.Helper()
	var err error
	n.Do(t, func() { err = os.WriteFile(path, []byte(value), 0) })
	if err != nil {
		t.Fatal(err)
	}
}

func sysctlOf(t *testing.T, n *agenttest.Namespace, path string) string {
	t.Helper()
	var text []byte
	var err error
	n.Do(t, func() { text, err = os.ReadFile(path) })
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func loopbackAddresses(t *testing.T, n *agenttest.Namespace) []string {
	t.Helper()
	list, err := n.AddrList(n.MustLink(t, "lo"), netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, a := range list {
		out = append(out, a.IPNet.String())
	}
	slices.Sort(out)
	return out
}

func qdiscs(t *testing.T, n *agenttest.Namespace) []string {
	t.Helper()
	list, err := n.QdiscList(n.MustLink(t, agenttest.BackendDevice))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, q := range list {
		out = append(out, q.Type())
	}
	slices.Sort(out)
	return out
}

// snapshot is everything that an agent may change on a host.
func (h *host) snapshot(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, name := range watchedSysctls {
		fmt.Fprintf(&b, "%s %s\n", name, sysctlOf(t, h.Backend, sysctlPath(name)))
	}
	fmt.Fprintln(&b, loopbackAddresses(t, h.Backend), qdiscs(t, h.Backend))
	return b.String()
}

func TestDetach(t *testing.T) {
	for _, hook := range hooks(t) {
		t.Run(hook, func(t *testing.T) {
			h := mustHost(t)
			for i, name := range watchedSysctls {
				setSysctl(t, h.Backend, sysctlPath(name), []string{"1", "0", "1", "2"}[i])
			}
			// One VIP is there already: it is not the agent's to remove.
			h.Backend.MustAddress(t, "lo", netip.PrefixFrom(agenttest.VIPv6, 128))
			before := h.snapshot(t)
			p := h.start(t, append(standard, "--attach", hook)...)
			during := h.snapshot(t)
			want := "all/rp_filter 0\nall/arp_ignore 1\nall/arp_announce 2\n" + agenttest.BackendDevice + "/rp_filter 0\n"
			if !strings.HasPrefix(during, want) {
				t.Errorf("set up:\n%s\nwant\n%s", during, want)
			}
			_, stderr, code := h.run(t, "--detach")
			if code != exitFailed {
				t.Errorf("detaching under a running agent ends with %d", code)
			}
			mustContain(t, stderr, fmt.Sprintf("an agent runs as process %d", p.Process.Pid))
			p.kill()
			if got := h.snapshot(t); got != during {
				t.Errorf("after kill -9:\n%s\nwant\n%s", got, during)
			}
			h.mustDetach(t)
			if got := h.snapshot(t); got != before {
				t.Errorf("after detach:\n%s\nwant\n%s", got, before)
			}
			if pins, err := filepath.Glob(filepath.Join(h.bpf, "[lcr]*")); err != nil || len(pins) > 0 {
				t.Errorf("pins are left: %v %v", pins, err)
			}
			serveEcho(t, h.Backend, agenttest.VIPv6)
			if _, ok := mustClient(t, h.Lab, true, 0).ask(t, "still there?", 50*time.Millisecond); ok {
				t.Error("packets are still decapsulated")
			}
			if _, stderr, code := h.run(t, "--detach"); code != exitFailed || !strings.Contains(stderr, "nothing is set up") {
				t.Errorf("detaching twice: %d %s", code, stderr)
			}
		})
	}
}

// A set-up that fails half way leaves the host as it was.
func TestFailedSetUp(t *testing.T) {
	h := mustHost(t)
	setSysctl(t, h.Backend, sysctlPath("all/rp_filter"), "1")
	eth := h.Backend.MustLink(t, agenttest.BackendDevice)
	// Somebody else's filter stands where ours would go: found out only when everything else is done.
	q := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: eth.Attrs().Index, Handle: 0xffff0000, Parent: netlink.HANDLE_CLSACT}}
	if err := h.Backend.QdiscAdd(q); err != nil {
		t.Fatal(err)
	}
	f := &netlink.U32{ClassId: 1, FilterAttrs: netlink.FilterAttrs{LinkIndex: eth.Attrs().Index, Parent: netlink.HANDLE_MIN_EGRESS,
		Priority: 200, Protocol: 0x0003}}
	if err := h.Backend.FilterAdd(f); err != nil {
		t.Fatal(err)
	}
	before := h.snapshot(t)
	_, stderr, code := h.run(t, append(standard, "--attach", "clsact")...)
	if code != exitFailed {
		t.Errorf("ends with %d", code)
	}
	mustContain(t, stderr, "priority 200 is taken by another u32 filter")
	if got := h.snapshot(t); got != before {
		t.Errorf("after the failure:\n%s\nwant\n%s", got, before)
	}
}

// What somebody else takes away comes back.
func TestRepair(t *testing.T) {
	for _, hook := range hooks(t) {
		t.Run(hook, func(t *testing.T) {
			h := mustHost(t)
			p := h.start(t, append(slices.Clone(standard), "--attach", hook)...)
			serveEcho(t, h.Backend, agenttest.VIPv4)
			mustClient(t, h.Lab, false, 0).mustAnswer(t)

			lo := h.Backend.MustLink(t, "lo")
			vip, err := netlink.ParseAddr(agenttest.VIPv4.String() + "/32")
			if err != nil {
				t.Fatal(err)
			}
			if err := h.Backend.AddrDel(lo, vip); err != nil {
				t.Fatal(err)
			}
			eventually(t, "VIP back on lo", func() bool {
				return slices.Contains(loopbackAddresses(t, h.Backend), vip.IPNet.String())
			})
			p.mustSay(t, `"put back" component=agent object=address`)

			h.Unwire(t)
			p.mustSay(t, "interface gone")
			h.MustWire(t)
			eventually(t, "programs on the new interface", func() bool {
				i := h.mustStatus(t).Interfaces[0]
				return i.Ingress && i.Egress
			})
			mustClient(t, h.Lab, false, 0).mustAnswer(t)

			// Neither raises an event; the one of the MTU makes the agent look.
			strict := sysctlPath(agenttest.BackendDevice + "/rp_filter")
			setSysctl(t, h.Backend, strict, "1")
			eth := h.Backend.MustLink(t, agenttest.BackendDevice)
			if hook == "clsact" {
				if err := h.Backend.QdiscDel(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: eth.Attrs().Index,
					Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}); err != nil {
					t.Fatal(err)
				}
			}
			if err := h.Backend.LinkSetMTU(eth, 1400); err != nil {
				t.Fatal(err)
			}
			eventually(t, "MSS limit follows the MTU", func() bool { return h.mustStatus(t).MSSLimitV4 == 1320 })
			if got := sysctlOf(t, h.Backend, strict); got != "0" {
				t.Errorf("rp_filter is %s, want 0", got)
			}
			if i := h.mustStatus(t).Interfaces[0]; !i.Ingress || !i.Egress {
				t.Errorf("programs were not put back: %+v", i)
			}

			if n := strings.Count(p.log.String(), `"put back" component=agent object=address`); n != 1 {
				t.Errorf("the address was put back %d times", n)
			}
			p.terminate(t)
			h.mustDetach(t)
		})
	}
}

func TestMissing(t *testing.T) {
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	with := func(more ...string) []string { return append(slices.Clone(standard), more...) }
	for _, row := range []struct {
		name string
		args []string
		who  *syscall.Credential
		set  map[string]string // sysctls
		want []string
	}{
		{"interface", with("--interface", "eth9"), nil, nil, []string{`interface "eth9": not found`}},
		{"loopback", with("--interface", "lo"), nil, nil, []string{`interface "lo"`, "no Ethernet header"}},
		{"privilege", standard, nobody, nil, []string{"missing CAP_NET_ADMIN and CAP_BPF", "run as root"}},
		{"ipv6-on-lo", standard, nil, map[string]string{"/proc/sys/net/ipv6/conf/lo/disable_ipv6": "1"},
			[]string{`VIP "2001:db8::10"`, `"net/ipv6/conf/lo/disable_ipv6" = "1"`}},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := mustHost(t)
			for path, value := range row.set {
				setSysctl(t, h.Backend, path, value)
			}
			if row.who != nil {
				mustBeReadable(t)
			}
			before := h.snapshot(t)
			_, stderr, code := h.runAs(t, row.who, row.args...)
			if code != exitFailed {
				t.Errorf("ends with %d", code)
			}
			mustContain(t, stderr, row.want...)
			if got := h.snapshot(t); got != before {
				t.Errorf("after the failure:\n%s\nwant\n%s", got, before)
			}
		})
	}
}

// mustBeReadable lets another user execute the program.
func mustBeReadable(t *testing.T) {
	t.Helper()
	if err := os.Chmod(filepath.Dir(binary), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestMountsBPFFS(t *testing.T) {
	h := mustHost(t)
	p := h.start(t, standard...)
	p.mustSay(t, "bpffs mounted")
	p.mustSay(t, h.bpf)
	p.terminate(t)
	p.mustSay(t, "decapsulation goes on")
	p = h.start(t, standard...)
	p.mustSay(t, "set up")
	if strings.Contains(p.log.String(), "bpffs mounted") {
		t.Error("bpffs was mounted twice")
	}
}
