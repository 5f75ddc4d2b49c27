package snmp

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"banyan/devices"
	"banyan/devices/devicetest"
	"banyan/model"
)

// asUsers are the ways to ask the agent of startSnmpd, and what it sees of them in net-snmp's words.
var asUsers = map[string]devices.Settings{
	"version 1":    {"version": model.String("1"), "community": model.String("readers")},
	"version 2c":   {"community": model.String("readers")},
	"noAuthNoPriv": {"version": model.String("3"), "user": model.String("plain")},
	"authNoPriv": {
		"version": model.String("3"), "user": model.String("signer"), "auth_protocol": model.String("sha"), "auth_password": model.String("sign-password"),
	},
	"authPriv, SHA-256 and AES": {
		"version": model.String("3"), "user": model.String("keeper"), "auth_protocol": model.String("sha256"), "auth_password": model.String("keeper-password"),
		"priv_protocol": model.String("aes"), "priv_password": model.String("keeper-secret"),
	},
	"authPriv, MD5 and DES": {
		"version": model.String("3"), "user": model.String("older"), "auth_protocol": model.String("md5"), "auth_password": model.String("older-password"),
		"priv_protocol": model.String("des"), "priv_password": model.String("older-secret"),
	},
}

// TestEqualsSnmpwalk compares each column of the table of interfaces, and the system group, with what snmpwalk says of the same agent.
// What counts lies between a walk before and one after.
func TestEqualsSnmpwalk(t *testing.T) {
	t.Parallel()
	s := startSnmpd(t)
	for name, given := range asUsers {
		t.Run(name, func(t *testing.T) {
			given["address"] = model.String(s.address)
			given["profile"] = model.String("plain")
			d := open(t, Driver{Profiles: library(t, map[string]string{"plain": "kind: snmp\ntitle: Plain\n"})}, given)
			before := s.walkedAll(t, name == "version 1")
			record := polled(t, d)
			after := s.walkedAll(t, name == "version 1")
			compared := 0
			for i := range d.plan.points {
				p := &d.plan.points[i]
				u, _ := record.Last(p.variable)
				compareWalked(t, p.declared.Name, p, "", before, after, u)
			}
			for _, table := range d.tables {
				if len(table.order) == 0 {
					t.Fatal("there are no interfaces")
				}
				for _, row := range table.order {
					child := record.At("interfaces", table.children.SegmentOf(row.label))
					for i := range table.points {
						p := &table.points[i]
						u, published := child.Last(i)
						if !published {
							t.Errorf("%s of %s is not published", p.declared.Name, row.label)
						}
						if !p.declared.Rate && len(p.oids) > 0 {
							compareWalked(t, row.label+":"+p.declared.Name, p, "."+row.index, before, after, u)
							compared++
						}
					}
				}
			}
			if ifNumber := after[".1.3.6.1.2.1.2.1.0"]; ifNumber != "INTEGER: "+strconv.Itoa(len(d.tables[0].order)) {
				t.Errorf("%d interfaces were read, snmpwalk says %s", len(d.tables[0].order), ifNumber)
			}
			if compared < 60 {
				t.Errorf("only %d values were compared", compared)
			}
		})
	}
}

// walkedAll walks what is compared. Version 1 has no counters of 64 bits, so they are left out for it.
func (s *snmpd) walkedAll(t *testing.T, without64 bool) map[oid]string {
	all := s.walked(t, ".1.3.6.1.2.1.1")
	for _, root := range []string{".1.3.6.1.2.1.2", ".1.3.6.1.2.1.31"} {
		maps.Copy(all, s.walked(t, root))
	}
	maps.DeleteFunc(all, func(_ oid, v string) bool { return without64 && strings.HasPrefix(v, "Counter64: ") })
	return all
}

