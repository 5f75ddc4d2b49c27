package snmp

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"banyan/devices"
	"banyan/devices/devicetest"
	"banyan/model"
)

const ifDescr, ifInOctets = "1.3.6.1.2.1.2.2.1.2", "1.3.6.1.2.1.2.2.1.10"

// interfaces are n interfaces with the columns ifDescr and ifInOctets.
func interfaces(n int) []gosnmp.SnmpPDU {
	var list []gosnmp.SnmpPDU
	for i := 1; i <= n; i++ {
		list = append(list, text(fmt.Sprintf("%s.%d", ifDescr, i), fmt.Sprintf("port%d", i)), count32(fmt.Sprintf("%s.%d", ifInOctets, i), uint32(i)))
	}
	return list
}

func generic(t *testing.T, a *agent, given devices.Settings) *device {
	t.Helper()
	s := devices.Settings{"address": model.String(a.address()), "retries": model.Int64(0), "profile": model.String("plain")}
	for name, v := range given {
		s[name] = v
	}
	return open(t, Driver{Profiles: library(t, map[string]string{"plain": "kind: snmp\ntitle: Plain\n"})}, s)
}

// pollWithin polls with a timeout and returns the error.
func pollWithin(t *testing.T, d *device, record *devicetest.Recorder, most time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	return d.Poll(ctx, record)
}

// checkInterfaces expects n interfaces with the counters of interfaces.
func checkInterfaces(t *testing.T, record *devicetest.Recorder, n int) {
	t.Helper()
	folder := record.At("interfaces")
	if folder == nil || len(folder.Children()) != n {
		t.Fatalf("there are %v interfaces, expected %d: %s", folder, n, record.Named("problems").Value)
	}
	for i := 1; i <= n; i++ {
		name := fmt.Sprintf("port%d", i)
		if got := folder.At(name).Named("in_bytes"); got.Value.Int64() != int64(i) || got.Quality != model.QualityGood {
			t.Errorf("%s: in_bytes is %s, %s", name, got.Value, got.Quality)
		}
	}
}

// TestLimits reads the same table from devices that can bear less and less.
func TestLimits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(a *agent)
		given  devices.Settings
	}{
		"well":                         {func(*agent) {}, nil},
		"answers of 7 objects":         {func(a *agent) { a.most = 7 }, nil},
		"answers of 1 object":          {func(a *agent) { a.most = 1 }, nil},
		"bulk answers cut":             {func(a *agent) { a.cut = 5 }, nil},
		"GETBULK unknown":              {func(a *agent) { a.noBulk = true }, nil},
		"version 1":                    {func(*agent) {}, devices.Settings{"version": model.String("1")}},
		"version 1, answers of 3":      {func(a *agent) { a.most = 3 }, devices.Settings{"version": model.String("1")}},
		"no repetitions":               {func(*agent) {}, devices.Settings{"max_repetitions": model.Int64(0)}},
		"one object at a time":         {func(*agent) {}, devices.Settings{"max_oids": model.Int64(1)}},
		"an object that makes it fail": {func(a *agent) { a.fails = map[string]gosnmp.SNMPError{".1.3.6.1.2.1.1.6.0": gosnmp.GenErr} }, nil},
		"objects in another order": {func(a *agent) {
			a.mangle = func(q, r *gosnmp.SnmpPacket) bool {
				if q.PDUType == gosnmp.GetRequest && r.Error == gosnmp.NoError {
					slices.Reverse(r.Variables)
				}
				return true
			}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, append(system("limited", "1.3.6.1.4.1.99999.2", 5), interfaces(30)...)...)
			a.behave(c.change)
			d := generic(t, a, c.given)
			record := devicetest.NewRecorder(d.Shape())
			for range 2 {
				if err := pollWithin(t, d, record, 20*time.Second); err != nil {
					t.Fatal(err)
				}
				checkInterfaces(t, record, 30)
				if got := record.Named("name").Value.Text(); got != "device-1" {
					t.Errorf("name is %q", got)
				}
			}
			if c.given["max_oids"].Int64() == 1 {
				a.behave(func(a *agent) {
					for i, n := range a.asked {
						if n > 1 {
							t.Errorf("request %d, a %v, asked for %d objects", i, a.requests[i], n)
						}
					}
				})
			}
		})
	}
}

// TestLimitIsLearned: after one poll a device that finds answers too big is not asked for so much again.
func TestLimitIsLearned(t *testing.T) {
	for _, shown := range []string{"", "*"} { // single objects, and the table as well
		limitIsLearned(t, shown)
	}
}

func limitIsLearned(t *testing.T, shown string) {
	t.Helper()
	a := newAgent(t, append(system("limited", "1.3.6.1.4.1.99999.2", 5), interfaces(30)...)...)
	a.behave(func(a *agent) { a.most = 7 })
	d := generic(t, a, devices.Settings{"interfaces": model.String(shown)})
	record := devicetest.NewRecorder(d.Shape())
	tooBig := 0
	for i := range 3 {
		a.behave(func(a *agent) {
			tooBig = 0
			a.mangle = func(_, r *gosnmp.SnmpPacket) bool {
				if r.Error == gosnmp.TooBig {
					tooBig++
				}
				return true
			}
		})
		if err := pollWithin(t, d, record, 20*time.Second); err != nil {
			t.Fatal(err)
		}
		a.behave(func(*agent) {
			if i == 0 && tooBig == 0 {
				t.Error("the agent never found an answer too big: nothing was tried")
			}
			if i == 2 && tooBig > 0 {
				t.Errorf("the third poll got %d answers that were too big", tooBig)
			}
		})
	}
}

