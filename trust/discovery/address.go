package discovery

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// ErrAddress is wrapped by the refusal to dial an address.
var ErrAddress = errors.New("address is refused")

// never are addresses that no issuer stands on, whatever the operator allows:
// this host in disguise, everybody at once, and the services that hand cloud machines
// their credentials.
var never = prefixes(
	"0.0.0.0/8",          // "this" network; 0.0.0.0 dials the local host
	"169.254.0.0/16",     // link-local, and the metadata service of most clouds
	"168.63.129.16/32",   // metadata of Azure
	"100.100.100.200/32", // metadata of Alibaba Cloud
	"192.0.0.192/32",     // metadata of Oracle Cloud
	"224.0.0.0/4", "240.0.0.0/4",
	"::/128", "fe80::/10", "ff00::/8",
	"fd00:ec2::/32",    // metadata of AWS over IPv6
	"fd20:ce::254/128", // metadata of Google Cloud over IPv6
)

// private are addresses inside somebody's own network: an issuer may stand there
// only if its policy says so.
var private = prefixes(
	"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8",
	"100.64.0.0/10",                                                                      // carrier-grade NAT
	"192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", // special use
	"192.88.99.0/24", // 6to4 relays
	"::1/128", "fc00::/7",
	"fec0::/10",                  // the old site-local
	"2001:db8::/32", "3fff::/20", // documentation
	"2001::/23", // Teredo and other protocol assignments
	"5f00::/16", "100::/64",
	"64:ff9b:1::/48", // translation inside one network
)

// globalUnicast is all of IPv6 that can be on the Internet (RFC 4291, section 2.4).
var globalUnicast = netip.MustParsePrefix("2000::/3")

// prefixes is for literals of this file; a wrong one stops every test at once.
func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		list[i] = netip.MustParsePrefix(t)
	}
	return list
}

// checkAddress says why an address must not be dialled, or nil. It judges the
// address that IPv6 hides as well: mapped, NAT64 and 6to4 forms lead to IPv4 hosts.
func checkAddress(a netip.Addr, allowPrivate bool) error {
	for _, hidden := range embedded(a) {
		if err := checkAddress(hidden, allowPrivate); err != nil {
			return fmt.Errorf("%w (inside %s)", err, a)
		}
	}
	// One form for each host: ::ffff:10.0.0.1 is 10.0.0.1, and a zone changes nothing about
	// where an address lies.
	a = a.Unmap().WithZone("")
	for _, p := range never {
		if p.Contains(a) {
			return fmt.Errorf("%w: %s is never an issuer's (%s)", ErrAddress, a, p)
		}
	}
	if allowPrivate {
		return nil
	}
	for _, p := range private {
		if p.Contains(a) {
			return fmt.Errorf("%w: %s is private (%s); if the issuer really stands there, set allow_private_addresses for it", ErrAddress, a, p)
		}
	}
	if a.Is6() && !globalUnicast.Contains(a) && !nat64.Contains(a) {
		return fmt.Errorf("%w: %s is not a public address", ErrAddress, a)
	}
	return nil
}

var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	nat64Local = netip.MustParsePrefix("64:ff9b:1::/48")
	sixToFour  = netip.MustParsePrefix("2002::/16")
	compatible = netip.MustParsePrefix("::/96") // IPv4-compatible, deprecated
)

// embedded gives the IPv4 addresses that an IPv6 address leads to.
func embedded(a netip.Addr) []netip.Addr {
	if !a.Is6() || a.Is4In6() {
		return nil
	}
	b := a.As16()
	last := netip.AddrFrom4([4]byte(b[12:]))
	switch {
	case nat64.Contains(a), nat64Local.Contains(a):
		return []netip.Addr{last}
	case sixToFour.Contains(a):
		return []netip.Addr{netip.AddrFrom4([4]byte(b[2:6]))}
	case compatible.Contains(a) && a != netip.IPv6Unspecified() && a != netip.IPv6Loopback():
		return []netip.Addr{last}
	}
	return nil
}

// control is called with the very address that is about to be connected to, after
// all names are resolved: a name that resolves differently the second time gains
// nothing.
func control(allowPrivate bool) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return fmt.Errorf("%w: %.80q", ErrAddress, address)
		}
		a, err := netip.ParseAddr(host)
		if err != nil {
			return fmt.Errorf("%w: %.80q", ErrAddress, address)
		}
		return checkAddress(a, allowPrivate)
	}
}
