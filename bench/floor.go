package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// newFloor loads the programs that a target is compared with, in its form.
func newFloor(family Family, form Form) (*floorPrograms, error) {
	spec, err := loadFloor()
	if err != nil {
		return nil, err
	}
	form.shape(spec.Programs)
	v4, sum := outerV4()
	v6 := outerV6()
	err = errors.Join(
		spec.Variables[floorVarIpv6].Set(family == IPv6),
		spec.Variables[floorVarOuterV4].Set([4]uint64(nativeWords(v4))),
		spec.Variables[floorVarOuterV4End].Set(binary.NativeEndian.Uint16(v4[32:])),
		spec.Variables[floorVarOuterV4Sum].Set(sum),
		spec.Variables[floorVarOuterV6].Set([6]uint64(nativeWords(v6))),
		spec.Variables[floorVarOuterV6Mid].Set(binary.NativeEndian.Uint32(v6[48:])),
		spec.Variables[floorVarOuterV6End].Set(binary.NativeEndian.Uint16(v6[52:])))
	if err != nil {
		return nil, fmt.Errorf("set the floor program's header: %w", err)
	}
	programs := &floorPrograms{}
	if err := spec.LoadAndAssign(programs, nil); err != nil {
		return nil, fmt.Errorf("load the floor program: %w", err)
	}
	return programs, nil
}

func nativeWords(b []byte) []uint64 {
	words := make([]uint64, len(b)/8)
	for i := range words {
		words[i] = binary.NativeEndian.Uint64(b[i*8:])
	}
	return words
}

func ethernet(etherType uint16) []byte {
	b := append(append([]byte(nil), routerMAC[:]...), stationMAC[:]...)
	return binary.BigEndian.AppendUint16(b, etherType)
}

// Protocol numbers of IPIP.
const (
	protocolIPIP = 4
	protocolIPv6 = 41
)

// outerV4 is the floor's Ethernet and IPv4 header and the sum of the latter, without length.
func outerV4() ([]byte, uint32) {
	b := append(ethernet(0x0800), make([]byte, ipv4Bytes)...)
	ip := b[ethernetBytes:]
	headerV4(ip, netip.MustParseAddr("10.0.0.2"), protocolIPIP)
	copy(ip[12:], netip.MustParseAddr("10.0.0.1").AsSlice())
	return b, uint32(networkOrder16(onesSum(0, ip)))
}

// outerV6 is the floor's Ethernet and IPv6 header, without length.
func outerV6() []byte {
	b := append(ethernet(0x86dd), make([]byte, ipv6Bytes)...)
	headerV6(b[ethernetBytes:], netip.MustParseAddr("fd00::2"), protocolIPv6)
	copy(b[ethernetBytes+8:], netip.MustParseAddr("fd00::1").AsSlice())
	return b
}
