package bench

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"unsafe"

	"github.com/sluice-lb/sluice/lb"
)

// Distribution says how packets spread over flows.
type Distribution uint8

const (
	// Uniform gives every flow the same number of packets, in random order.
	Uniform Distribution = iota
	// Zipf gives the k-th flow a share in proportion to k^-ZipfExponent.
	Zipf
)

// ZipfExponent is a common fit for the popularity of servers and clients.
const ZipfExponent = 1.1

// String is "uniform" or "zipf".
func (d Distribution) String() string {
	if d == Zipf {
		return "zipf"
	}
	return "uniform"
}

// ParseDistribution accepts what String prints.
func ParseDistribution(s string) (Distribution, error) {
	for _, d := range []Distribution{Uniform, Zipf} {
		if s == d.String() {
			return d, nil
		}
	}
	return 0, fmt.Errorf("distribution %q: must be uniform or zipf", s)
}

const (
	clientAddresses = 254  // 203.0.113.1 to .254 (RFC 5737), or the same low bits behind 2001:db8:c:: (RFC 3849)
	firstPort       = 1024 // of a client
	// MaxFlows is the number of different client addresses and ports.
	MaxFlows = clientAddresses * (1<<16 - firstPort)

	// minPackets keeps the branch predictor from learning a stream of few flows by heart.
	minPackets = 1 << 16
	// minZipfPackets gives rare flows a chance to appear.
	minZipfPackets = 1 << 18
)

// FlowOptions describe generated traffic.
type FlowOptions struct {
	// Flows is the number of flows, 1 to MaxFlows.
	Flows int
	// Distribution of packets over flows.
	Distribution Distribution
	// SYN is the share of TCP packets that are first packets, 0 to 1; the others are ACKs.
	SYN float64
	// Sizes are the frames' lengths in bytes, from which each packet takes one at random. At least 64 with IPv4 and 80
	// with IPv6, at most MaxFrame. With a single size the replayer never touches the tail of its buffer.
	Sizes []int
	// Family and Protocol of every packet.
	Family   Family
	Protocol lb.Protocol
	// Seed makes the order reproducible.
	Seed uint64
}

// Validate refuses options that no traffic can have.
func (o FlowOptions) Validate() error {
	least := outlineV4Bytes
	if o.Family == IPv6 {
		least = outlineV6Bytes
	}
	switch {
	case o.Flows < 1 || o.Flows > MaxFlows:
		return fmt.Errorf("flows %d: must be 1 to %d", o.Flows, MaxFlows)
	case o.SYN < 0 || o.SYN > 1:
		return fmt.Errorf("syn share %v: must be 0 to 1", o.SYN)
	case o.Family != IPv4 && o.Family != IPv6:
		return fmt.Errorf("family %s: must be 4 or 6", o.Family)
	case !slices.Contains(lb.Protocols, o.Protocol):
		return fmt.Errorf("protocol %s: must be one of %v", o.Protocol, lb.Protocols)
	case len(o.Sizes) == 0:
		return fmt.Errorf("size: none given (%d to %d bytes)", least, MaxFrame)
	}
	for _, size := range o.Sizes {
		if size < least || size > MaxFrame {
			return fmt.Errorf("size %d: must be %d to %d bytes with IPv%s", size, least, MaxFrame, o.Family)
		}
	}
	return nil
}

// String names the options in one line.
func (o FlowOptions) String() string {
	return fmt.Sprintf("flows=%d dist=%s syn=%g size=%v family=%s protocol=%s",
		o.Flows, o.Distribution, o.SYN, o.Sizes, o.Family, o.Protocol)
}

// Generate makes traffic from o.Flows clients; flow i goes to endpoint i modulo their number. Endpoints must be of the
// options' family. Transport checksums are
// zero: no load balancer reads them.
func Generate(o FlowOptions, endpoints []netip.AddrPort) (*Stream, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("generate traffic: %w", err)
	}
	if len(endpoints) == 0 {
		return nil, fmt.Errorf("generate traffic: no VIP takes %s over IPv%s", o.Protocol, o.Family)
	}
	random := rand.New(rand.NewPCG(o.Seed, 0))
	s := &Stream{Name: o.String(), Family: o.Family, Flows: o.Flows, protocol: o.Protocol}
	for _, e := range endpoints {
		s.outlines = append(s.outlines, outlineFor(e, o.Protocol))
	}
	order := o.order(random)
	s.packets = make([]replayPacket, len(order))
	for i, flow := range order {
		s.packets[i] = o.packet(random, int(flow), len(endpoints))
	}
	if o.Distribution == Zipf {
		slices.Sort(order)
		s.Flows = len(slices.Compact(order))
	}
	return s, nil
}