// compareWalked compares a value with what snmpwalk printed for the first of the point's objects that there is.
func compareWalked(t *testing.T, name string, p *point, suffix string, before, after map[oid]string, got devices.Update) {
	t.Helper()
	var old, now string
	found := false
	for _, o := range p.oids {
		if now, found = after[o+oid(suffix)]; found {
			old = before[o+oid(suffix)]
			break
		}
	}
	if !found {
		if got.Quality != qualityUnsupported {
			t.Errorf("%s is %s, %s, and snmpwalk does not have it", name, got.Value, got.Quality)
		}
		return
	}
	if got.Quality != model.QualityGood {
		t.Errorf("%s is %s, snmpwalk says %s", name, got.Quality, now)
		return
	}
	low, high := numberOf(old), numberOf(now)
	switch kind, value, _ := strings.Cut(now, ": "); {
	case got.Value.Type() == model.TypeInt64:
		if v := got.Value.Int64(); v < low || v > high {
			t.Errorf("%s is %d, snmpwalk says %s before and %s after", name, v, old, now)
		}
	case got.Value.Type() == model.TypeDuration:
		if v := got.Value.Duration() / (10 * time.Millisecond); int64(v) < low || int64(v) > high {
			t.Errorf("%s is %d ticks, snmpwalk says %s before and %s after", name, v, old, now)
		}
	case got.Value.Type() == model.TypeBool:
		if got.Value.Bool() != (value == "1") {
			t.Errorf("%s is %s, snmpwalk says %s", name, got.Value, now)
		}
	case p.declared.Values != nil:
		if want := p.declared.Values[high]; got.Value.Text() != want || want == "" {
			t.Errorf("%s is %s, snmpwalk says %s, which is %q", name, got.Value, now, want)
		}
	default:
		if want := textOf(kind, value, p.as); got.Value.Text() != want {
			t.Errorf("%s is %q, snmpwalk says %s, which is %q", name, got.Value.Text(), now, want)
		}
	}
}

