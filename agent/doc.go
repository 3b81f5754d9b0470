// Package agent is the backend's side of the load balancer: it takes the outer header off packets to a VIP, puts the
// VIPs on the loopback interface, sets the sysctls that direct return needs and keeps the MSS of clients small enough.
//
// What it sets up is in the kernel and on disk, not in the process: a killed agent is no outage, and the next one adopts
// what it finds. Detach puts everything back as it was.
package agent
