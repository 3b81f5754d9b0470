// Package nexthop finds out how packets to each backend leave this node, and keeps watching.
//
// The data plane looks nothing up per packet: it writes a ready Ethernet header. So somebody must know, for every
// backend address, the egress interface, the gateway, the source address, the MTU and the next hop's link-layer
// address, and must notice when one of them changes. Since XDP's packets never pass the kernel's neighbour table they
// do not keep its entries alive either: the Watcher probes.
//
//	kernel.go    what the Watcher asks of the kernel
//	watcher.go   the addresses watched, and the loop
//	entry.go     one address: what is known, and its state
//	netlink.go   the kernel's answers by rtnetlink
//	routes.go    route and path of an address, by rtnetlink
//	subscribe.go changes, by rtnetlink
package nexthop
