package lb

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// CheckType is how a backend is asked whether it is well.
type CheckType uint8

// The types of checks.
const (
	// CheckNone asks nothing: every backend counts as up.
	CheckNone CheckType = iota
	// CheckTCP opens a connection.
	CheckTCP
	// CheckHTTP sends GET by HTTP/1.1 and looks at the status.
	CheckHTTP
	// CheckHTTPS is CheckHTTP over TLS. The certificate is not verified.
	CheckHTTPS
	// CheckGRPC calls grpc.health.v1.Health/Check without TLS.
	CheckGRPC
	// CheckDNS asks for the A records of a name by UDP.
	CheckDNS
	// CheckICMP sends an echo request.
	CheckICMP
)

// CheckTypes lists every CheckType that asks something.
var CheckTypes = []CheckType{CheckTCP, CheckHTTP, CheckHTTPS, CheckGRPC, CheckDNS, CheckICMP}

var checkTypeNames = [...]string{"none", "tcp", "http", "https", "grpc", "dns", "icmp"}

// String is the document's word for t.
func (t CheckType) String() string {
	if int(t) < len(checkTypeNames) {
		return checkTypeNames[t]
	}
	return fmt.Sprintf("check(%d)", uint8(t))
}

// ParseCheckType accepts what String prints of CheckTypes.
func ParseCheckType(s string) (CheckType, error) {
	for _, t := range CheckTypes {
		if s == t.String() {
			return t, nil
		}
	}
	return CheckNone, fmt.Errorf("type %q: must be one of %s", s, strings.Join(checkTypeNames[1:], ", "))
}

// Health is how the backends of a pool are checked. The zero value checks nothing. In every other field but Type the
// zero value stands for the default.
type Health struct {
	Type CheckType
	// Port is 1 to 65535. Defaults: http 80, https 443, dns 53; tcp and grpc need one, icmp has none.
	Port uint16
	// Path is what http and https ask for; it starts with "/", which is also the default.
	Path string
	// Host is the name that http, https and grpc ask for (Host, :authority) and that https gives as TLS server name. The
	// default is the backend's address.
	Host string
	// Expect has the statuses that are good for http and https. Default 200-399: redirects are good and not followed.
	Expect StatusRange
	// Query is the name that dns asks for; required there.
	Query string
	// Service is the one that grpc asks for; empty is the server as a whole.
	Service string
	// Interval is from the start of one check to that of the next, MinInterval to MaxInterval. Default 2 s.
	Interval time.Duration
	// Timeout is how long an answer may take, MinTimeout to Interval. Default 1 s, or Interval where that is shorter.
	Timeout time.Duration
	// Rise is how many good results in a row make a backend up, 1 to MaxInRow. Default 2.
	Rise uint32
	// Fall is how many bad results in a row make a backend down, 1 to MaxInRow. Default 3.
	Fall uint32
}

// Defaults and limits of Health.
const (
	DefaultInterval = 2 * time.Second
	DefaultTimeout  = time.Second
	DefaultRise     = 2
	DefaultFall     = 3

	MinInterval = 100 * time.Millisecond
	MaxInterval = time.Hour
	MinTimeout  = 10 * time.Millisecond
	// MaxInRow bounds Rise and Fall.
	MaxInRow = 100
	// MaxHealthText bounds Path, Host, Query and Service, in bytes.
	MaxHealthText = 255
)

// DefaultExpect is the StatusRange of a check that names none.
var DefaultExpect = StatusRange{200, 399}

