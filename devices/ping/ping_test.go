package ping

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"banyan/devices"
	"banyan/devices/devicetest"
	"banyan/model"
)

func TestDriver(t *testing.T) { devicetest.Run(t, New()) }

func with(host string, more devices.Settings) devices.Settings {
	s := devices.Settings{"host": model.String(host), "probes": model.Int64(3), "spacing": model.Duration(5 * time.Millisecond), "reply_wait": model.Duration(300 * time.Millisecond)}
	for name, v := range more {
		s[name] = v
	}
	return s
}

func open(t testing.TB, d Driver, settings devices.Settings) *device {
	t.Helper()
	resolved, err := devices.Resolve(devices.Complete(schema), settings)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := d.Open(resolved)
	if err != nil {
		t.Fatal(err)
	}
	return opened.(*device)
}

// TestThousandsShareASocket: four thousand hosts that the kernel answers for are pinged within one poll, over one socket, without a loss; the
// socket is there as long as there is a device.
func TestThousandsShareASocket(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	const hosts = 4000
	driver := New()
	all := make([]*device, hosts)
	records := make([]*devicetest.Recorder, hosts)
	for i := range all {
		all[i] = open(t, driver, with(fmt.Sprintf("127.%d.%d.%d", 1+i/60000, i/250%240, 1+i%250), devices.Settings{"reply_wait": model.Duration(2 * time.Second)}))
		records[i] = devicetest.NewRecorder(schema)
	}
	if driver.pool.sockets != [2]*shared{} {
		t.Error("there is a socket before the first poll")
	}
	before := files(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	began := time.Now()
	var polls sync.WaitGroup
	for i, d := range all {
		polls.Go(func() {
			if err := d.Poll(ctx, records[i]); err != nil {
				t.Error(err)
			}
		})
	}
	polls.Wait()
	took := time.Since(began)
	if n := files(t) - before; n != 1 {
		t.Errorf("%d files were opened for %d devices", n, hosts)
	}
	var most time.Duration
	for i, r := range records {
		if loss, got := r.Named("loss").Value.Float64(), r.Named("received").Value.Int64(); loss != 0 || got != 3 {
			t.Errorf("host %d: %v %% loss, %d received", i, loss, got)
		}
		most = max(most, r.Named("rtt_max").Value.Duration())
		if a, b, c := r.Named("rtt_min").Value.Duration(), r.Named("rtt_avg").Value.Duration(), r.Named("rtt_max").Value.Duration(); a <= 0 || a > b || b > c {
			t.Errorf("host %d: round trips %s %s %s", i, a, b, c)
		}
		if want := all[i].options.host; r.Named("address").Value.Text() != want {
			t.Errorf("host %d: %s instead of %s", i, r.Named("address").Value.Text(), want)
		}
	}
	t.Logf("%d hosts, 3 pings each, in %s; longest round trip %s", hosts, took, most)
	for _, d := range all[1:] {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if driver.pool.sockets[0] == nil || len(driver.pool.probes) != 3 {
		t.Errorf("with one device left: socket %v, %d probes", driver.pool.sockets[0], len(driver.pool.probes))
	}
	if err := all[0].Close(); err != nil {
		t.Error(err)
	}
	if driver.pool.sockets != [2]*shared{} || len(driver.pool.probes) != 0 || files(t) != before {
		t.Errorf("without a device there are still %v, %d probes", driver.pool.sockets, len(driver.pool.probes))
	}
}

func files(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

var filters = []string{
	"ip daddr 127.1.1.1 icmp type echo-request numgen inc mod 5 0 drop",
	"ip daddr 127.1.1.2 icmp type echo-request drop",
	"ip daddr 127.1.1.3 icmp type echo-request reject with icmp type admin-prohibited",
	"ip daddr 127.1.1.4 icmp type echo-request reject with icmp type host-unreachable",
	"ip6 daddr ::1 icmpv6 type echo-request reject with icmpv6 type no-route",
	"ip daddr 127.1.1.5 icmp type echo-request numgen inc mod 3 0 reject with icmp type host-unreachable",
}

// TestLossAndReports: what a firewall drops is lost, and what it rejects is reported at once, with who says so.
func TestLossAndReports(t *testing.T) {
	if !devicetest.InNamespace(t) {
		return
	}
	devicetest.Firewall(t, filters...)
	devicetest.Command(t, "ip", "route", "add", "unreachable", "198.51.100.0/24")
	reportsAndLosses(t)
	if dead := devicetest.Poll(t, New(), with("192.0.2.1", nil)); dead.State != "no-response" || !strings.Contains(dead.Text, "no route") {
		t.Errorf("without a route: %s, %q", dead.State, dead.Text)
	}
	if dead := devicetest.Poll(t, New(), with("198.51.100.1", nil)); dead.State != "no-response" || !strings.Contains(dead.Text, "cannot be reached") {
		t.Errorf("unreachable here: %s, %q", dead.State, dead.Text)
	}
}

func reportsAndLosses(t *testing.T) {
	t.Helper()
	for _, c := range []struct {
		host, state, text string
		loss              float64
		within            time.Duration
	}{
		{"127.1.1.1", "ok", "", 20, time.Second},
		{"127.1.1.2", "no-response", "no answer from 127.1.1.2 to 10 pings within 300ms", 100, time.Second},
		{"127.1.1.3", "no-response", "127.1.1.3: a filter on the way prohibits it, says 127.1.1.3", 100, 250 * time.Millisecond},
		{"127.1.1.4", "no-response", "127.1.1.4: the host cannot be reached, says 127.1.1.4", 100, 250 * time.Millisecond},
		{"::1", "no-response", "::1: there is no route, says ::1", 100, 250 * time.Millisecond},
		{"127.1.1.5", "ok", "", 40, 250 * time.Millisecond}, // the first of three, so 4 of 10
		{"127.1.1.6", "ok", "", 0, 250 * time.Millisecond},
	} {
		p := devicetest.Poll(t, New(), with(c.host, devices.Settings{"probes": model.Int64(10)}))
		if p.State != c.state || p.Text != c.text || p.Named("loss").Value.Float64() != c.loss {
			t.Errorf("%s: %s, %q, %v %% loss", c.host, p.State, p.Text, p.Named("loss").Value.Float64())
		}
		if p.Took > c.within {
			t.Errorf("%s took %s", c.host, p.Took)
		}
	}
}

// nobody gives up being root, which a test in a namespace, and so in a process of its own, may do.
func nobody(t *testing.T, mayPing string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte(mayPing), 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
		t.Fatal(err)
	}
}

func TestWithoutAnyPrivilege(t *testing.T) {
	if !devicetest.InNamespace(t) {
		return
	}
	nobody(t, "1 0")
	p := devicetest.Poll(t, New(), with("127.1.1.6", nil))
	if p.State != "failed" || !strings.Contains(p.Text, "may not send pings") || !strings.Contains(p.Text, "CAP_NET_RAW") || !strings.Contains(p.Text, "ping_group_range") {
		t.Errorf("without any privilege: %s, %q", p.State, p.Text)
	}
}

// TestWithoutPrivilege: the same through the kernel's sockets for pings.
func TestWithoutPrivilege(t *testing.T) {
	if !devicetest.InNamespace(t) {
		return
	}
	devicetest.Firewall(t, filters...)
	nobody(t, "65534 65534")
	reportsAndLosses(t)
	d := open(t, New(), with("127.1.1.6", nil))
	defer d.Close()
	record := devicetest.NewRecorder(schema)
	if err := d.Poll(t.Context(), record); err != nil || record.Named("ttl").Value.Int64() != 64 {
		t.Errorf("polled: %v, ttl %v", err, record.Named("ttl").Value)
	}
	if s := d.pool.sockets[0].socket; s.raw {
		t.Error("nobody has got a raw socket")
	}
	// Reports about other hosts are pending all the time and never hold against this one.
	var polls sync.WaitGroup
	for i := range 20 {
		other := open(t, Driver{pool: d.pool}, with([]string{"127.1.1.4", "127.1.2.1"}[i%2], devices.Settings{"probes": model.Int64(20)}))
		defer other.Close()
		polls.Go(func() {
			if err := other.Poll(t.Context(), devicetest.NewRecorder(schema)); (err == nil) != (other.options.host == "127.1.2.1") {
				t.Errorf("%s: %v", other.options.host, err)
			}
		})
	}
	polls.Wait()
}

// TestDeadNeighboursHoldUpNobody: packets to hundreds of neighbours that are not there wait in the socket's buffer, and hosts that live are
// pinged as ever.
func TestDeadNeighboursHoldUpNobody(t *testing.T) {
	if !devicetest.InNamespace(t) {
		return
	}
	devicetest.Command(t, "ip", "link", "add", "near", "type", "veth", "peer", "name", "far")
	devicetest.Command(t, "ip", "addr", "add", "10.9.0.1/16", "dev", "near")
	devicetest.Command(t, "ip", "link", "set", "near", "up")
	devicetest.Command(t, "ip", "link", "set", "far", "up")
	driver := New()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var polls sync.WaitGroup
	for i := range 800 {
		d := open(t, driver, with(fmt.Sprintf("10.9.%d.%d", 1+i/250, 1+i%250), devices.Settings{"reply_wait": model.Duration(time.Second)}))
		defer d.Close()
		polls.Go(func() {
			if err := d.Poll(ctx, devicetest.NewRecorder(schema)); model.KindOf(err) != model.KindTimeout && model.KindOf(err) != model.KindUnavailable {
				t.Errorf("%s: %v", d.options.host, err)
			}
		})
	}
	alive := open(t, driver, with("127.0.0.1", nil))
	defer alive.Close()
	for range 20 {
		began := time.Now()
		if err := alive.Poll(t.Context(), devicetest.NewRecorder(schema)); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 250*time.Millisecond {
			t.Errorf("a host that lives took %s", took)
		}
	}
	polls.Wait()
}

// TestNames: names are resolved to the family that is wanted, and one that does not exist is told.
func TestNames(t *testing.T) {
	p := devicetest.Poll(t, New(), with("localhost", devices.Settings{"family": model.String("ipv4")}))
	if p.State != "ok" || p.Named("address").Value.Text() != "127.0.0.1" {
		t.Errorf("localhost: %s, %q", p.State, p.Text)
	}
	p = devicetest.Poll(t, New(), with("no-such-host.invalid", nil))
	if p.State == "ok" || !strings.Contains(p.Text, "no-such-host.invalid") {
		t.Errorf("a name that does not exist: %s, %q", p.State, p.Text)
	}
}

func TestDiscover(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	if !devicetest.InNamespace(t) {
		return
	}
	devicetest.Firewall(t, "ip daddr 127.1.1.2 icmp type echo-request drop")
	driver := New()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for host, there := range map[string]bool{"127.1.1.1": true, "::1": true, "127.1.1.2": false, "192.0.2.1": false} {
		found, is, err := driver.Discover(ctx, netip.MustParseAddr(host), nil)
		if err != nil || is != there || is && found.Settings["host"].Text() != host {
			t.Errorf("%s: %+v, %v, %v", host, found, is, err)
		}
	}
	if driver.pool.sockets != [2]*shared{} || len(driver.pool.probes) != 0 {
		t.Errorf("afterwards there are %v, %d probes", driver.pool.sockets, len(driver.pool.probes))
	}
}

// TestForgeries: a program that sees the target's address, identifier and number, but not the ping itself, cannot answer for it.
func TestForgeries(t *testing.T) {
	if !devicetest.InNamespace(t) {
		return
	}
	devicetest.Firewall(t, "ip daddr 127.1.1.2 icmp type echo-request drop")
	driver := New()
	d := open(t, driver, with("127.1.1.2", devices.Settings{"reply_wait": model.Duration(500 * time.Millisecond)}))
	defer d.Close()
	forger, err := net.DialIP("ip4:icmp", &net.IPAddr{IP: net.IPv4(127, 1, 1, 2)}, &net.IPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer forger.Close()
	over := make(chan struct{})
	var forging sync.WaitGroup
	forging.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(5 * time.Millisecond):
			}
			driver.pool.mu.Lock()
			var seen []echo
			for _, p := range driver.pool.probes {
				seen = append(seen, p.echo)
			}
			driver.pool.mu.Unlock()
			for _, e := range seen {
				e.token[0]++
				b := request(false, e, 56)
				b[0], b[2], b[3] = echoReply4, 0, 0
				sum := checksum(b)
				b[2], b[3] = byte(sum>>8), byte(sum)
				_, _ = forger.Write(b)
			}
		}
	})
	err = d.Poll(t.Context(), devicetest.NewRecorder(schema))
	close(over)
	forging.Wait()
	if model.KindOf(err) != model.KindTimeout {
		t.Errorf("answered by a forger: %v", err)
	}
	if driver.pool.foreign == 0 {
		t.Error("no forgery arrived, so nothing was tried")
	}
}
