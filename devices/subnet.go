package devices

import (
	"net/netip"
	"strings"

	"banyan/model"
)

// MaxAddresses is how many addresses one discovery asks at most: a /20 of IPv4, a /116 of IPv6.
const MaxAddresses = 4096

// Addresses are those that a text names: prefixes (10.0.0.0/24), ranges (10.0.0.1-10.0.0.50) and single addresses, separated by commas,
// each address once and in the order of the text. Of an IPv4 prefix the first and the last one are left out, which are the network and
// everybody in it, unless it has two addresses or one. More than MaxAddresses, and what is no single machine's address, are refused.
func Addresses(text string) ([]netip.Addr, error) {
	var all []netip.Addr
	seen := map[netip.Addr]bool{}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		first, last, err := span(part)
		if err != nil {
			return nil, err
		}
		for at := first; at.IsValid() && !last.Less(at); at = at.Next() {
			if seen[at] {
				continue
			}
			if len(all) == MaxAddresses {
				return nil, &model.Error{
					Kind: model.KindInvalid, Detail: "more than 4096 addresses are meant", Remedy: "ask for a part at a time: a /20 of IPv4 or a /116 of IPv6 at most",
				}
			}
			seen[at] = true
			all = append(all, at)
		}
	}
	return all, nil
}

// span is the first and the last address that a part of the text means.
func span(part string) (first, last netip.Addr, err error) {
	wrong := model.Errorf(model.KindInvalid, "%.64q is no subnet: expected something like 10.0.0.0/24, 10.0.0.1-10.0.0.50 or 10.0.0.1", part)
	from, to, isRange := strings.Cut(part, "-")
	prefix, prefixErr := netip.ParsePrefix(part)
	switch {
	case prefixErr == nil:
		first, last = prefixSpan(prefix.Masked())
	case isRange:
		first, err = netip.ParseAddr(strings.TrimSpace(from))
		if last, prefixErr = netip.ParseAddr(strings.TrimSpace(to)); err != nil || prefixErr != nil || first.BitLen() != last.BitLen() || last.Less(first) {
			return first, last, wrong
		}
	default:
		if first, err = netip.ParseAddr(part); err != nil {
			return first, last, wrong
		}
		last = first
	}
	for _, at := range []netip.Addr{first, last} {
		if at.IsMulticast() || at.IsUnspecified() || at.Zone() != "" || at.Is4In6() || at == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
			return first, last, model.Errorf(model.KindInvalid, "%s is not the address of a single machine", at)
		}
	}
	return first, last, nil
}

// prefixSpan is the first and the last address of a prefix that machines can have.
func prefixSpan(p netip.Prefix) (first, last netip.Addr) {
	raw := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(raw)*8; bit++ {
		raw[bit/8] |= 1 << (7 - bit%8)
	}
	first = p.Addr()
	last, _ = netip.AddrFromSlice(raw) // as long as the prefix's
	if first.Is4() && p.Bits() < 31 {
		return first.Next(), last.Prev()
	}
	return first, last
}
