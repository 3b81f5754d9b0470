package agent

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

func TestMSSLimits(t *testing.T) {
	fixed, err := ParseMSSClamp("1200")
	if err != nil {
		t.Fatal(err)
	}
	off, err := ParseMSSClamp("off")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		clamp  MSSClamp
		mtu    int
		outer  int
		v4, v6 uint16
	}{
		{"auto-1500-in-v4", MSSClamp{}, 1500, 20, 1440, 1420},
		{"auto-1500-in-v6", MSSClamp{}, 1500, 40, 1420, 1400},
		{"auto-1500-in-nothing", MSSClamp{}, 1500, 0, 1460, 1440},
		{"auto-9000", MSSClamp{}, 9000, 40, 8920, 8900},
		{"auto-tiny", MSSClamp{}, 576, 40, 536, 536},
		{"auto-huge", MSSClamp{}, 70000, 40, 65535, 65535},
		{"fixed", fixed, 1500, 40, 1200, 1200},
		{"off", off, 1500, 40, 0, 0},
	} {
		if got := row.clamp.limits(row.mtu, row.outer); got.MssV4 != row.v4 || got.MssV6 != row.v6 {
			t.Errorf("%s: limits %d and %d, want %d and %d", row.name, got.MssV4, got.MssV6, row.v4, row.v6)
		}
	}
	for _, bad := range []string{"", "on", "535", "65536", "-1"} {
		if _, err := ParseMSSClamp(bad); err == nil {
			t.Errorf("MSS clamp %q was taken", bad)
		}
	}
}

func mssOption(value uint16) layers.TCPOption {
	return layers.TCPOption{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: binary.BigEndian.AppendUint16(nil, value)}
}

var (
	nop    = layers.TCPOption{OptionType: layers.TCPOptionKindNop}
	end    = layers.TCPOption{OptionType: layers.TCPOptionKindEndList}
	window = layers.TCPOption{OptionType: layers.TCPOptionKindWindowScale, OptionLength: 3, OptionData: []byte{7}}
	stamps = layers.TCPOption{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: make([]byte, 8)}
)

// Without it gopacket would pad the frame.
var replyPayload = gopacket.Payload("twenty octets of it.")

// reply is a TCP segment that leaves the host.
type reply struct {
	source  string
	plain   bool // neither SYN nor SYN-ACK
	options func(mss uint16) []layers.TCPOption
	before  uint16
	after   uint16
	want    Verdict
}

func (r reply) frame(t *testing.T, mss uint16, v6 bool) []byte {
	t.Helper()
	tcp := &layers.TCP{SrcPort: 80, DstPort: 40000, Seq: 7, Ack: 9, ACK: true, SYN: !r.plain, Window: 500, Options: r.options(mss)}
	if v6 {
		ip := ipv6(r.source, "2001:db8:c::7", layers.IPProtocolTCP, 0)
		if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		return mustSerialize(t, ethernet(layers.EthernetTypeIPv6), ip, tcp, replyPayload)
	}
	ip := ipv4(r.source, "203.0.113.7", layers.IPProtocolTCP, 0)
	if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	return mustSerialize(t, ethernet(layers.EthernetTypeIPv4), ip, tcp, replyPayload)
}

func options(list ...any) func(uint16) []layers.TCPOption {
	return func(mss uint16) []layers.TCPOption {
		var out []layers.TCPOption
		for _, o := range list {
			if o == "mss" {
				out = append(out, mssOption(mss))
			} else {
				out = append(out, o.(layers.TCPOption))
			}
		}
		return out
	}
}

func TestEgress(t *testing.T) {
	b := mustLoad(t, testOptions(t))
	if err := b.Limits.Put(uint32(0), MSSClamp{}.limits(1500, 40)); err != nil {
		t.Fatal(err)
	}
	for _, v6 := range []bool{false, true} {
		vip, other, limit, prefix := "198.51.100.10", "198.51.100.11", uint16(1420), "v4-"
		if v6 {
			vip, other, limit, prefix = "2001:db8::10", "2001:db8::11", 1400, "v6-"
		}
		many := []any{nop, nop, nop, nop, nop, nop, nop, nop, nop, nop, nop, nop, nop, nop, nop, nop, nop, nop, nop, nop,
			nop, nop, nop, nop, nop, nop, nop, nop, nop, nop, nop, nop, nop, nop, nop, nop, "mss"}
		for name, r := range map[string]reply{
			"clamped":       {vip, false, options("mss", nop, window), 1460, limit, VerdictMSSClamped},
			"linux":         {vip, false, options("mss", stamps, nop, window), 65535, limit, VerdictMSSClamped},
			"odd-offset":    {vip, false, options(nop, "mss", window), 1460, limit, VerdictMSSClamped},
			"odd-after":     {vip, false, options(window, "mss", nop), 8960, limit, VerdictMSSClamped},
			"last":          {vip, false, options(many...), 1460, limit, VerdictMSSClamped},
			"equal":         {vip, false, options("mss"), limit, limit, VerdictMSSKept},
			"never-raised":  {vip, false, options("mss"), 900, 900, VerdictMSSKept},
			"behind-end":    {vip, false, options(end, "mss"), 1460, 1460, VerdictMSSKept},
			"no-option":     {vip, false, options(window, nop), 0, 0, VerdictMSSKept},
			"no-options":    {vip, false, options(), 0, 0, VerdictMSSKept},
			"other-address": {other, false, options("mss"), 1460, 1460, VerdictPassEgress},
			"not-a-syn":     {vip, true, options("mss"), 1460, 1460, VerdictPassEgress},
		} {
			t.Run(prefix+name, func(t *testing.T) {
				verdict, got := b.run(t, b.SluiceEgress, r.frame(t, r.before, v6))
				if want := r.frame(t, r.after, v6); verdict != r.want || !bytes.Equal(got, want) {
					t.Errorf("verdict %v, want %v; frame\n%s\nwant\n%s", verdict, r.want, dump(got), dump(want))
				}
			})
		}
		b.checkBrokenOptions(t, reply{source: vip, options: options("mss", nop, window)}, v6)
	}
}

// Cut at any place, and with any octet of the options changed, a SYN is at most clamped: never another change.
func (b bench) checkBrokenOptions(t *testing.T, r reply, v6 bool) {
	t.Helper()
	whole := r.frame(t, 1460, v6)
	optionsAt := len(whole) - len(replyPayload) - 8
	for n := optionsAt - 20; n < len(whole); n++ {
		if verdict, got := b.run(t, b.SluiceEgress, whole[:n]); verdict != VerdictMSSClamped && !bytes.Equal(got, whole[:n]) {
			t.Errorf("%d bytes: verdict %v changed the frame", n, verdict)
		}
	}
	for at := optionsAt; at < len(whole)-len(replyPayload); at++ {
		for value := range 256 {
			frame := bytes.Clone(whole)
			frame[at] = byte(value)
			if verdict, got := b.run(t, b.SluiceEgress, frame); verdict != VerdictMSSClamped && !bytes.Equal(got, frame) {
				t.Errorf("octet %d = %d: verdict %v changed the frame", at, value, verdict)
			}
		}
	}
}
