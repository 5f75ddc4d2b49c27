package trials

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// agents are many small SNMP agents of version 2c in this process, each at an address of its own in 127.0.0.0/8. They answer GET: the time since
// they began as sysUpTime, a gauge that grows for what is below 1.3.6.1.4.1, and for everything else that there is no such object.
type agents struct {
	conns  []*net.UDPConn
	began  time.Time
	silent []atomic.Bool
	asked  []atomic.Int64
	work   sync.WaitGroup
}

func startAgents(t testing.TB, count int) *agents {
	t.Helper()
	a := &agents{began: time.Now(), silent: make([]atomic.Bool, count), asked: make([]atomic.Int64, count)}
	t.Cleanup(a.stop)
	for i := range count {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 9, byte(i/200), byte(1+i%200))})
		if err != nil {
			t.Fatal(err)
		}
		a.conns = append(a.conns, conn)
		a.work.Go(func() { a.serve(i, conn) })
	}
	return a
}

func (a *agents) stop() {
	for _, conn := range a.conns {
		_ = conn.Close()
	}
	a.work.Wait()
}

func (a *agents) address(i int) string { return a.conns[i].LocalAddr().String() }

func (a *agents) serve(i int, conn *net.UDPConn) {
	raw := make([]byte, 8192)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(raw)
		if err != nil {
			return
		}
		a.asked[i].Add(1)
		if a.silent[i].Load() {
			continue
		}
		if answer, err := a.answer(raw[:n]); err == nil {
			_, _ = conn.WriteToUDPAddrPort(answer, from)
		}
	}
}

// answer makes the answer to a GET: the same message with values in it.
func (a *agents) answer(raw []byte) ([]byte, error) {
	message, _, err := tlv(raw, 0x30)
	if err != nil {
		return nil, err
	}
	_, afterVersion, err := tlv(message, 0x02)
	if err != nil {
		return nil, err
	}
	_, request, err := tlv(afterVersion, 0x04)
	if err != nil {
		return nil, err
	}
	head := message[:len(message)-len(request)] // version and community
	pdu, _, err := tlv(request, 0xa0)
	if err != nil {
		return nil, err
	}
	rest := pdu
	for range 3 { // ID, error, index of the error
		if _, rest, err = tlv(rest, 0x02); err != nil {
			return nil, err
		}
	}
	ids := pdu[:len(pdu)-len(rest)]
	list, _, err := tlv(rest, 0x30)
	if err != nil {
		return nil, err
	}
	var bound []byte
	for len(list) > 0 {
		var one, oid []byte
		if one, list, err = tlv(list, 0x30); err != nil {
			return nil, err
		}
		if oid, _, err = tlv(one, 0x06); err != nil {
			return nil, err
		}
		bound = append(bound, put(0x30, append(put(0x06, oid), a.value(oid)...))...)
	}
	return put(0x30, append(append([]byte(nil), head...), put(0xa2, append(append([]byte(nil), ids...), put(0x30, bound)...))...)), nil
}

// value is what an object has, as it is encoded.
func (a *agents) value(oid []byte) []byte {
	ticks := binary.BigEndian.AppendUint32(nil, uint32(time.Since(a.began)/(10*time.Millisecond))&0x7fffffff)
	switch {
	case string(oid) == "\x2b\x06\x01\x02\x01\x01\x03\x00": // sysUpTime.0
		return put(0x43, ticks)
	case len(oid) > 5 && string(oid[:5]) == "\x2b\x06\x01\x04\x01":
		return put(0x42, ticks)
	}
	return []byte{0x80, 0x00}
}

// tlv takes one element of this tag off the front.
func tlv(raw []byte, tag byte) (content, rest []byte, err error) {
	bad := fmt.Errorf("no element 0x%02x", tag)
	if len(raw) < 2 || raw[0] != tag {
		return nil, nil, bad
	}
	length, at := int(raw[1]), 2
	if length > 0x80 {
		if length -= 0x80; length > 2 || len(raw) < 2+length {
			return nil, nil, bad
		}
		at, length = 2+length, 0
		for _, b := range raw[2:at] {
			length = length<<8 | int(b)
		}
	}
	if len(raw) < at+length {
		return nil, nil, bad
	}
	return raw[at : at+length], raw[at+length:], nil
}

// put encodes one element.
func put(tag byte, content []byte) []byte {
	out := []byte{tag}
	switch n := len(content); {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 0x100:
		out = append(out, 0x81, byte(n))
	default:
		out = append(out, 0x82, byte(n>>8), byte(n))
	}
	return append(out, content...)
}
