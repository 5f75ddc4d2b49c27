package snmp

import (
	"testing"
	"testing/fstest"

	"github.com/gosnmp/gosnmp"

	"banyan/devices"
	"banyan/devices/devicetest"
	"banyan/model"
	"banyan/profiles"
)

const sampleProfile = `
kind: snmp
title: Sample
match: {sys_object_id: 1.3.6.1.4.1.99999}
points:
  temperature: {oid: 1.3.6.1.4.1.99999.1.1.0, type: float64, scale: 0.1, unit: °C}
  mode: {oid: 1.3.6.1.4.1.99999.1.2.0, values: {1: heating, 2: cooling}, writable: true}
tables:
  sensors:
    label: name
    index: [sensor]
    columns:
      name: {oid: 1.3.6.1.4.1.99999.2.1.2, as: text}
      value: {oid: 1.3.6.1.4.1.99999.2.1.3, type: float64}
      limit: {oid: 1.3.6.1.4.1.99999.2.1.4, type: int64, writable: true, min: 0, max: 100}
      interface: {oid: 1.3.6.1.4.1.99999.2.1.5, type: int64}
      port: {oid: 1.3.6.1.2.1.31.1.1.1.1, by: interface, as: text}
`

// library is a registry with the profiles that are given as files.
func library(t testing.TB, files map[string]string) *profiles.Registry {
	t.Helper()
	folder := fstest.MapFS{}
	for name, content := range files {
		folder[name+".yaml"] = &fstest.MapFile{Data: []byte(content)}
	}
	r, err := profiles.NewRegistry(profiles.Config{Checks: map[string]profiles.Check{Kind: Check}, Shipped: folder})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func shippedProfiles(t testing.TB) *profiles.Registry {
	t.Helper()
	r, err := profiles.NewRegistry(profiles.Config{Checks: map[string]profiles.Check{
		Kind: Check, "modbus": skip, "mqtt": skip, "prometheus": skip,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// skip lets profiles of other drivers be.
func skip(p *profiles.Profile) {
	for i := range p.Points {
		if p.Points[i].Type == model.TypeNone {
			p.Points[i].Type = model.TypeFloat64
		}
	}
	for i := range p.Tables {
		for j := range p.Tables[i].Columns {
			if p.Tables[i].Columns[j].Type == model.TypeNone {
				p.Tables[i].Columns[j].Type = model.TypeFloat64
			}
		}
	}
}

func sampleObjects() []gosnmp.SnmpPDU {
	return append(system("Sample device", "1.3.6.1.4.1.99999.1", 360_000),
		number("1.3.6.1.4.1.99999.1.1.0", 215), number("1.3.6.1.4.1.99999.1.2.0", 2),
		text("1.3.6.1.4.1.99999.2.1.2.1", "rack/1"), number("1.3.6.1.4.1.99999.2.1.3.1", 18), number("1.3.6.1.4.1.99999.2.1.4.1", 40), number("1.3.6.1.4.1.99999.2.1.5.1", 1),
		text("1.3.6.1.4.1.99999.2.1.2.2", "rack/2"), number("1.3.6.1.4.1.99999.2.1.3.2", 19), number("1.3.6.1.4.1.99999.2.1.5.2", 9),
		// Two interfaces, of which the second one is in the old table only.
		number("1.3.6.1.2.1.2.2.1.1.1", 1), number("1.3.6.1.2.1.2.2.1.1.2", 2),
		text("1.3.6.1.2.1.2.2.1.2.1", "GigabitEthernet0/1"), text("1.3.6.1.2.1.2.2.1.2.2", "Vl1"),
		number("1.3.6.1.2.1.2.2.1.3.1", 6), number("1.3.6.1.2.1.2.2.1.3.2", 53),
		gauge("1.3.6.1.2.1.2.2.1.5.1", 4294967295), gauge("1.3.6.1.2.1.2.2.1.5.2", 0),
		text("1.3.6.1.2.1.2.2.1.6.1", "\x00\x1b\x2c\x00\x00\x01"), text("1.3.6.1.2.1.2.2.1.6.2", ""),
		number("1.3.6.1.2.1.2.2.1.7.1", 1), number("1.3.6.1.2.1.2.2.1.7.2", 2),
		number("1.3.6.1.2.1.2.2.1.8.1", 1), number("1.3.6.1.2.1.2.2.1.8.2", 7),
		count32("1.3.6.1.2.1.2.2.1.10.1", 3755744309), count32("1.3.6.1.2.1.2.2.1.10.2", 77),
		count32("1.3.6.1.2.1.2.2.1.16.1", 4000), count32("1.3.6.1.2.1.2.2.1.16.2", 78),
		text("1.3.6.1.2.1.31.1.1.1.1.1", "Gi0/1"),
		count64("1.3.6.1.2.1.31.1.1.1.6.1", 12345678901),
		gauge("1.3.6.1.2.1.31.1.1.1.15.1", 10000),
		text("1.3.6.1.2.1.31.1.1.1.18.1", "uplink"),
	)
}

func TestDriver(t *testing.T) {
	a := newAgent(t, sampleObjects()...)
	devicetest.Run(t, Driver{Profiles: library(t, map[string]string{"sample": sampleProfile})}, devices.Settings{"address": model.String(a.address())})
}

// TestShippedProfiles makes a plan of each profile that comes with the program.
func TestShippedProfiles(t *testing.T) {
	r := shippedProfiles(t)
	for _, p := range r.All(Kind) {
		d := open(t, Driver{Profiles: r}, devices.Settings{"address": model.String("192.0.2.1"), "profile": model.String(p.Name)})
		if err := devices.Complete(d.Shape()).Validate(); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}
