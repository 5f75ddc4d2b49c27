package snmp

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"banyan/model"
)

// The ways in which octets are shown. The words stand in profiles, under the key as.
const (
	asAuto = ""     // text where it is text, else hexadecimal
	asText = "text" // always text; bytes that are not UTF-8 are taken as Latin-1
	asHex  = "hex"  // 0a1b2c
	asMAC  = "mac"  // 00:1b:2c:...
	asIP   = "ip"   // an IPv4 or IPv6 address of 4, 16 or (with a zone) 8 or 20 octets
	asTime = "time" // DateAndTime of RFC 2579
	asBits = "bits" // the numbers of the bits that are set, from the first octet's highest, which is 0
)

var formats = []string{asText, asHex, asMAC, asIP, asTime, asBits}

// showOctets is asAuto.
func showOctets(raw string) string {
	trimmed := strings.TrimRight(raw, "\x00")
	if isText(trimmed) {
		return trimmed
	}
	return hex.EncodeToString([]byte(raw))
}

// isText reports whether octets are for reading: UTF-8 without control characters but for white space.
func isText(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' {
			return false
		}
	}
	return true
}

// show makes text of octets in one of the formats. False says that the octets are none of that form.
func show(raw, as string) (string, bool) {
	switch as {
	case asText:
		return latin(strings.TrimRight(raw, "\x00")), true
	case asHex:
		return hex.EncodeToString([]byte(raw)), true
	case asMAC:
		return showMAC(raw)
	case asIP:
		return showIP(raw)
	case asTime:
		t, ok := dateAndTime(raw)
		return t.String(), ok
	case asBits:
		return showBits(raw), true
	}
	return showOctets(raw), true
}

// latin is text as it is where it is UTF-8, and read as Latin-1 where it is not. Control characters become spaces: nobody wants
// a terminal to obey a printer's name.
func latin(raw string) string {
	if !utf8.ValidString(raw) {
		runes := make([]rune, len(raw))
		for i := range len(raw) {
			runes[i] = rune(raw[i])
		}
		raw = string(runes)
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' {
			return ' '
		}
		return r
	}, raw)
}

// showMAC is 6 octets (or 8, or 20 of InfiniBand) with colons. Some agents give the text itself; no octets are no address, which is in order.
func showMAC(raw string) (string, bool) {
	switch {
	case raw == "":
		return "", true
	case len(raw) == 17 && isText(raw):
		return strings.ToLower(raw), true
	case len(raw) > 32:
		return "", false
	}
	out := make([]byte, 0, 3*len(raw))
	for i := range len(raw) {
		if i > 0 {
			out = append(out, ':')
		}
		out = hex.AppendEncode(out, []byte{raw[i]})
	}
	return string(out), true
}

// showIP is an address of 4 or 16 octets, or of 8 or 20 with the number of its zone behind (RFC 4001).
func showIP(raw string) (string, bool) {
	zone := ""
	if len(raw) == 8 || len(raw) == 20 {
		cut := len(raw) - 4
		z := uint32(raw[cut])<<24 | uint32(raw[cut+1])<<16 | uint32(raw[cut+2])<<8 | uint32(raw[cut+3])
		raw, zone = raw[:cut], "%"+strconv.FormatUint(uint64(z), 10)
	}
	addr, ok := netip.AddrFromSlice([]byte(raw))
	if !ok {
		return "", raw == ""
	}
	return addr.String() + zone, true
}

// showBits lists the bits that are set: "0 3 17".
func showBits(raw string) string {
	var out []byte
	for i := range len(raw) {
		for bit := range 8 {
			if raw[i]&(0x80>>bit) != 0 {
				if len(out) > 0 {
					out = append(out, ' ')
				}
				out = strconv.AppendInt(out, int64(8*i+bit), 10)
			}
		}
	}
	return string(out)
}

// dateAndTime reads a DateAndTime of RFC 2579: 8 octets in the device's own time, of which we take it that it is UTC, or 11 with the distance from UTC.
func dateAndTime(raw string) (model.Time, bool) {
	if len(raw) != 8 && len(raw) != 11 {
		return 0, false
	}
	year := int(raw[0])<<8 | int(raw[1])
	month, day, hour, minute, second, tenth := int(raw[2]), int(raw[3]), int(raw[4]), int(raw[5]), int(raw[6]), int(raw[7])
	if year == 0 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 || tenth > 9 {
		return 0, false
	}
	zone := time.UTC
	if len(raw) == 11 {
		east := 3600*int(raw[9]) + 60*int(raw[10])
		if raw[8] != '+' && raw[8] != '-' || raw[9] > 14 || raw[10] > 59 {
			return 0, false
		}
		if raw[8] == '-' {
			east = -east
		}
		zone = time.FixedZone("", east)
	}
	at := time.Date(year, time.Month(month), day, hour, minute, min(second, 59), tenth*int(100*time.Millisecond), zone)
	if at.Day() != day {
		return 0, false // 31 February
	}
	return model.TimeOf(at), true
}