// WithDefaults fills in what is left out. The zero value stays as it is.
func (h Health) WithDefaults() Health {
	if h.Type == CheckNone {
		return h
	}
	fill(&h.Interval, DefaultInterval)
	fill(&h.Timeout, min(DefaultTimeout, h.Interval))
	fill(&h.Rise, DefaultRise)
	fill(&h.Fall, DefaultFall)
	switch h.Type {
	case CheckHTTP, CheckHTTPS:
		fill(&h.Path, "/")
		fill(&h.Expect, DefaultExpect)
		fill(&h.Port, map[CheckType]uint16{CheckHTTP: 80, CheckHTTPS: 443}[h.Type])
	case CheckDNS:
		fill(&h.Port, 53)
	case CheckNone, CheckTCP, CheckGRPC, CheckICMP:
	}
	return h
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// String is the check in one line: what is asked, and how often.
func (h Health) String() string {
	if h.Type == CheckNone {
		return h.Type.String()
	}
	h = h.WithDefaults()
	words := []string{h.Type.String()}
	add := func(name, value string) {
		if value != "" {
			words = append(words, name+" "+value)
		}
	}
	if h.Port != 0 {
		add("port", strconv.Itoa(int(h.Port)))
	}
	add("path", h.Path)
	add("host", h.Host)
	if h.Expect != (StatusRange{}) {
		add("expect", h.Expect.String())
	}
	add("query", h.Query)
	add("service", h.Service)
	add("every", h.Interval.String())
	add("timeout", h.Timeout.String())
	add("rise", strconv.Itoa(int(h.Rise)))
	add("fall", strconv.Itoa(int(h.Fall)))
	return strings.Join(words, " ")
}

// SameQuestion tells whether two checks ask the same, however often and with whatever patience.
func (h Health) SameQuestion(other Health) bool {
	for _, x := range []*Health{&h, &other} {
		*x = x.WithDefaults()
		x.Interval, x.Timeout, x.Rise, x.Fall = 0, 0, 0, 0
	}
	return h == other
}

// StatusRange is a range of HTTP statuses, both ends included.
type StatusRange struct{ Low, High uint16 }

// Contains tells whether a status is in the range.
func (r StatusRange) Contains(status int) bool { return int(r.Low) <= status && status <= int(r.High) }

// String is the document's form: "200-399", or "204" for a range of one.
func (r StatusRange) String() string {
	if r.Low == r.High {
		return strconv.Itoa(int(r.Low))
	}
	return fmt.Sprintf("%d-%d", r.Low, r.High)
}

// ParseStatusRange accepts what String prints: 100 to 599, ascending.
func ParseStatusRange(s string) (StatusRange, error) {
	low, high, isRange := strings.Cut(s, "-")
	if !isRange {
		high = low
	}
	l, err := strconv.ParseUint(low, 10, 16)
	h, err2 := strconv.ParseUint(high, 10, 16)
	if err != nil || err2 != nil || l < 100 || h > 599 || l > h {
		return StatusRange{}, fmt.Errorf("expect %q: must be an HTTP status or a range of them within 100-599, such as 200-399", s)
	}
	return StatusRange{uint16(l), uint16(h)}, nil
}

// PanicThreshold is the least share of a pool's enabled backends that must be up, in percent: with fewer, health is
// ignored and all are used. The zero value is DefaultPanicThreshold.
type PanicThreshold int8

const (
	// DefaultPanicThreshold: where three quarters fail together it is more often the check, or the way to it, than the
	// servers; and those left could not carry the load.
	DefaultPanicThreshold = 25
	// PanicNever is a threshold of 0: where all backends are down packets are dropped as VerdictNoBackend.
	PanicNever PanicThreshold = -1
)

// PanicPercent is the threshold of so many percent, 0 to 100, in canonical form.
func PanicPercent(percent uint32) PanicThreshold {
	switch percent {
	case 0:
		return PanicNever
	case DefaultPanicThreshold:
		return 0
	}
	return PanicThreshold(percent)
}

// Percent is the threshold in force, 0 to 100.
func (t PanicThreshold) Percent() uint32 {
	switch {
	case t == 0:
		return DefaultPanicThreshold
	case t < 0:
		return 0
	}
	return uint32(t)
}

// Panics tells whether so few of a pool's backends are up that health is to be ignored. Nothing panics where all are up.
func (t PanicThreshold) Panics(up, backends int) bool {
	return up < backends && up*100 < int(t.Percent())*backends
}

// health finds what is wrong with a pool's health check.
func (v *validator) health(path string, p Pool) {
	if t := p.PanicThreshold; t < PanicNever || t > 100 {
		v.add(path+".panic_threshold", "pool %q: panic_threshold %d is out of range (use 0 to 100 percent)", p.Name, t)
	}
	if p.Health.Type == CheckNone {
		if p.Health != (Health{}) {
			v.add(path+".health.type", "pool %q: a health check needs a type (use one of %s)", p.Name, strings.Join(checkTypeNames[1:], ", "))
		}
		return
	}
	h := healthValidator{v, path + ".health", fmt.Sprintf("pool %q: health check %s", p.Name, p.Health.Type), p.Health}
	if !slices.Contains(CheckTypes, p.Health.Type) {
		h.add("type", "is not known (use one of %s)", strings.Join(checkTypeNames[1:], ", "))
		return
	}
	h.belongs()
	h.texts()
	h.ranges()
}

// healthValidator checks one Health.
type healthValidator struct {
	v    *validator
	path string
	who  string
	Health
}

func (h healthValidator) add(field, format string, args ...any) {
	h.v.add(h.path+"."+field, "%s %s", h.who, fmt.Sprintf(format, args...))
}

// belongs refuses fields that the type does not have, and misses those that it needs.
func (h healthValidator) belongs() {
	http := []CheckType{CheckHTTP, CheckHTTPS}
	for _, f := range []struct {
		name  string
		given bool
		types []CheckType
	}{
		{"port", h.Port != 0, []CheckType{CheckTCP, CheckHTTP, CheckHTTPS, CheckGRPC, CheckDNS}},
		{"path", h.Path != "", http},
		{"host", h.Host != "", append(http, CheckGRPC)},
		{"expect", h.Expect != StatusRange{}, http},
		{"query", h.Query != "", []CheckType{CheckDNS}},
		{"service", h.Service != "", []CheckType{CheckGRPC}},
	} {
		if f.given && !slices.Contains(f.types, h.Type) {
			h.add(f.name, "has no %s (remove it)", f.name)
		}
	}
	if h.Port == 0 && (h.Type == CheckTCP || h.Type == CheckGRPC) {
		h.add("port", "needs a port (use 1 to 65535)")
	}
	if h.Query == "" && h.Type == CheckDNS {
		h.add("query", "needs a query (name something that the server knows)")
	}
}

// texts checks what is sent as it is.
func (h healthValidator) texts() {
	for _, f := range []struct{ name, value, first, valid, remedy string }{
		{"path", h.Path, "/", "", "start with '/' and use printable ASCII without spaces"},
		{"host", h.Host, "", hostCharacters + ":[]", "use a host name or an address, with a port if need be"},
		{"query", h.Query, "", hostCharacters, "use a domain name"},
		{"service", h.Service, "", "", "use printable ASCII without spaces"},
	} {
		bad := func(r rune) bool { return r <= ' ' || r > '~' || f.valid != "" && !strings.ContainsRune(f.valid, r) }
		switch {
		case len(f.value) > MaxHealthText:
			h.add(f.name, "has a %s of %d bytes (use at most %d)", f.name, len(f.value), MaxHealthText)
		case f.value != "" && (!strings.HasPrefix(f.value, f.first) || strings.ContainsFunc(f.value, bad)):
			h.add(f.name, "has the %s %q, which is not valid (%s)", f.name, f.value, f.remedy)
		case f.name == "query" && f.value != "" && !validDomain(f.value):
			h.add(f.name, "has the query %q, which is not valid (%s: labels of 1 to 63 characters)", f.value, f.remedy)
		}
	}
}

const hostCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"

// validDomain tells whether a name has no empty or too long label; the root is valid.
func validDomain(name string) bool {
	if name == "." {
		return true
	}
	name = strings.TrimSuffix(name, ".")
	for label := range strings.SplitSeq(name, ".") {
		if len(label) == 0 || len(label) > 63 {
			return false
		}
	}
	return len(name) <= 253
}

// ranges checks the numbers; 0 is the default.
func (h healthValidator) ranges() {
	if r := h.Expect; r != (StatusRange{}) && (r.Low < 100 || r.High > 599 || r.Low > r.High) {
		h.add("expect", "expects %s, which is not a range of statuses (use one within 100-599)", r)
	}
	if h.Interval != 0 && (h.Interval < MinInterval || h.Interval > MaxInterval) {
		h.add("interval", "has an interval of %s (use %s to %s)", h.Interval, MinInterval, MaxInterval)
	}
	if most := h.WithDefaults().Interval; h.Timeout != 0 && (h.Timeout < MinTimeout || h.Timeout > most) {
		h.add("timeout", "has a timeout of %s (use %s to the interval, %s)", h.Timeout, MinTimeout, most)
	}
	if h.Rise > MaxInRow {
		h.add("rise", "has a rise of %d (use 1 to %d)", h.Rise, MaxInRow)
	}
	if h.Fall > MaxInRow {
		h.add("fall", "has a fall of %d (use 1 to %d)", h.Fall, MaxInRow)
	}
}