// TestBrokenAgents polls devices that break the protocol: the poll ends soon with an error that says what it is, or goes on without
// what is broken and says so in problems.
func TestBrokenAgents(t *testing.T) {
	t.Parallel()
	bulk := func(q *gosnmp.SnmpPacket) bool { return q.PDUType == gosnmp.GetBulkRequest }
	for name, c := range map[string]struct {
		change  func(a *agent)
		kind    model.ErrorKind // of the poll's error
		says    string          // the error, or problems where wellKind is given
		problem bool
	}{
		"walks in circles": {func(a *agent) {
			a.mangle = func(q, r *gosnmp.SnmpPacket) bool {
				for i := range r.Variables {
					if bulk(q) && r.Variables[i].Name == "."+ifDescr+".7" {
						r.Variables[i].Name = "." + ifDescr + ".2"
					}
				}
				return true
			}
		}, 0, "walks in circles", true},
		"walks for ever": {func(a *agent) {
			next := 100
			a.mangle = func(q, r *gosnmp.SnmpPacket) bool {
				if !bulk(q) {
					return true
				}
				for i := range r.Variables {
					next++
					r.Variables[i] = text(fmt.Sprintf("%s.%d", ifDescr, next), "again")
				}
				return true
			}
		}, 0, "more than 50 rows", true},
		"fails at a column": {func(a *agent) {
			a.mangle = func(q, r *gosnmp.SnmpPacket) bool {
				for i, v := range q.Variables {
					if bulk(q) && strings.HasPrefix(v.Name, "."+ifInOctets) {
						r.Error, r.ErrorIndex, r.Variables = gosnmp.GenErr, uint8(i+1), q.Variables
						break
					}
				}
				return true
			}
		}, 0, "fails at 1.3.6.1.2.1.2.2.1.10", true},
		"bulk answers are empty": {func(a *agent) {
			a.mangle = func(q, r *gosnmp.SnmpPacket) bool {
				if bulk(q) {
					r.Variables = nil
				}
				return true
			}
		}, 0, "", true},
		"all answers are empty": {func(a *agent) {
			a.mangle = func(_, r *gosnmp.SnmpPacket) bool {
				r.Variables = nil
				return true
			}
		}, model.KindCorrupt, "other objects", false},
		"wrong request IDs": {func(a *agent) {
			a.mangle = func(_, r *gosnmp.SnmpPacket) bool {
				r.RequestID += 1000
				return true
			}
		}, model.KindTimeout, "request IDs do not match", false},
		"truncated datagrams": {func(a *agent) { a.rewrite = func(raw []byte) []byte { return raw[:len(raw)-9] } }, model.KindCorrupt, "damaged", false},
		"noise":               {func(a *agent) { a.rewrite = func(raw []byte) []byte { return []byte("hello, world") } }, model.KindCorrupt, "damaged", false},
		"silence":             {func(a *agent) { a.mangle = func(_, _ *gosnmp.SnmpPacket) bool { return false } }, model.KindTimeout, "no answer", false},
		"other objects": {func(a *agent) {
			a.mangle = func(q, r *gosnmp.SnmpPacket) bool {
				for i := range r.Variables {
					r.Variables[i].Name = ".1.3.6.1.4.1.5.5.5"
				}
				return true
			}
		}, model.KindCorrupt, "other objects", false},
		"an error status that nobody knows": {func(a *agent) {
			a.mangle = func(_, r *gosnmp.SnmpPacket) bool {
				r.Error, r.ErrorIndex = 77, 200
				return true
			}
		}, 0, "", true},
		"another community": {func(a *agent) { a.community = "other" }, model.KindTimeout, "wrong community", false},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, append(system("broken", "1.3.6.1.4.1.99999.2", 5), interfaces(30)...)...)
			a.behave(c.change)
			d := generic(t, a, devices.Settings{"max_rows": model.Int64(50)})
			record := devicetest.NewRecorder(d.Shape())
			began := time.Now()
			err := pollWithin(t, d, record, time.Second)
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("it took %s", took)
			}
			said := record.Named("problems").Value.Text()
			if !c.problem {
				said = fmt.Sprint(err)
				if err == nil || model.KindOf(err) != c.kind {
					t.Errorf("got the error %v, expected one of the kind %s", err, c.kind)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(said, c.says) {
				t.Errorf("it says %q, expected something with %q", said, c.says)
			}
			for _, complaint := range record.Complaints() {
				t.Error(complaint)
			}
		})
	}
}