// order is the flow of each packet.
func (o FlowOptions) order(random *rand.Rand) []uint32 {
	if o.Distribution == Zipf {
		ranks := rand.NewZipf(random, ZipfExponent, 1, uint64(o.Flows-1))
		order := make([]uint32, max(o.Flows, minZipfPackets))
		for i := range order {
			order[i] = uint32(ranks.Uint64())
		}
		return order
	}
	laps := (minPackets + o.Flows - 1) / o.Flows
	order := make([]uint32, laps*o.Flows)
	for i := range order {
		order[i] = uint32(i % o.Flows)
	}
	random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}

const (
	tcpSYN = 0x02
	tcpACK = 0x10
)

func (o FlowOptions) packet(random *rand.Rand, flow, endpoints int) replayPacket {
	client := clientOf(flow, o.Family)
	address := client.Addr().AsSlice()
	p := replayPacket{
		Source:  binary.NativeEndian.Uint32(address[len(address)-4:]),
		Port:    networkOrder16(client.Port()),
		Length:  uint16(o.Sizes[random.IntN(len(o.Sizes))]),
		Outline: uint32(flow % endpoints),
		Flags:   tcpACK,
	}
	if random.Float64() < o.SYN {
		p.Flags = tcpSYN
	}
	return p
}

// clientOf is the source of a flow.
func clientOf(flow int, family Family) netip.AddrPort {
	host := byte(1 + flow%clientAddresses)
	port := uint16(firstPort + flow/clientAddresses)
	if family == IPv4 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, host}), port)
	}
	address := netip.MustParseAddr("2001:db8:c::").As16()
	address[15] = host
	return netip.AddrPortFrom(netip.AddrFrom16(address), port)
}

// The Ethernet addresses of generated frames: documentation ones (RFC 7042), to a station, from a router.
var (
	stationMAC = [6]byte{0x00, 0x00, 0x5e, 0x00, 0x53, 0x01}
	routerMAC  = [6]byte{0x00, 0x00, 0x5e, 0x00, 0x53, 0x02}
)

// outlineFor is the frame to one endpoint, without what differs from packet to packet.
func outlineFor(to netip.AddrPort, protocol lb.Protocol) replayOutline {
	var o replayOutline
	b := unsafe.Slice((*byte)(unsafe.Pointer(&o.Words[0])), len(o.Words)*8)
	copy(b[0:], stationMAC[:])
	copy(b[6:], routerMAC[:])
	ip := b[ethernetBytes:]
	transport := ip[ipv4Bytes:]
	if to.Addr().Is4() {
		binary.BigEndian.PutUint16(b[12:], 0x0800)
		headerV4(ip, to.Addr(), protocol)
		// The sum is kept in the order in which the program adds its 16-bit fields.
		o.Sum = uint32(networkOrder16(onesSum(0, ip[:ipv4Bytes])))
	} else {
		binary.BigEndian.PutUint16(b[12:], 0x86dd)
		headerV6(ip, to.Addr(), protocol)
		transport = ip[ipv6Bytes:]
	}
	binary.BigEndian.PutUint16(transport[2:], to.Port())
	if protocol == lb.TCP {
		binary.BigEndian.PutUint32(transport[4:], 1) // sequence number
		transport[12] = 5 << 4                       // header length in words
		binary.BigEndian.PutUint16(transport[14:], 512)
	}
	return o
}

func headerV4(ip []byte, to netip.Addr, protocol lb.Protocol) {
	ip[0] = 4<<4 | 5
	binary.BigEndian.PutUint16(ip[6:], 0x4000) // do not fragment
	ip[8] = 64                                 // TTL
	ip[9] = byte(protocol)
	copy(ip[16:], to.AsSlice())
}

func headerV6(ip []byte, to netip.Addr, protocol lb.Protocol) {
	ip[0] = 6 << 4
	ip[6] = byte(protocol)
	ip[7] = 64 // hop limit
	source := netip.MustParseAddr("2001:db8:c::").As16()
	copy(ip[8:], source[:])
	copy(ip[24:], to.AsSlice())
}
