package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Why the guard refuses.
const (
	refusedHost   = "host"
	refusedMethod = "method"
)

// guard lets pass what may be answered.
type guard struct {
	next    http.Handler
	hosts   []string // in lower case
	refused func(reason string)
}

func (g guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
	switch {
	case !g.knows(r.Host):
		g.refused(refusedHost)
		http.Error(w, fmt.Sprintf("host %q is not this node's (use its address, or list the name under http_hosts: in the node's file)", r.Host),
			http.StatusMisdirectedRequest)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		g.refused(refusedMethod)
		header.Set("Allow", "GET, HEAD")
		http.Error(w, fmt.Sprintf("method %q is not allowed here (changes go through the control API)", r.Method), http.StatusMethodNotAllowed)
	default:
		r.Body = http.NoBody // nothing here reads one
		g.next.ServeHTTP(w, r)
	}
}

// knows tells whether a request for a Host may be meant for this node. A name that anybody's DNS can point here may not;
// an address is nobody's to choose.
func (g guard) knows(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host == "localhost" || slices.Contains(g.hosts, host)
}
