package main

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/sluice-lb/sluice/agent"
	"github.com/sluice-lb/sluice/agent/agenttest"
)

// verdictOf is the verdict of what is decapsulated.
func verdictOf(v6, crossed bool) agent.Verdict {
	switch {
	case v6 && crossed:
		return agent.VerdictDecapsulatedV6InV4
	case v6:
		return agent.VerdictDecapsulatedV6
	case crossed:
		return agent.VerdictDecapsulatedV4InV6
	}
	return agent.VerdictDecapsulatedV4
}

// way names a row: the family inside, and whether the one outside is the other.
func way(v6, crossed bool) string {
	if crossed {
		return familyName(v6) + "-in-" + familyName(!v6)
	}
	return familyName(v6)
}

func TestEcho(t *testing.T) {
	for _, hook := range hooks(t) {
		t.Run(hook, func(t *testing.T) {
			h := mustHost(t)
			h.start(t, append(standard, "--attach", hook)...)
			for _, v6 := range []bool{false, true} {
				serveEcho(t, h.Backend, vipOf(v6))
				for _, crossed := range []bool{false, true} {
					h.SetCrossed(t, crossed)
					mustClient(t, h.Lab, v6, 0).mustAnswer(t)
					if n, _ := packets(h.mustStatus(t), verdictOf(v6, crossed)); n != 1 {
						t.Errorf("%v: %d packets, want 1", verdictOf(v6, crossed), n)
					}
				}
			}
			if i := h.mustStatus(t).Interfaces; len(i) != 1 || i[0].Hook != hook || !i[0].Ingress || !i[0].Egress {
				t.Errorf("interfaces %+v", i)
			}
		})
	}
}

// With l2 alone nothing is decapsulated and nothing clamped; VIPs and sysctls are what it is for.
func TestBare(t *testing.T) {
	h := mustHost(t)
	h.SetBare(t, true)
	vips := []string{"--vip", agenttest.VIPv4.String(), "--vip", agenttest.VIPv6.String(), "--interface", agenttest.BackendDevice}
	p := h.start(t, append(vips, "--encap", "l2")...)
	for _, v6 := range []bool{false, true} {
		serveEcho(t, h.Backend, vipOf(v6))
		mustClient(t, h.Lab, v6, 0).mustAnswer(t)
	}
	st := h.mustStatus(t)
	if i := st.Interfaces; len(i) != 1 || i[0].Ingress || st.Encap != "l2" || st.MSSLimitV4 != 1460 || st.MSSLimitV6 != 1440 {
		t.Errorf("status %+v", st)
	}
	p.terminate(t)
	h.mustDetach(t)
}

// An agent for both lets through what comes as it is and decapsulates the rest.
func TestBareBesideTunnel(t *testing.T) {
	h := mustHost(t)
	h.start(t, append(standard, "--encap", "ipip,l2")...)
	serveEcho(t, h.Backend, agenttest.VIPv4)
	c := mustClient(t, h.Lab, false, 0)
	c.mustAnswer(t)
	h.SetBare(t, true)
	c.mustAnswer(t)
	st := h.mustStatus(t)
	if n, _ := packets(st, agent.VerdictDecapsulatedV4); n != 1 || st.Encap != "ipip,l2" {
		t.Errorf("%d packets were decapsulated, want 1 of 2; encap %q", n, st.Encap)
	}
}

func TestRefusedSource(t *testing.T) {
	h := mustHost(t)
	h.start(t, standard...)
	for v6, source := range map[bool]string{false: "10.66.0.1", true: "fd00:66::1"} {
		serveEcho(t, h.Backend, vipOf(v6))
		c := mustClient(t, h.Lab, v6, 0)
		c.mustAnswer(t)
		h.SetSource(t, netip.MustParseAddr(source))
		for range 3 {
			if _, ok := c.ask(t, "let me in", 50*time.Millisecond); ok {
				t.Errorf("%s was let in", source)
			}
		}
	}
	st := h.mustStatus(t)
	if n, _ := packets(st, agent.VerdictRefusedSource); n != 6 {
		t.Errorf("%d packets were refused, want 6", n)
	}
	if got, want := fmt.Sprint(st.Refused), "[{10.66.0.1 3} {fd00:66::1 3}]"; got != want {
		t.Errorf("refused sources %s, want %s", got, want)
	}
	stdout, _, _ := h.run(t, "--status")
	mustContain(t, stdout, "REFUSED SOURCE", "10.66.0.1", "fd00:66::1", "refused_source")
}

// The receiver's socket sees congestion that was marked outside.
func TestCongestionMark(t *testing.T) {
	const notECT, ect0, ce = 0, 2, 3
	h := mustHost(t)
	h.start(t, standard...)
	for _, v6 := range []bool{false, true} {
		serveEcho(t, h.Backend, vipOf(v6))
		for _, crossed := range []bool{false, true} {
			t.Run(way(v6, crossed), func(t *testing.T) {
				h.SetCrossed(t, crossed)
				c := mustClient(t, h.Lab, v6, ect0)
				for _, outer := range []uint8{ect0, ce} {
					h.SetOuterECN(t, outer)
					if seen, ok := c.ask(t, "congested?", 3*time.Second); !ok || seen != outer {
						t.Errorf("outer %d: receiver saw %d, answered %t", outer, seen, ok)
					}
				}
				if _, ok := mustClient(t, h.Lab, v6, notECT).ask(t, "deaf to marks", 50*time.Millisecond); ok {
					t.Error("a mark was lost: CE outside not-ECT must be dropped")
				}
			})
		}
	}
	if n, _ := packets(h.mustStatus(t), agent.VerdictCEDropped); n != 4 {
		t.Errorf("%d packets were dropped, want 4", n)
	}
}

