package snmp

import (
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/gosnmp/gosnmp"
)

// agent is a small agent of versions 1 and 2c in this process, which can be told to behave badly.
type agent struct {
	conn *net.UDPConn
	done chan struct{}

	mu        sync.Mutex // guards the rest
	objects   []gosnmp.SnmpPDU
	requests  []gosnmp.PDUType
	asked     []int                                         // how many objects, by request
	most      int                                           // objects in an answer; more are tooBig; 0 for any number
	cut       int                                           // objects in a bulk answer
	noBulk    bool                                          // GETBULK is answered with genErr
	fails     map[string]gosnmp.SNMPError                   // objects at which it fails
	mangle    func(request, answer *gosnmp.SnmpPacket) bool // false keeps the answer back
	rewrite   func(raw []byte) []byte
	community string
}

func newAgent(t testing.TB, objects ...gosnmp.SnmpPDU) *agent {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{conn: conn, done: make(chan struct{}), community: "public"}
	a.put(objects...)
	go a.serve()
	t.Cleanup(func() {
		_ = conn.Close()
		<-a.done
	})
	return a
}

func (a *agent) address() string { return a.conn.LocalAddr().String() }

// put adds objects, or changes those that are there.
func (a *agent) put(objects ...gosnmp.SnmpPDU) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range objects {
		at, there := a.find(oid(o.Name))
		if there {
			a.objects[at] = o
		} else {
			a.objects = slices.Insert(a.objects, at, o)
		}
	}
}

// drop removes what is at or below an identifier.
func (a *agent) drop(root oid) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.objects = slices.DeleteFunc(a.objects, func(o gosnmp.SnmpPDU) bool {
		_, below := oid(o.Name).below(root)
		return below || oid(o.Name) == root
	})
}

// behave changes how the agent behaves.
func (a *agent) behave(change func(a *agent)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a)
}

func (a *agent) find(o oid) (int, bool) {
	return slices.BinarySearchFunc(a.objects, o, func(have gosnmp.SnmpPDU, want oid) int { return oid(have.Name).compare(want) })
}

func (a *agent) serve() {
	defer close(a.done)
	decoder := &gosnmp.GoSNMP{Version: gosnmp.Version2c}
	buffer := make([]byte, 65536)
	for {
		n, from, err := a.conn.ReadFromUDP(buffer)
		if err != nil {
			return
		}
		request, err := decoder.SnmpDecodePacket(slices.Clone(buffer[:n]))
		if err != nil {
			continue
		}
		if raw := a.answer(request); raw != nil {
			_, _ = a.conn.WriteToUDP(raw, from)
		}
	}
}

func (a *agent) answer(request *gosnmp.SnmpPacket) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	if request.Community != a.community {
		return nil
	}
	a.requests = append(a.requests, request.PDUType)
	a.asked = append(a.asked, len(request.Variables))
	answer := &gosnmp.SnmpPacket{
		Version: request.Version, Community: request.Community, PDUType: gosnmp.GetResponse, RequestID: request.RequestID,
	}
	switch request.PDUType {
	case gosnmp.GetRequest:
		a.get(request, answer)
	case gosnmp.GetNextRequest:
		a.next(request, answer)
	case gosnmp.GetBulkRequest:
		a.bulk(request, answer)
	case gosnmp.SetRequest:
		a.set(request, answer)
	}
	if a.most > 0 && len(answer.Variables) > a.most && request.PDUType != gosnmp.SetRequest {
		answer.Error, answer.ErrorIndex, answer.Variables = gosnmp.TooBig, 0, nil
	}
	if a.mangle != nil && !a.mangle(request, answer) {
		return nil
	}
	raw, err := answer.MarshalMsg()
	if err != nil {
		panic(err)
	}
	if a.rewrite != nil {
		raw = a.rewrite(raw)
	}
	return raw
}

func (a *agent) fail(answer *gosnmp.SnmpPacket, request *gosnmp.SnmpPacket, at int, e gosnmp.SNMPError) {
	answer.Error, answer.ErrorIndex, answer.Variables = e, uint8(at+1), request.Variables
}

