package lab

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"
)

// floodSYN sends forged SYNs to the line port of both VIPs for a while, so many a second to each. Their sources are not in
// the lab: nobody answers the answers.
func floodSYN(n *Namespace, duration time.Duration, rate int) error {
	const batch = 50
	return n.Do(func() error {
		v4, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(v4) }()
		v6, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(v6) }()
		for sent, end := 0, time.Now().Add(duration); time.Now().Before(end); sent += batch {
			for i := range batch {
				if err := sendSYN(v4, v6, sent+i); err != nil {
					return fmt.Errorf("sending SYN %d: %w", sent+i, err)
				}
			}
			time.Sleep(time.Second * batch / time.Duration(rate))
		}
		return nil
	})
}

// sendSYN sends the nth SYN to each VIP, each from another address and port.
func sendSYN(v4, v6, n int) error {
	from4 := [4]byte{192, 0, 2, byte(1 + n%250)}
	from6 := netip.MustParseAddr("2001:db8:bad::").As16()
	from6[14], from6[15] = byte(n>>8), byte(n)
	tcp := &layers.TCP{SrcPort: layers.TCPPort(1024 + n%60000), DstPort: LinePort, Seq: uint32(n), SYN: true, Window: 64240}
	ip4 := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: from4[:], DstIP: net.IP(VIPV4.AsSlice())}
	ip6 := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: from6[:], DstIP: net.IP(VIPV6.AsSlice())}
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	packet := gopacket.NewSerializeBuffer()
	_ = tcp.SetNetworkLayerForChecksum(ip4)
	if err := gopacket.SerializeLayers(packet, options, ip4, tcp); err != nil {
		return err
	}
	if err := unix.Sendto(v4, packet.Bytes(), 0, &unix.SockaddrInet4{Addr: VIPV4.As4()}); err != nil {
		return err
	}
	_ = tcp.SetNetworkLayerForChecksum(ip6)
	if err := gopacket.SerializeLayers(packet, options, ip6, tcp); err != nil {
		return err
	}
	return unix.Sendto(v6, packet.Bytes(), 0, &unix.SockaddrInet6{Addr: VIPV6.As16()})
}