// An upload arrives as the sender's whole segments, merged by GRO from single ones, or as single ones.
func TestUpload(t *testing.T) {
	const size = 32 << 20
	whole := []string{"tx-tcp-segmentation", "tx-tcp6-segmentation", "tx-ipxip4-segmentation", "tx-ipxip6-segmentation",
		"tx-checksum-ip-generic"}
	for _, mode := range []struct {
		name      string
		tso, gro  bool
		leastSize uint64 // mean bytes of a decapsulated packet
		mostSize  uint64
	}{
		{"sender-segments", true, false, 3000, 1 << 16},
		{"merged-by-gro", false, true, 3000, 1 << 16},
		{"single-segments", false, false, 1000, 1500},
	} {
		if mode.gro && !kernelSince(t, 5, 13) {
			continue // veth merges nothing there
		}
		for _, v6 := range []bool{false, true} {
			for _, crossed := range []bool{false, true} {
				t.Run(mode.name+"-"+way(v6, crossed), func(t *testing.T) {
					h := mustHost(t)
					h.SetCrossed(t, crossed)
					h.start(t, standard...)
					features := map[string]bool{}
					for _, f := range whole {
						features[f] = mode.tso
					}
					h.SetClientOffload(t, features)
					h.SetBackendOffload(t, map[string]bool{"rx-gro": mode.gro})
					upload(t, h, v6, size)
					n, bytes := packets(h.mustStatus(t), verdictOf(v6, crossed))
					if n == 0 {
						t.Fatalf("no %v", verdictOf(v6, crossed))
					}
					if mean := bytes / n; mean < mode.leastSize || mean > mode.mostSize {
						t.Errorf("mean size %d bytes, want %d to %d: the mode was not met", mean, mode.leastSize, mode.mostSize)
					}
				})
			}
		}
	}
}

// upload sends so many bytes to a VIP and sees that they arrive.
func upload(t *testing.T, h *host, v6 bool, size int) {
	t.Helper()
	received := mustListen(t, h.Backend, vipOf(v6))
	conn := mustDial(t, h.Lab, v6)
	begin := time.Now()
	if err := conn.SetDeadline(begin.Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<20)
	for range size / len(block) {
		if _, err := conn.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	if n := <-received; n != int64(size) {
		t.Fatalf("%d of %d bytes arrived", n, size)
	}
	t.Logf("%v", time.Since(begin))
}

// The SYN-ACK on the client's wire has an MSS that fits with the outer header, and the checksum is right.
func TestMSS(t *testing.T) {
	for _, row := range []struct {
		clamp  string
		v4, v6 uint16
	}{
		{"auto", 1420, 1400},
		{"1000", 1000, 1000},
		{"9000", 1460, 1440},
		{"off", 1460, 1440},
	} {
		t.Run(row.clamp, func(t *testing.T) {
			h := mustHost(t)
			h.start(t, append(standard, "--mss-clamp", row.clamp)...)
			for v6, want := range map[bool]uint16{false: row.v4, true: row.v6} {
				mustListen(t, h.Backend, vipOf(v6))
				// Without offload the checksum on the wire is whole, with it the client's stack relies on the mark.
				h.SetBackendOffload(t, map[string]bool{"tx-checksum-ip-generic": false})
				wire := mustSniff(t, h.Client)
				mustDial(t, h.Lab, v6)
				mss, sumOK := wire.synAck(t)
				if mss != want || !sumOK {
					t.Errorf("v6 %t: MSS %d, want %d; checksum right %t", v6, mss, want, sumOK)
				}
				h.SetBackendOffload(t, map[string]bool{"tx-checksum-ip-generic": true})
				mustDial(t, h.Lab, v6)
				if mss, _ := wire.synAck(t); mss != want {
					t.Errorf("v6 %t, checksum offload: MSS %d, want %d", v6, mss, want)
				}
			}
		})
	}
}

type sniffer int

func mustSniff(t *testing.T, n *agenttest.Namespace) sniffer {
	t.Helper()
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
	fd := -1
	var err error
	n.Do(t, func() { fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 3}); err != nil {
		t.Fatal(err)
	}
	return sniffer(fd)
}

// synAck waits for the next SYN-ACK and returns its MSS and whether its checksum is right.
func (s sniffer) synAck(t *testing.T) (uint16, bool) {
	t.Helper()
	frame := make([]byte, 1<<16)
	for {
		n, err := unix.Read(int(s), frame)
		if err != nil {
			t.Fatalf("no SYN-ACK: %v", err)
		}
		p := gopacket.NewPacket(frame[:n], layers.LayerTypeEthernet, gopacket.Default)
		tcp, ok := p.TransportLayer().(*layers.TCP)
		if !ok || !tcp.SYN || !tcp.ACK {
			continue
		}
		if err := tcp.SetNetworkLayerForChecksum(p.NetworkLayer()); err != nil {
			t.Fatal(err)
		}
		for _, o := range tcp.Options {
			if o.OptionType == layers.TCPOptionKindMSS {
				return uint16(o.OptionData[0])<<8 | uint16(o.OptionData[1]), checksumRight(t, tcp)
			}
		}
		t.Fatal("SYN-ACK without MSS")
	}
}

func checksumRight(t *testing.T, tcp *layers.TCP) bool {
	t.Helper()
	was := tcp.Checksum
	buffer := gopacket.NewSerializeBuffer()
	o := gopacket.SerializeOptions{ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buffer, o, tcp, gopacket.Payload(tcp.Payload)); err != nil {
		t.Fatal(err)
	}
	return tcp.Checksum == was
}
