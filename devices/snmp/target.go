package snmp

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/gosnmp/gosnmp"

	"banyan/devices"
)

// target is whom to ask, and as whom.
type target struct {
	host    string
	port    uint16
	version gosnmp.SnmpVersion

	community string // versions 1 and 2c

	user         string // version 3
	auth         gosnmp.SnmpV3AuthProtocol
	authPassword string
	priv         gosnmp.SnmpV3PrivProtocol
	privPassword string
	context      string

	retries int // how often a request is sent again
}

const (
	defaultPort  = 161
	maxCommunity = 127 // gosnmp writes its length in one octet
	maxName      = 32  // of users and contexts: RFC 3411
	minPassword  = 8   // RFC 3414, 11.2
	maxPassword  = 255
	maxRetries   = 10
	portOfSNMP   = "161"
)

var versions = map[string]gosnmp.SnmpVersion{"1": gosnmp.Version1, "2c": gosnmp.Version2c, "3": gosnmp.Version3}

var authProtocols = map[string]gosnmp.SnmpV3AuthProtocol{
	"none": gosnmp.NoAuth, "md5": gosnmp.MD5, "sha": gosnmp.SHA, "sha224": gosnmp.SHA224, "sha256": gosnmp.SHA256,
	"sha384": gosnmp.SHA384, "sha512": gosnmp.SHA512,
}

// The names with a c behind them are those whose keys are made longer in Cisco's way.
var privProtocols = map[string]gosnmp.SnmpV3PrivProtocol{
	"none": gosnmp.NoPriv, "des": gosnmp.DES, "aes": gosnmp.AES, "aes192": gosnmp.AES192, "aes256": gosnmp.AES256,
	"aes192c": gosnmp.AES192C, "aes256c": gosnmp.AES256C,
}

// targetOf reads the settings that say whom to ask.
func targetOf(s devices.Settings) (target, error) {
	t := target{community: s["community"].Text(), retries: int(s["retries"].Int64())}
	var err error
	if t.host, t.port, err = splitAddress(s["address"].Text()); err != nil {
		return t, err
	}
	if t.version, err = oneOf("version", s["version"].Text(), versions); err != nil {
		return t, err
	}
	if n := s["retries"].Int64(); n < 0 || n > maxRetries {
		return t, devices.BadSetting("retries", "it is %d, and can be 0 to %d", n, maxRetries)
	}
	if t.version == gosnmp.Version3 {
		return t, t.identify(s)
	}
	if n := len(t.community); n > maxCommunity {
		return t, devices.BadSetting("community", "it has %d bytes, and can have %d", n, maxCommunity)
	}
	return t, nil
}

// identify reads who we are to a device that speaks version 3.
func (t *target) identify(s devices.Settings) (err error) {
	if t.auth, err = oneOf("auth_protocol", strings.ToLower(s["auth_protocol"].Text()), authProtocols); err != nil {
		return err
	}
	if t.priv, err = oneOf("priv_protocol", strings.ToLower(s["priv_protocol"].Text()), privProtocols); err != nil {
		return err
	}
	t.user, t.context = s["user"].Text(), s["context_name"].Text()
	t.authPassword, t.privPassword = s["auth_password"].Text(), s["priv_password"].Text()
	switch {
	case t.user == "":
		return devices.BadSetting("user", "version 3 needs a user")
	case len(t.user) > maxName:
		return devices.BadSetting("user", "it has %d bytes, and can have %d", len(t.user), maxName)
	case len(t.context) > maxName:
		return devices.BadSetting("context_name", "it has %d bytes, and can have %d", len(t.context), maxName)
	case t.priv != gosnmp.NoPriv && t.auth == gosnmp.NoAuth:
		return devices.BadSetting("auth_protocol", "privacy needs authentication: choose a protocol for it as well")
	}
	if t.auth != gosnmp.NoAuth {
		if err := checkPassword("auth_password", t.authPassword); err != nil {
			return err
		}
	}
	if t.priv != gosnmp.NoPriv {
		return checkPassword("priv_password", t.privPassword)
	}
	return nil
}

func checkPassword(setting, password string) error {
	switch n := len(password); {
	case n == 0:
		return devices.BadSetting(setting, "the chosen protocol needs a password")
	case n < minPassword:
		return devices.BadSetting(setting, "it is shorter than %d characters", minPassword)
	case n > maxPassword:
		return devices.BadSetting(setting, "it is longer than %d characters", maxPassword)
	}
	return nil
}

func oneOf[T any](setting, word string, known map[string]T) (T, error) {
	if v, ok := known[word]; ok {
		return v, nil
	}
	var words []string
	for w := range known {
		words = append(words, w)
	}
	slices.Sort(words)
	var none T
	return none, devices.BadSetting(setting, "%.40q is not known: use one of %s", word, strings.Join(words, ", "))
}

// splitAddress takes apart "host", "host:port", "[2001:db8::1]:port" and "2001:db8::1".
func splitAddress(text string) (host string, port uint16, err error) {
	if text == "" {
		return "", 0, devices.BadSetting("address", "it is missing: give a host, or host:port")
	}
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return addr.String(), defaultPort, nil
	}
	host, digits := text, portOfSNMP
	if strings.Contains(text, ":") {
		if host, digits, err = net.SplitHostPort(text); err != nil {
			return "", 0, devices.BadSetting("address", "%.100q is neither host nor host:port; an IPv6 address with a port is [address]:port", text)
		}
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return "", 0, devices.BadSetting("address", "%.20q is not a port", digits)
	}
	if host == "" || strings.ContainsAny(host, " /@\t\r\n") {
		return "", 0, devices.BadSetting("address", "%.100q is not a host", host)
	}
	return host, uint16(n), nil
}

// client is gosnmp's view of the target.
func (t *target) client() *gosnmp.GoSNMP {
	c := &gosnmp.GoSNMP{
		Target: t.host, Port: t.port, Transport: "udp", Version: t.version, Community: t.community, Retries: t.retries,
		MaxOids: maxOIDs + 1, // with the clock
	}
	if t.version != gosnmp.Version3 {
		return c
	}
	c.SecurityModel, c.ContextName = gosnmp.UserSecurityModel, t.context
	switch {
	case t.priv != gosnmp.NoPriv:
		c.MsgFlags = gosnmp.AuthPriv
	case t.auth != gosnmp.NoAuth:
		c.MsgFlags = gosnmp.AuthNoPriv
	}
	c.SecurityParameters = &gosnmp.UsmSecurityParameters{
		UserName: t.user, AuthenticationProtocol: t.auth, AuthenticationPassphrase: t.authPassword,
		PrivacyProtocol: t.priv, PrivacyPassphrase: t.privPassword,
	}
	return c
}

func (t *target) String() string {
	return net.JoinHostPort(t.host, strconv.Itoa(int(t.port)))
}
