// Package lab raises a small network in which a real client talks through real Sluice binaries, in network namespaces
// of one Linux machine. It needs root and nothing else: no `ip`, no virtual machine, no interface of the host.
//
//	  client                 router                      load balancer
//	203.0.113.2  -- cl0 -- forwards, and sends -- lb0 -- 10.9.2.2         lbd, XDP on eth0
//	2001:db8:203::2        198.51.100.0/24 and           fd00:9:2::2
//	                       2001:db8:100::/64 to
//	                       the load balancer
//	                              |
//	                              +-- b1 -- 10.9.11.2, fd00:9:11::2       web-1: lbagent, servers
//	                              +-- b2 -- 10.9.12.2, fd00:9:12::2       web-2
//	                              +-- ...
//
// Requests travel client, router, load balancer, router, backend; answers go from the backend to the client by the
// router alone (direct server return). The links of the load balancer and of the backends have an MTU of 1600 bytes so
// that the outer header fits around a client's 1500.
//
// Everything carries the name of the Topology, which holds the process id of its owner: namespaces
// /run/netns/NAME-*, pins below /sys/fs/bpf/NAME-*, sockets, stores and logs in /run/sluice-lab/NAME. Close removes all
// of it; Sweep removes what owners that died could not.
//
// Three traps of veth links that a real network card does not have, and what is done about each of them:
//
//   - A frame that XDP transmits is lost unless the other end of the veth pair runs an XDP program too: the router's
//     end of the load balancer's link has one that passes everything (passall.go).
//   - Senders leave the transport checksum to the card, and XDP frames lose the mark that says so: the client computes
//     its checksums itself (wire.go).
//   - An answer whose source is a VIP enters the router by another link than the route to the VIP names: the router's
//     reverse path filter is off (topology.go).
package lab
