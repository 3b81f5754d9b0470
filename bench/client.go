package bench

import "net/netip"

// conversation is both directions of a five-tuple.
type conversation struct {
	kind Kind
	// low and high are the two ends, in the order of netip.AddrPort.Compare.
	low, high netip.AddrPort
}

func (h header) conversation() conversation {
	if h.source.Compare(h.destination) < 0 {
		return conversation{h.kind, h.source, h.destination}
	}
	return conversation{h.kind, h.destination, h.source}
}

// evidence says how sure it is who the client is.
type evidence uint8

const (
	firstSpoke evidence = iota + 1 // sent the first recorded packet
	privileged                     // talks to a port below 1024 from one that is not
	handshake                      // sent a SYN, or was sent a SYN with ACK
)

const firstUserPort = 1024

// client is what one packet says about the client of its conversation.
func (h header) client() (netip.AddrPort, evidence) {
	switch {
	case h.syn && !h.ack:
		return h.source, handshake
	case h.syn:
		return h.destination, handshake
	case h.source.Port() >= firstUserPort && h.destination.Port() < firstUserPort:
		return h.source, privileged
	case h.source.Port() < firstUserPort && h.destination.Port() >= firstUserPort:
		return h.destination, privileged
	}
	return h.source, firstSpoke
}

// clients finds the client of every conversation of a capture: the best evidence wins, and the earlier of equals.
func (c *Capture) clients() map[conversation]netip.AddrPort {
	best := map[conversation]evidence{}
	clients := map[conversation]netip.AddrPort{}
	for _, p := range c.packets {
		if p.reason != "" {
			continue
		}
		key := p.header.conversation()
		if client, e := p.header.client(); e > best[key] {
			best[key], clients[key] = e, client
		}
	}
	return clients
}
