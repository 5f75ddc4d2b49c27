package devices

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Endpoint is where a device listens.
type Endpoint struct {
	Host string // a name or an address, without brackets
	Port uint16
}

// String is "host:port", with brackets around an IPv6 address.
func (e Endpoint) String() string { return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))) }

// ParseEndpoint reads the setting called name: "host:port", or "host" where there is a usual port. A usual port of 0 is none.
func ParseEndpoint(name, text string, usual uint16) (Endpoint, error) {
	if text == "" {
		return Endpoint{}, BadSetting(name, "it is missing: give a host and a port, like 192.0.2.1:80 or [2001:db8::1]:80")
	}
	if usual != 0 {
		if at, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
			return Endpoint{Host: at.String(), Port: usual}, nil
		}
		if !strings.Contains(text, ":") {
			return Endpoint{Host: text, Port: usual}, CheckHost(name, text)
		}
	}
	host, digits, err := net.SplitHostPort(text)
	if err != nil {
		return Endpoint{}, BadSetting(name, "%q is no host with a port, like 192.0.2.1:80 or [2001:db8::1]:80", text)
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || port == 0 {
		return Endpoint{}, BadSetting(name, "%q is not a port: use a number from 1 to 65535", digits)
	}
	return Endpoint{Host: host, Port: uint16(port)}, CheckHost(name, host)
}

// CheckHost checks that the setting called name can be the name or the address of a host.
func CheckHost(name, host string) error {
	if host == "" {
		return BadSetting(name, "the host is missing")
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	foreign := func(r rune) bool {
		return r != '-' && r != '_' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	if len(host) > 253 || strings.ContainsFunc(host, foreign) || strings.HasPrefix(host, "-") {
		return BadSetting(name, "%q is neither the name nor the address of a host", host)
	}
	return nil
}