// numberOf is the number that snmpwalk printed: "Counter64: 12", or bare ticks.
func numberOf(printed string) int64 {
	_, value, typed := strings.Cut(printed, ": ")
	if !typed {
		value = printed
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	return n
}

// textOf is the text that snmpwalk printed: octets in hexadecimal, identifiers with a dot before.
func textOf(kind, value, as string) string {
	switch kind {
	case "OID":
		return strings.TrimPrefix(value, ".")
	case "Hex-STRING":
		var raw []byte
		for pair := range strings.FieldsSeq(value) {
			n, _ := strconv.ParseUint(pair, 16, 8)
			raw = append(raw, byte(n))
		}
		if as == asMAC {
			return strings.ToLower(strings.ReplaceAll(strings.TrimSpace(value), " ", ":"))
		}
		return string(raw)
	case `""`:
		return ""
	}
	return value
}

// TestWrongUsers: what snmpd has against a user is told, and in time.
func TestWrongUsers(t *testing.T) {
	t.Parallel()
	s := startSnmpd(t)
	good := asUsers["authPriv, SHA-256 and AES"]
	for name, c := range map[string]struct {
		setting, value string
		kind           model.ErrorKind
	}{
		"user":             {"user", "nobody-known", model.KindUnauthenticated},
		"password":         {"auth_password", "not-the-password", model.KindUnauthenticated},
		"protocol":         {"auth_protocol", "sha", model.KindUnauthenticated},
		"privacy password": {"priv_password", "not-the-secret", model.KindUnauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			given := devices.Settings{"address": model.String(s.address), c.setting: model.String(c.value), "retries": model.Int64(1)}
			for setting, v := range good {
				if given[setting].IsNone() {
					given[setting] = v
				}
			}
			given["profile"] = model.String("")
			d := open(t, Driver{}, given)
			began := time.Now()
			err := pollWithin(t, d, devicetest.NewRecorder(driverSchema), 1500*time.Millisecond)
			if kind := model.KindOf(err); kind != c.kind && !(name == "privacy password" && kind == model.KindTimeout) {
				t.Errorf("got %v (%s)", err, kind)
			}
			if strings.Contains(fmt.Sprint(err), c.value) && name != "user" && name != "protocol" {
				t.Errorf("the error repeats a secret: %v", err)
			}
			if took := time.Since(began); took > 2500*time.Millisecond {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// TestStoppedAgent runs four devices in a manager. One agent is stopped: its device is no-response within a poll and its timeout, its values are
// bad/no-response, and the others miss no poll. It comes back when the agent does, with version 3 and another boot of the engine too.
func TestStoppedAgent(t *testing.T) {
	const interval, timeout = 300 * time.Millisecond, 400 * time.Millisecond
	victim, other := startSnmpd(t), startSnmpd(t)
	records := map[uint64]*devicetest.Recorder{}
	shape := devices.Complete(driverSchema)
	for id := range uint64(4) {
		records[id+1] = devicetest.NewRecorder(shape)
	}
	m, err := devices.New(devices.Config{Drivers: []devices.Driver{Driver{}}, Sink: func(id model.ContextID) devices.Sink { return records[id.Number] }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	var specs []devices.Spec
	for id, s := range map[uint64]*snmpd{1: victim, 2: victim, 3: other, 4: other} {
		given := devices.Settings{"interfaces": model.String("")}
		for name, v := range asUsers[[]string{"version 2c", "authPriv, SHA-256 and AES"}[id%2]] {
			given[name] = v
		}
		given["address"], given["profile"] = model.String(s.address), model.String("")
		given[devices.SettingPollInterval], given[devices.SettingTimeout] = model.Duration(interval), model.Duration(timeout)
		specs = append(specs, devices.Spec{ID: model.ContextID{Number: id}, Path: model.MustPath(fmt.Sprintf("/devices/d%d", id)), Kind: Kind, Settings: given})
	}
	if err := m.Reconcile(specs); err != nil {
		t.Fatal(err)
	}
	state := func(id uint64) string { return records[id].Named(devices.VariableState).Value.Text() }
	await := func(what string, most time.Duration, done func() bool) time.Duration {
		t.Helper()
		for began := time.Now(); ; time.Sleep(5 * time.Millisecond) { // real processes: there is nothing to wait on
			if done() {
				return time.Since(began)
			}
			if time.Since(began) > most {
				t.Fatalf("%s: not within %s; states %s %s %s %s", what, most, state(1), state(2), state(3), state(4))
			}
		}
	}
	all := func(want string, ids ...uint64) func() bool {
		return func() bool { return !slices.ContainsFunc(ids, func(id uint64) bool { return state(id) != want }) }
	}
	await("all are ok", 10*time.Second, all(devices.StateOK, 1, 2, 3, 4))
	polls := func(id uint64) int64 { return records[id].Named(devices.VariablePolls).Value.Int64() }
	// Long enough for an uptime that the next life has not when it is asked first: snmpd counts no boots in these folders.
	await("some polls are done", 10*time.Second, func() bool { return polls(1) >= 5 && polls(2) >= 5 })
	before, began := [2]int64{polls(3), polls(4)}, time.Now()
	victim.stop()
	took := await("those that lost their agent are silent", interval+timeout+time.Second, all(devices.StateNoResponse, 1, 2))
	t.Logf("noticed after %s", took)
	for _, id := range []uint64{1, 2} {
		if u := records[id].Named("name"); u.Quality != model.QualityNoReply || u.Value.Text() == "" {
			t.Errorf("name is %s, %s", u.Value, u.Quality)
		}
	}
	time.Sleep(5 * interval)
	elapsed := time.Since(began)
	for i, id := range []uint64{3, 4} {
		if n := polls(id) - before[i]; n < int64(elapsed/interval)-1 || state(id) != devices.StateOK {
			t.Errorf("device %d was polled %d times in %s, and is %s", id, n, elapsed, state(id))
		}
	}
	victim.start(t)
	await("all are ok again", 20*time.Second, all(devices.StateOK, 1, 2, 3, 4))
	await("the restart is noticed", 10*time.Second, func() bool { return records[2].Named("restarts").Value.Int64() > 0 })
	if got := records[2].Named("restarts").Value.Int64(); got != 1 {
		t.Errorf("%d restarts were noticed", got)
	}
}

func TestWriteToSnmpd(t *testing.T) {
	t.Parallel()
	s := startSnmpd(t)
	given := devices.Settings{"address": model.String(s.address), "community": model.String("writers"), "profile": model.String("admin")}
	d := open(t, Driver{Profiles: library(t, map[string]string{"admin": `
kind: snmp
title: Admin
points:
  snmp_traps: {oid: 1.3.6.1.2.1.11.30.0, values: {1: enabled, 2: disabled}, writable: true}
`})}, given)
	record := polled(t, d)
	write := func(name string, v model.Value) error {
		return d.Write(t.Context(), d.Shape().VariableIndex(name), v, record)
	}
	for _, c := range []struct {
		name string
		v    model.Value
		oid  string
		says string
	}{
		{"snmp_traps", model.String("enabled"), "1.3.6.1.2.1.11.30.0", "INTEGER: 1"}, {"snmp_traps", model.String("disabled"), "1.3.6.1.2.1.11.30.0", "INTEGER: 2"},
		{"location", model.String("Küche"), "1.3.6.1.2.1.1.6.0", "Hex-STRING: 4B C3 BC 63 68 65"},
	} {
		if err := write(c.name, c.v); err != nil {
			t.Fatal(err)
		}
		if u := record.Named(c.name); !u.Value.Equal(c.v) || u.Quality != model.QualityGood {
			t.Errorf("%s is %s, %s after it was set to %s", c.name, u.Value, u.Quality, c.v)
		}
		if got := strings.TrimSpace(s.walked(t, c.oid)[oid("."+c.oid)]); got != c.says {
			t.Errorf("%s: snmpget says %s", c.name, got)
		}
	}
	if err := write("snmp_traps", model.String("sometimes")); model.KindOf(err) != model.KindInvalid {
		t.Errorf("a value that it cannot have: %v", err)
	}
	reader := open(t, d.driver, devices.Settings{"address": model.String(s.address), "community": model.String("readers"), "profile": model.String("admin")})
	if err := reader.Write(t.Context(), d.Shape().VariableIndex("location"), model.String("elsewhere"), record); model.KindOf(err) != model.KindDenied {
		t.Errorf("by a community that may only read: %v", err)
	}
}

func TestDiscover(t *testing.T) {
	t.Parallel()
	s := startSnmpd(t)
	_, port, _ := splitAddress(s.address)
	dr := Driver{Profiles: shippedProfiles(t)}
	at := mustAddr("127.0.0.1")
	hints := devices.Settings{"community": model.String("readers"), "address": model.String(fmt.Sprintf("any:%d", port))}
	found, ok, err := dr.Discover(t.Context(), at, hints)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	host, _ := exec.Command("uname", "-n").Output()
	if found.Kind != Kind || found.Profile != "linux-host" || found.Name != strings.TrimSpace(string(host)) || !strings.HasPrefix(found.Description, "Linux ") ||
		found.Settings["address"].Text() != s.address || found.Settings["version"].Text() != "2c" || found.Settings["profile"].Text() != "linux-host" {
		t.Errorf("found %+v", found)
	}
	for name := range found.Settings {
		if base.Settings[base.SettingIndex(name)].Secret {
			t.Errorf("what was found repeats the secret %s", name)
		}
	}
	three := devices.Settings{"address": hints["address"]}
	for name, v := range asUsers["authPriv, SHA-256 and AES"] {
		if name != "address" && name != "profile" && name != "version" {
			three[name] = v
		}
	}
	if found, ok, err = dr.Discover(t.Context(), at, three); err != nil || !ok || found.Settings["version"].Text() != "3" {
		t.Errorf("with a user: %+v, %v, %v", found, ok, err)
	}
	if _, ok, err = dr.Discover(t.Context(), at, devices.Settings{"address": hints["address"], "community": model.String("wrong")}); ok || err != nil {
		t.Errorf("with a wrong community: %v, %v", ok, err)
	}
	if _, ok, err = dr.Discover(t.Context(), mustAddr("127.0.0.77"), hints); ok || err != nil {
		t.Errorf("where nobody is: %v, %v", ok, err)
	}
	if _, _, err = dr.Discover(t.Context(), at, devices.Settings{"version": model.String("9")}); model.KindOf(err) != model.KindInvalid {
		t.Errorf("with a hint that is wrong: %v", err)
	}
}
