package snmp

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"banyan/devices"
	"banyan/model"
)

// replay answers each request as a slow agent answered it before, with the request ID put in, so that the agent costs next to nothing.
func replay(b *testing.B, slow *agent) (address string) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	known := map[string][]byte{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 65536)
		decoder := &gosnmp.GoSNMP{Version: gosnmp.Version2c}
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			id := requestID(buffer[:n])
			if len(id) != 4 { // one in 128: the answer would be of another length
				if request, err := decoder.SnmpDecodePacket(bytes.Clone(buffer[:n])); err == nil {
					_, _ = conn.WriteToUDPAddrPort(slow.answer(request), from)
				}
				continue
			}
			key := bytes.Clone(buffer[:n])
			clear(requestID(key))
			answer, there := known[string(key)]
			if !there {
				request, err := decoder.SnmpDecodePacket(bytes.Clone(buffer[:n]))
				if err != nil {
					return
				}
				answer = slow.answer(request)
				known[string(key)] = answer
			}
			copy(requestID(answer), id)
			_, _ = conn.WriteToUDPAddrPort(answer, from)
		}
	}()
	b.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return conn.LocalAddr().String()
}

// requestID are the octets of a message's request ID: it is the first integer of the PDU.
func requestID(raw []byte) []byte {
	at := bytes.Index(raw, []byte("public")) + len("public") + 1
	if raw[at] > 0x80 {
		at += int(raw[at] & 0x7f)
	}
	return raw[at+3 : at+3+int(raw[at+2])]
}

// ignore is a publisher to nowhere.
type ignore struct{}

func (ignore) Publish([]devices.Update)                                       {}
func (ignore) PublishScalars(int, model.Time, []uint64)                       {}
func (ignore) Child(string, string, *model.Schema) (devices.Publisher, error) { return ignore{}, nil }
func (ignore) Keep([]string)                                                  {}

// BenchmarkPoll measures a poll of 20 points, and one of a switch with 48 ports.
func BenchmarkPoll(b *testing.B) {
	profile := "kind: snmp\ntitle: Twenty\noptions: {interfaces: false}\npoints:\n"
	objects := system("twenty", "1.3.6.1.4.1.99999.4", 100)
	for i := range 14 {
		profile += fmt.Sprintf("  p%d: {oid: 1.3.6.1.4.1.99999.4.%d.0, type: int64}\n", i, i)
		objects = append(objects, gauge(fmt.Sprintf("1.3.6.1.4.1.99999.4.%d.0", i), uint32(i)))
	}
	for i := 1; i <= 48; i++ {
		for column := 1; column <= 22; column++ {
			o := count32(fmt.Sprintf("1.3.6.1.2.1.2.2.1.%d.%d", column, i), uint32(1000*i+column))
			if column == 2 {
				o = text(fmt.Sprintf("%s.%d", ifDescr, i), fmt.Sprintf("port%d", i))
			}
			objects = append(objects, o)
		}
		for column := 6; column <= 13; column++ {
			objects = append(objects, count64(fmt.Sprintf("1.3.6.1.2.1.31.1.1.1.%d.%d", column, i), uint64(i)<<33))
		}
	}
	r := library(b, map[string]string{"twenty": profile, "plain": "kind: snmp\ntitle: Plain\n"})
	for _, c := range []struct{ name, profile string }{{"20-points", "twenty"}, {"48-ports", "plain"}} {
		b.Run(c.name, func(b *testing.B) {
			slow := newAgent(b, objects...)
			d := open(b, Driver{Profiles: r}, devices.Settings{"address": model.String(replay(b, slow)), "profile": model.String(c.profile)})
			ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
			defer cancel()
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Poll(ctx, ignore{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