// TestFailingColumnLeavesTheRest: what can be read is good, what cannot is bad and named.
func TestFailingColumnLeavesTheRest(t *testing.T) {
	a := newAgent(t, append(system("broken", "1.3.6.1.4.1.99999.2", 5), interfaces(3)...)...)
	d := generic(t, a, nil)
	record := devicetest.NewRecorder(d.Shape())
	poll := func() {
		t.Helper()
		if err := pollWithin(t, d, record, 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	poll()
	checkInterfaces(t, record, 3)
	if got := record.At("interfaces", "port1").Named("mtu").Quality; got != qualityUnsupported {
		t.Errorf("mtu, which the device does not have, is %s", got)
	}
	a.behave(func(a *agent) {
		a.mangle = func(q, r *gosnmp.SnmpPacket) bool {
			for i, v := range q.Variables {
				if strings.HasPrefix(v.Name, "."+ifInOctets) {
					r.Error, r.ErrorIndex, r.Variables = gosnmp.GenErr, uint8(i+1), q.Variables
					break
				}
			}
			return true
		}
	})
	poll()
	port := record.At("interfaces", "port2")
	if got := port.Named("in_bytes").Quality; got != qualityFailed {
		t.Errorf("in_bytes, at which the device fails, is %s", got)
	}
	if got := port.Named("description"); got.Quality != model.QualityGood || got.Value.Text() != "port2" {
		t.Errorf("description is %s, %s", got.Value, got.Quality)
	}
	a.behave(func(a *agent) { a.mangle = nil })
	poll()
	checkInterfaces(t, record, 3)
	if got := record.Named("problems").Value.Text(); got != "" {
		t.Errorf("problems are still %q", got)
	}
}

// TestOnlyOneRequestAtATime runs calls beside polls.
func TestOnlyOneRequestAtATime(t *testing.T) {
	a := newAgent(t, append(system("busy", "1.3.6.1.4.1.99999.2", 5), interfaces(20)...)...)
	d := generic(t, a, nil)
	record := devicetest.NewRecorder(d.Shape())
	done := make(chan error)
	for range 4 {
		go func() {
			_, err := d.Call(t.Context(), 0, []model.Argument{{Name: "oid", Value: model.String("1.3.6.1.2.1.2")}}, nil)
			done <- err
		}()
	}
	if err := pollWithin(t, d, record, 10*time.Second); err != nil {
		t.Error(err)
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	checkInterfaces(t, record, 20)
}

func TestWalkFunction(t *testing.T) {
	a := newAgent(t, append(system("walked", "1.3.6.1.4.1.99999.2", 5), interfaces(20)...)...)
	d := generic(t, a, nil)
	walk := func(root string, limit int64) (rows [][]model.Value, complete bool) {
		t.Helper()
		results, err := d.Call(t.Context(), 0, []model.Argument{{Name: "oid", Value: model.String(root)}, {Name: "limit", Value: model.Int64(limit)}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return results[0].Value.Table().Rows, results[1].Value.Bool()
	}
	rows, complete := walk("1.3.6.1.2.1", 100)
	if len(rows) != 47 || !complete || rows[0][0].Text() != "1.3.6.1.2.1.1.1.0" || rows[0][1].Text() != "OctetString" || rows[0][2].Text() != "walked" || rows[2][2].Text() != "5" {
		t.Errorf("%d rows, complete: %v, %v", len(rows), complete, rows)
	}
	if rows, complete = walk(".1.3.6.1.2.1.2.2.1.10", 7); len(rows) != 7 || complete {
		t.Errorf("with a limit of 7: %d rows, complete: %v", len(rows), complete)
	}
	if rows, complete = walk("1.3.6.1.2.1.1.5.0", 7); len(rows) != 1 || !complete || rows[0][2].Text() != "device-1" {
		t.Errorf("a single object: %v, complete: %v", rows, complete)
	}
	if rows, _ = walk("1.3.9", 7); len(rows) != 0 {
		t.Errorf("where nothing is: %v", rows)
	}
	if _, err := d.Call(t.Context(), 0, []model.Argument{{Name: "oid", Value: model.String("1.3.x")}}, nil); model.KindOf(err) != model.KindInvalid {
		t.Errorf("no identifier: %v", err)
	}
}

// TestGivenUp: a poll ends when it is cancelled, not only at its deadline, and also when that happens while gosnmp is between two steps.
func TestGivenUp(t *testing.T) {
	a := newAgent(t)
	asked := make(chan struct{}, 16)
	a.behave(func(a *agent) {
		a.mangle = func(_, _ *gosnmp.SnmpPacket) bool {
			asked <- struct{}{}
			return false
		}
	})
	d := generic(t, a, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Poll(ctx, devicetest.NewRecorder(d.Shape())) }()
	<-asked
	began := time.Now()
	cancel()
	if err := <-ended; model.KindOf(err) != model.KindCanceled || time.Since(began) > defaultTry/2 {
		t.Errorf("cancelled, it ended after %s with %v", time.Since(began), err)
	}
	if err := d.session.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.session.wire.begin()
	d.session.wire.cancel()
	if err := d.session.wire.SetDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.session.wire.Read(make([]byte, 10)); err == nil {
		t.Error("a read after the request was cancelled got something")
	}
}
