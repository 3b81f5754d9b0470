package lb

import "fmt"

// Protocol is the IANA number of a transport protocol that a VIP can have.
type Protocol uint8

// The protocols of a VIP.
const (
	TCP Protocol = 6
	UDP Protocol = 17
)

// Protocols lists every Protocol.
var Protocols = []Protocol{TCP, UDP}

// String is the document's word for p.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return fmt.Sprintf("protocol(%d)", uint8(p))
}

// ParseProtocol accepts what String prints.
func ParseProtocol(s string) (Protocol, error) {
	for _, p := range Protocols {
		if s == p.String() {
			return p, nil
		}
	}
	return 0, fmt.Errorf("protocol %q: must be one of tcp, udp", s)
}
