package ping

import (
	"encoding/binary"
	"net/netip"
)

// Types of messages: RFC 792 and RFC 4443.
const (
	echoReply4    = 0
	unreachable4  = 3
	echoRequest4  = 8
	timeExceeded4 = 11
	badParameter4 = 12

	unreachable6  = 1
	packetTooBig6 = 2
	timeExceeded6 = 3
	badParameter6 = 4
	echoRequest6  = 128
	echoReply6    = 129
)

const (
	echoHeader = 8 // type, code, checksum, identifier, sequence number
	tokenSize  = 16
)

// token is random and different for each probe. Who has not seen a probe cannot answer it.
type token [tokenSize]byte

// echo is what names a probe in a message, coming or going.
type echo struct {
	id, seq uint16
	token   token
	known   bool // the token is there: routers may cut what they quote behind the first 8 bytes
}

// message is what can be told from one message that came in.
type message struct {
	echo   echo
	reply  bool       // else a report that the probe did not arrive
	target netip.Addr // of a report: where the probe went
	reason string     // of a report
}

// request is an echo request of this many bytes of data, at least those of the token. The checksum of IPv6 is the kernel's affair.
func request(six bool, e echo, size int) []byte {
	b := make([]byte, echoHeader+max(size, tokenSize))
	b[0] = echoRequest4
	if six {
		b[0] = echoRequest6
	}
	binary.BigEndian.PutUint16(b[4:], e.id)
	binary.BigEndian.PutUint16(b[6:], e.seq)
	copy(b[echoHeader:], e.token[:])
	if !six {
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	return b
}

// checksum is that of RFC 1071, over an even or odd number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// decode reads an ICMP message, without the IP header in front of it. What is none of ours gives false.
func decode(six bool, b []byte) (message, bool) {
	if len(b) < echoHeader {
		return message{}, false
	}
	if (!six && b[0] == echoReply4 || six && b[0] == echoReply6) && b[1] == 0 {
		e := readEcho(b)
		return message{echo: e, reply: true}, e.known
	}
	reason := reasonOf(six, b[0], b[1])
	if reason == "" {
		return message{}, false
	}
	target, quoted, ok := readQuote(six, b[echoHeader:])
	if !ok {
		return message{}, false
	}
	return message{echo: readEcho(quoted), target: target, reason: reason}, true
}

func readEcho(b []byte) echo {
	e := echo{id: binary.BigEndian.Uint16(b[4:]), seq: binary.BigEndian.Uint16(b[6:])}
	if len(b) >= echoHeader+tokenSize {
		e.token, e.known = token(b[echoHeader:echoHeader+tokenSize]), true
	}
	return e
}

// readQuote reads the packet that a report quotes: where it went, and its echo request. We send no options and no extension headers.
func readQuote(six bool, b []byte) (target netip.Addr, request []byte, ok bool) {
	const header4, header6, icmp4, icmp6 = 20, 40, 1, 58
	want := byte(echoRequest4)
	if six {
		want = echoRequest6
		if len(b) < header6 || b[0]>>4 != 6 || b[6] != icmp6 {
			return netip.Addr{}, nil, false
		}
		target, b = netip.AddrFrom16([16]byte(b[24:40])), b[header6:]
	} else {
		if len(b) < header4 || b[0]>>4 != 4 || b[9] != icmp4 || int(b[0]&15)*4 < header4 || len(b) < int(b[0]&15)*4 {
			return netip.Addr{}, nil, false
		}
		target, b = netip.AddrFrom4([4]byte(b[16:20])), b[int(b[0]&15)*4:]
	}
	if len(b) < echoHeader || b[0] != want || b[1] != 0 {
		return netip.Addr{}, nil, false
	}
	return target, b, true
}

// withoutHeader cuts off the IPv4 header that a raw socket puts in front.
func withoutHeader(b []byte) []byte {
	if len(b) < 20 || b[0]>>4 != 4 {
		return nil
	}
	if n := int(b[0]&15) * 4; n >= 20 && n <= len(b) {
		return b[n:]
	}
	return nil
}

// reasonOf is what a report means, or "" for what is none.
func reasonOf(six bool, kind, code byte) string {
	pick := func(texts []string, other string) string {
		if int(code) < len(texts) && texts[code] != "" {
			return texts[code]
		}
		return other
	}
	switch {
	case !six && kind == unreachable4:
		return pick(reasons4, "it cannot be reached")
	case six && kind == unreachable6:
		return pick(reasons6, "it cannot be reached")
	case !six && kind == timeExceeded4, six && kind == timeExceeded6:
		return "too many hops: there may be a loop"
	case six && kind == packetTooBig6:
		return "the packet is too big for the way"
	case !six && kind == badParameter4, six && kind == badParameter6:
		return "the packet was not understood on the way"
	}
	return ""
}

// By the code of the message: RFC 792, RFC 1122 3.2.2.1, RFC 1812 5.2.7.1; RFC 4443 3.1.
var (
	reasons4 = []string{
		"its network cannot be reached", "the host cannot be reached", "the host does not speak ICMP", "the port cannot be reached",
		"the packet is too big for the way", "the source route failed", "its network is unknown", "the host is unknown",
		"the source is isolated", "its network is prohibited", "the host is prohibited", "its network cannot be reached so",
		"the host cannot be reached so", "a filter on the way prohibits it", "a filter on the way prohibits it", "a filter on the way prohibits it",
	}
	reasons6 = []string{
		"there is no route", "a filter on the way prohibits it", "it is out of reach of the source address", "the host cannot be reached",
		"the port cannot be reached", "a filter on the way prohibits the source address", "the route rejects it",
	}
)
