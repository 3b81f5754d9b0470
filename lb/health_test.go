package lb

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHealthDefaults(t *testing.T) {
	for typ, want := range map[CheckType]Health{
		CheckNone:  {},
		CheckTCP:   {Type: CheckTCP, Interval: 2 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3},
		CheckHTTP:  {Type: CheckHTTP, Port: 80, Path: "/", Expect: StatusRange{200, 399}, Interval: 2 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3},
		CheckHTTPS: {Type: CheckHTTPS, Port: 443, Path: "/", Expect: StatusRange{200, 399}, Interval: 2 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3},
		CheckGRPC:  {Type: CheckGRPC, Interval: 2 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3},
		CheckDNS:   {Type: CheckDNS, Port: 53, Interval: 2 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3},
		CheckICMP:  {Type: CheckICMP, Interval: 2 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3},
	} {
		got := Health{Type: typ}.WithDefaults()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", typ, diff)
		}
		if got != got.WithDefaults() {
			t.Errorf("%s: defaults have defaults", typ)
		}
	}
	if got := (Health{Type: CheckTCP, Interval: 300 * time.Millisecond}).WithDefaults().Timeout; got != 300*time.Millisecond {
		t.Errorf("timeout %s for an interval of 300ms", got)
	}
}

func TestCheckTypesPrintWhatTheyParse(t *testing.T) {
	for _, want := range CheckTypes {
		if got, err := ParseCheckType(want.String()); got != want || err != nil {
			t.Errorf("%s becomes %s, %v", want, got, err)
		}
	}
	for _, s := range []string{"", "none", "HTTP", "check(9)"} {
		if got, err := ParseCheckType(s); err == nil {
			t.Errorf("%q becomes %s", s, got)
		}
	}
	if got := CheckType(9).String(); got != "check(9)" {
		t.Error(got)
	}
}

func TestStatusRange(t *testing.T) {
	for _, s := range []string{"200-399", "204", "100-599"} {
		if r, err := ParseStatusRange(s); err != nil || r.String() != s {
			t.Errorf("%q becomes %s, %v", s, r, err)
		}
	}
	for _, s := range []string{"", "-", "200-", "-200", "99", "600", "300-200", "200-300-400", "+200", "2e2", "200 - 300", "70000"} {
		if r, err := ParseStatusRange(s); err == nil {
			t.Errorf("%q becomes %s", s, r)
		}
	}
	r := StatusRange{200, 299}
	if !r.Contains(200) || !r.Contains(299) || r.Contains(199) || r.Contains(300) || r.Contains(-65336+200) {
		t.Error("the ends of a range")
	}
}

func TestPanicThreshold(t *testing.T) {
	for percent := range uint32(101) {
		if got := PanicPercent(percent).Percent(); got != percent {
			t.Errorf("%d %% becomes %d %%", percent, got)
		}
	}
	if PanicPercent(DefaultPanicThreshold) != 0 || PanicPercent(0) != PanicNever {
		t.Error("two forms of one threshold")
	}
}

func TestHealthFaults(t *testing.T) {
	for _, row := range []struct {
		health Health
		panics PanicThreshold
		want   []string
	}{
		{Health{}, 0, nil},
		{Health{}, 100, nil},
		{Health{}, 101, []string{"panic_threshold: panic_threshold 101 is out of range (use 0 to 100 percent)"}},
		{Health{}, -2, []string{"panic_threshold: panic_threshold -2 is out of range (use 0 to 100 percent)"}},
		{Health{Type: CheckTCP, Port: 80, Interval: MinInterval, Timeout: MinTimeout, Rise: 1, Fall: MaxInRow}, 0, nil},
		{Health{Type: CheckTCP, Port: 80, Interval: MaxInterval, Timeout: MaxInterval}, 0, nil},
		{Health{Type: CheckHTTPS, Host: "[2001:db8::1]:8443", Path: "/a?b=c%20d", Expect: StatusRange{418, 418}}, 0, nil},
		{Health{Type: CheckDNS, Query: "_sip._tcp.example."}, 0, nil},
		{Health{Type: CheckDNS, Query: "."}, 0, nil},
		{Health{Port: 80}, 0, []string{"health.type: a health check needs a type (use one of tcp, http, https, grpc, dns, icmp)"}},
		{Health{Type: 77}, 0, []string{"health.type: health check check(77) is not known (use one of tcp, http, https, grpc, dns, icmp)"}},
		{Health{Type: CheckGRPC}, 0, []string{"health.port: health check grpc needs a port (use 1 to 65535)"}},
		{Health{Type: CheckDNS}, 0, []string{"health.query: health check dns needs a query (name something that the server knows)"}},
		{Health{Type: CheckTCP, Port: 1, Path: "/", Query: "a"}, 0, []string{
			"health.path: health check tcp has no path (remove it)", "health.query: health check tcp has no query (remove it)"}},
		{Health{Type: CheckHTTP, Path: "/a b\r\nX: y", Host: "a/b", Expect: StatusRange{300, 200}}, 0, []string{
			`health.path: health check http has the path "/a b\r\nX: y", which is not valid (start with '/' and use printable ASCII without spaces)`,
			`health.host: health check http has the host "a/b", which is not valid (use a host name or an address, with a port if need be)`,
			"health.expect: health check http expects 300-200, which is not a range of statuses (use one within 100-599)"}},
		{Health{Type: CheckHTTP, Path: "/" + strings.Repeat("x", 255)}, 0, []string{"health.path: health check http has a path of 256 bytes (use at most 255)"}},
		{Health{Type: CheckDNS, Query: "a..b"}, 0, []string{`health.query: health check dns has the query "a..b", which is not valid (use a domain name: labels of 1 to 63 characters)`}},
		{Health{Type: CheckICMP, Interval: 99 * time.Millisecond, Timeout: -1, Rise: 101, Fall: math.MaxUint32}, 0, []string{
			"health.interval: health check icmp has an interval of 99ms (use 100ms to 1h0m0s)",
			"health.timeout: health check icmp has a timeout of -1ns (use 10ms to the interval, 99ms)",
			"health.rise: health check icmp has a rise of 101 (use 1 to 100)", "health.fall: health check icmp has a fall of 4294967295 (use 1 to 100)"}},
		{Health{Type: CheckICMP, Timeout: 3 * time.Second}, 0, []string{"health.timeout: health check icmp has a timeout of 3s (use 10ms to the interval, 2s)"}},
	} {
		t.Run(fmt.Sprint(row.health, row.panics), func(t *testing.T) {
			var got []string
			var found Violations
			errors.As(Config{Pools: []Pool{{Name: "a", Health: row.health, PanicThreshold: row.panics}}}.Validate(DefaultLimits), &found)
			for _, v := range found {
				got = append(got, strings.TrimPrefix(v.Path, "pools[0].")+": "+strings.TrimPrefix(v.Message, `pool "a": `))
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSameQuestion(t *testing.T) {
	a := Health{Type: CheckHTTP, Interval: time.Minute, Rise: 7}
	if !a.SameQuestion(Health{Type: CheckHTTP, Port: 80, Path: "/", Timeout: time.Millisecond}) {
		t.Error("interval, timeout and rise are no part of the question, defaults are")
	}
	if a.SameQuestion(Health{Type: CheckHTTPS, Port: 80}) || a.SameQuestion(Health{Type: CheckHTTP, Path: "/x"}) {
		t.Error("type and path are part of the question")
	}
}
