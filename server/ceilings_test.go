package server

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"banyan/devices"
	"banyan/doctor"
	"banyan/model"
)

// TestCeilings: what is too much is refused with what to do, whatever makes it, and the doctor tells.
func TestCeilings(t *testing.T) {
	dir := t.TempDir()
	made, err := Init(t.Context(), dir, "berlin", nil)
	if err != nil {
		t.Fatal(err)
	}
	n := runNodeWith(t, dir, made.Password, func(c *Config) { c.Ceilings = Ceilings{Contexts: 100, Devices: 3, Connections: 10} })
	create := func(path, kind string) error {
		_, err := n.execute(n.admin(), Request{Op: OpCreate, Path: model.MustPath(path), Kind: kind})
		return err
	}
	refused := func(err error, what string) {
		t.Helper()
		if model.KindOf(err) != model.KindExhausted || !strings.Contains(err.Error(), "limits: "+what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range 3 {
		if err := create(fmt.Sprintf("/devices/d%d", i), "simulator"); err != nil {
			t.Fatal(err)
		}
	}
	n.devices.reconcile(t.Context())
	refused(create("/devices/d3", "simulator"), "devices")
	if err := create("/devices/hall", "folder"); err != nil {
		t.Errorf("a folder is no device: %v", err)
	}
	for i := 0; err == nil; i++ {
		if err = create(fmt.Sprintf("/place-%d", i), "folder"); i > 100 {
			t.Fatal("there is no end")
		}
	}
	refused(err, "contexts")
	// What a device finds counts as well.
	n.must(setRequest("/devices/d0", "points", model.Int64(100)))
	n.must(setRequest("/devices/d0", "group_size", model.Int64(1)))
	_, _ = n.execute(n.admin(), Request{Op: OpCall, Path: model.MustPath("/devices/d0"), Name: devices.FunctionPollNow})
	if have, _ := n.Tree().Count(); have > 100 {
		t.Errorf("there are %d contexts", have)
	}
	if f := worst(t, n.examine(t.Context(), n.admin()), "limits"); f.State != doctor.Failed || f.Remedy == "" {
		t.Errorf("%+v", f)
	}
}

// TestConnectionsAreCounted: only those on which somebody proved who they are; one more of these is refused and told what to do, and is served when
// another was closed.
func TestConnectionsAreCounted(t *testing.T) {
	dir := t.TempDir()
	made, err := Init(t.Context(), dir, "berlin", nil)
	if err != nil {
		t.Fatal(err)
	}
	n := runNodeWith(t, dir, made.Password, func(c *Config) { c.Ceilings = Ceilings{Connections: 10} })
	ask := func(client *http.Client) (status int, said string) {
		status, raw := n.postBy(client, "/banyan.api.v1.SessionService/Who", n.token, "{}")
		return status, string(raw)
	}
	n.client.CloseIdleConnections()
	waitUntil(t, "nobody is inside", func() bool { return n.doors[DoorAPI].Stats().Inside == 0 })
	for range 12 {
		conn, err := net.Dial("tcp", n.APIAddress())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	var all []*http.Client
	for range 10 {
		client := n.anotherClient()
		all = append(all, client)
		if status, said := ask(client); status != http.StatusOK {
			t.Fatal(status, said)
		}
	}
	if f := worst(t, n.ceilingsFound(), "limits"); f.State != doctor.Failed || !strings.Contains(f.Detail, "10 connections") {
		t.Errorf("%+v", f)
	}
	if status, said := ask(n.client); status != http.StatusTooManyRequests || !strings.Contains(said, "10 connections are open") || n.doors[DoorAPI].Stats().Full == 0 {
		t.Errorf("one more than there may be: %d, %s", status, said)
	}
	all[0].CloseIdleConnections()
	waitUntil(t, "there is room", func() bool { status, _ := ask(n.client); return status == http.StatusOK })
}

func TestParseCeilings(t *testing.T) {
	f, err := ParseFile("node.yaml", []byte("name: a\ndata: d\nlimits: {memory: 512MiB, contexts: 5000, devices: 20, connections: 100}\n"))
	if err != nil || f.Ceilings != (Ceilings{512 << 20, 5000, 20, 100}) {
		t.Errorf("%+v, %v", f.Ceilings, err)
	}
	for text, says := range map[string]string{
		"{memory: much}": "3:18: \"much\" is no size", "{memory: 1MiB}": "at least 64 MiB", "{devices: -1}": "devices", "{contexts: many}": "3:20", "{memory: 99999999999TiB}": "is no size",
		"{streams: 1}": "has no key",
	} {
		if _, err := ParseFile("node.yaml", []byte("name: a\ndata: d\nlimits: "+text+"\n")); model.KindOf(err) != model.KindInvalid || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// waitUntil waits ten seconds at most.
func waitUntil(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for began := time.Now(); !holds(); <-time.After(5 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}