func (a *agent) get(request, answer *gosnmp.SnmpPacket) {
	for i, v := range request.Variables {
		at, there := a.find(oid(v.Name))
		if e, fails := a.fails[v.Name]; fails {
			a.fail(answer, request, i, e)
			return
		}
		switch {
		case there:
			answer.Variables = append(answer.Variables, a.objects[at])
		case request.Version == gosnmp.Version1:
			a.fail(answer, request, i, gosnmp.NoSuchName)
			return
		default:
			answer.Variables = append(answer.Variables, gosnmp.SnmpPDU{Name: v.Name, Type: gosnmp.NoSuchInstance})
		}
	}
}

func (a *agent) after(name string) gosnmp.SnmpPDU {
	at, there := a.find(oid(name))
	if there {
		at++
	}
	if at < len(a.objects) {
		return a.objects[at]
	}
	return gosnmp.SnmpPDU{Name: name, Type: gosnmp.EndOfMibView}
}

func (a *agent) next(request, answer *gosnmp.SnmpPacket) {
	for i, v := range request.Variables {
		o := a.after(v.Name)
		if o.Type == gosnmp.EndOfMibView && request.Version == gosnmp.Version1 {
			a.fail(answer, request, i, gosnmp.NoSuchName)
			return
		}
		answer.Variables = append(answer.Variables, o)
	}
}

func (a *agent) bulk(request, answer *gosnmp.SnmpPacket) {
	if a.noBulk || request.Version == gosnmp.Version1 {
		a.fail(answer, request, -1, gosnmp.GenErr)
		return
	}
	fixed := int(request.NonRepeaters)
	for _, v := range request.Variables[:fixed] {
		answer.Variables = append(answer.Variables, a.after(v.Name))
	}
	last := slices.Clone(request.Variables[fixed:])
	for range request.MaxRepetitions {
		for i := range last {
			last[i] = a.after(last[i].Name)
			answer.Variables = append(answer.Variables, last[i])
		}
	}
	if a.cut > 0 && len(answer.Variables) > a.cut {
		answer.Variables = answer.Variables[:a.cut]
	}
}

func (a *agent) set(request, answer *gosnmp.SnmpPacket) {
	for i, v := range request.Variables {
		at, there := a.find(oid(v.Name))
		e, fails := a.fails[v.Name]
		switch {
		case fails:
			a.fail(answer, request, i, e)
			return
		case !there:
			a.fail(answer, request, i, gosnmp.NoCreation)
			return
		case a.objects[at].Type != v.Type:
			a.fail(answer, request, i, gosnmp.WrongType)
			return
		}
		a.objects[at].Value = v.Value
		answer.Variables = append(answer.Variables, a.objects[at])
	}
}

// Objects of the types that tests need.
func text(o, v string) gosnmp.SnmpPDU {
	return gosnmp.SnmpPDU{Name: "." + o, Type: gosnmp.OctetString, Value: []byte(v)}
}
func number(o string, v int) gosnmp.SnmpPDU {
	return gosnmp.SnmpPDU{Name: "." + o, Type: gosnmp.Integer, Value: v}
}
func gauge(o string, v uint32) gosnmp.SnmpPDU {
	return gosnmp.SnmpPDU{Name: "." + o, Type: gosnmp.Gauge32, Value: v}
}
func count32(o string, v uint32) gosnmp.SnmpPDU {
	return gosnmp.SnmpPDU{Name: "." + o, Type: gosnmp.Counter32, Value: v}
}
func count64(o string, v uint64) gosnmp.SnmpPDU {
	return gosnmp.SnmpPDU{Name: "." + o, Type: gosnmp.Counter64, Value: v}
}
func timeticks(o string, v uint32) gosnmp.SnmpPDU {
	return gosnmp.SnmpPDU{Name: "." + o, Type: gosnmp.TimeTicks, Value: v}
}
func identifier(o, v string) gosnmp.SnmpPDU {
	return gosnmp.SnmpPDU{Name: "." + o, Type: gosnmp.ObjectIdentifier, Value: v}
}

// system is the system group of a device.
func system(descr, objectID string, uptime uint32) []gosnmp.SnmpPDU {
	return []gosnmp.SnmpPDU{
		text("1.3.6.1.2.1.1.1.0", descr), identifier("1.3.6.1.2.1.1.2.0", "."+objectID), timeticks("1.3.6.1.2.1.1.3.0", uptime),
		text("1.3.6.1.2.1.1.4.0", "somebody"), text("1.3.6.1.2.1.1.5.0", "device-1"), text("1.3.6.1.2.1.1.6.0", "cellar"), number("1.3.6.1.2.1.1.7.0", 72),
	}
}
