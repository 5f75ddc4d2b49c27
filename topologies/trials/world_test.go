package trials

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"banyan/proto/apiv1"
)

// outside is a site behind a gate, and HQ beyond it: three namespaces in a row. This machine reaches the API of both over a bridge that links do not
// use.
//
//	site 10.77.1.2, fd77:1::2 --- gate --- 10.77.2.2, fd77:2::2 HQ
type outside struct {
	*trial
	lab *lab
	dir string // for the programs of the gate, which may be another user's

	names       *exec.Cmd // the name server
	environment []string  // of the site's node
	changed     time.Time // when a setting of the link was set last
}

const (
	hqName    = "hq.test"
	proxyWord = "geheim:7" // of the user "site" at the proxy that asks
)

// needs fails where a program is missing, and says which package has it.
func needs(t *testing.T, programs map[string]string) {
	t.Helper()
	for program, from := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is missing: install the Debian package %s", program, from)
		}
	}
}

func startOutside(t *testing.T) *outside {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("network namespaces need root")
	}
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	needs(t, map[string]string{"ip": "iproute2", "nft": "nftables", "tinyproxy": "tinyproxy-bin", "squid": "squid", "dnsmasq": "dnsmasq-base"})
	dir, err := os.MkdirTemp("", "banyan-world-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil { // squid works there as a user of its own
		t.Fatal(err)
	}
	o := &outside{lab: newLab(t, "site", "hq", "gate"), dir: dir}
	o.wire(t)
	o.file(t, "hosts", "10.77.2.2 "+hqName+"\n")
	o.names = o.lab.start("gate", "dnsmasq", "--keep-in-foreground", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces",
		"--listen-address=10.77.1.1", "--addn-hosts="+filepath.Join(dir, "hosts"), "--local=/test/", "--user=root", "--pid-file=")
	text := fmt.Sprintf(`network: outside
nodes:
  hq:
    listeners: {links: "[::]:27443", api: "%[1]s.11:8443"}
  site:
    listeners: {api: "%[1]s.10:8443"}
    devices:
      /devices/sim: {kind: simulator, points: 2, poll_interval: 1h} # silent: the link has heartbeats only
`, o.lab.subnet)
	o.trial = start(t, text, func(config string) []string {
		command := o.lab.command(config) // ip netns exec NAME PROGRAM ...
		if filepath.Base(filepath.Dir(config)) != "site" {
			return command
		}
		return append(append(append([]string{}, command[:4]...), append([]string{"env"}, o.environment...)...), command[4:]...)
	})
	return o
}

// wire puts the cables and the routes in.
func (o *outside) wire(t *testing.T) {
	t.Helper()
	l := o.lab
	for i, end := range []string{"site", "hq"} {
		in, at := fmt.Sprintf("%sw%d", l.prefix, i), fmt.Sprintf("%sg%d", l.prefix, i)
		l.run("ip", "link", "add", in, "netns", l.space(end), "type", "veth", "peer", "name", at, "netns", l.space("gate"))
		for _, side := range []struct{ space, device, number string }{{end, in, "2"}, {"gate", at, "1"}} {
			l.in(side.space, "ip", "addr", "add", fmt.Sprintf("10.77.%d.%s/24", i+1, side.number), "dev", side.device)
			l.in(side.space, "ip", "addr", "add", fmt.Sprintf("fd77:%d::%s/64", i+1, side.number), "dev", side.device, "nodad")
			l.in(side.space, "ip", "link", "set", side.device, "up")
		}
	}
	l.in("site", "ip", "route", "add", "default", "via", "10.77.1.1")
	l.in("site", "ip", "-6", "route", "add", "default", "via", "fd77:1::1")
	l.in("hq", "ip", "-6", "route", "add", "fd77:1::/64", "via", "fd77:2::1") // there is no NAT for IPv6
	for _, switched := range []string{"net/ipv4/ip_forward=1", "net/ipv6/conf/all/forwarding=1", "net/netfilter/nf_conntrack_tcp_loose=0"} {
		o.sysctl("gate", switched)
	}
	// The address of the gate that HQ sees is one that answers nothing, as with a router of a provider.
	l.rules("gate", `table ip nat { chain post { type nat hook postrouting priority 100; ip daddr 10.77.2.0/24 tcp dport 27443 masquerade; }
}
		table ip silent { chain in { type filter hook input priority 0; tcp sport 27443 ct state invalid drop; }
}`)
	for _, asks := range []string{"site", "gate"} {
		resolver := filepath.Join("/etc/netns", l.space(asks))
		if err := os.MkdirAll(resolver, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(resolver) })
		if err := os.WriteFile(filepath.Join(resolver, "resolv.conf"), []byte("nameserver 10.77.1.1\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (o *outside) sysctl(space, setting string) {
	name, value, _ := strings.Cut(setting, "=")
	o.lab.in(space, "sh", "-c", "echo "+value+" > /proc/sys/"+name)
}

// file writes a file for a program of the gate.
func (o *outside) file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(o.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// start runs a program in a namespace until the test ends.
func (l *lab) start(node string, command ...string) *exec.Cmd {
	l.t.Helper()
	cmd := exec.Command("ip", append([]string{"netns", "exec", l.space(node)}, command...)...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if l.t.Failed() {
			l.t.Logf("%s: %s", command[0], said.String())
		}
	})
	return cmd
}

// tinyproxy and squid run at the gate; squid asks for a user and a password. Both let through to the port of links only.
func (o *outside) proxies() (squid *exec.Cmd) {
	o.Helper()
	tiny := o.file(o.T, "tinyproxy.conf", "Port 3127\nListen 10.77.1.1\nTimeout 600\nMaxClients 20\nConnectPort 27443\nLogLevel Warning\n")
	o.lab.start("gate", "tinyproxy", "-d", "-c", tiny)
	helper := o.file(o.T, "helper", "#!/bin/sh\nwhile read user word; do [ \"$user $word\" = \"site geheim:7\" ] && echo OK || echo ERR; done\n")
	config := o.file(o.T, "squid.conf", fmt.Sprintf(`http_port 10.77.1.1:3128
pid_filename none
cache deny all
access_log none
cache_log %[1]s/cache.log
coredump_dir %[1]s
netdb_filename none
shutdown_lifetime 0 seconds
auth_param basic program %[2]s
auth_param basic children 1
acl known proxy_auth REQUIRED
acl links port 27443
acl CONNECT method CONNECT
http_access deny !links
http_access allow CONNECT known
http_access deny all
`, o.dir, helper))
	squid = o.lab.start("gate", "squid", "-N", "-f", config)
	for _, port := range []string{"3127", "3128"} {
		o.until("the proxy at "+port+" listens", 30*time.Second, func() bool {
			return strings.Contains(o.lab.in("gate", "ss", "-Hltn"), "10.77.1.1:"+port)
		})
	}
	return squid
}

// call calls a function of a node.
func (o *outside) call(node, path, function string, texts map[string]string) map[string]string {
	o.Helper()
	answer, err := o.at(node).Tree.Call(o.Context(), &apiv1.CallRequest{Path: path, Function: function, Texts: texts})
	if err != nil {
		o.Fatalf("%s: %s:%s: %v", node, path, function, err)
	}
	results := map[string]string{}
	for _, r := range answer.GetResults() {
		results[r.GetName()] = r.GetValue().GetStringValue()
	}
	return results
}

// link invites at HQ and joins at the site.
func (o *outside) link(addresses string, with map[string]string) {
	o.Helper()
	token := o.call("hq", "/links", "invite", map[string]string{"name": "site", "role": "consumer", "mount": "/site", "addresses": addresses})["token"]
	texts := map[string]string{"token": token, "name": "hq"}
	for name, text := range with {
		texts[name] = text
	}
	o.call("site", "/links", "join", texts)
}

// set sets settings of the site's link, one after the other.
func (o *outside) set(pairs ...string) {
	o.Helper()
	for i := 0; i+1 < len(pairs); i += 2 {
		q := &apiv1.SetRequest{Address: "/links/hq:" + pairs[i], Text: pairs[i+1]}
		if _, err := o.at("site").Tree.Set(o.Context(), q); err != nil {
			o.Fatalf("set %s: %v", pairs[i], err)
		}
		o.changed = time.Now()
	}
}

func (o *outside) says(name string) string {
	return o.get("site", "/links/hq:"+name).GetValue().GetStringValue()
}

// fresh reports whether the link is up with the settings that it has, and what is behind it is good.
func (o *outside) fresh() bool {
	since, err := time.Parse(time.RFC3339Nano, o.says("since"))
	return err == nil && since.After(o.changed) && o.says("state") == "up" && quality(o.get("hq", "/site/devices/sim:updates")) == "good"
}

// up waits until the link is up by a route, and logs how long that took.
func (o *outside) up(what, route string, most time.Duration) {
	o.Helper()
	began, took := time.Now(), time.Duration(0)
	for !o.fresh() || !strings.Contains(o.says("route"), route) {
		if took = time.Since(began); took > most {
			o.Fatalf("%s: the link is not up within %s: %s, %s, by %s", what, most, o.says("state"), o.says("detail"), o.says("route"))
		}
		<-time.After(20 * time.Millisecond)
	}
	o.Logf("%s: up after %s, by %s", what, took.Round(time.Millisecond), o.says("route"))
}

// refused waits until the link says why it does not come up.
func (o *outside) refused(what, text string) {
	o.Helper()
	o.until(what+": the link says "+text, 10*time.Second, func() bool { return strings.Contains(o.says("detail"), text) })
	if problem := o.says("last_problem"); strings.Contains(problem, "geheim") || problem == "" {
		o.Errorf("%s: the last problem is %q", what, problem)
	}
}

// lost waits until both ends show that the link is gone: two beats, and a second.
func (o *outside) lost(what string) {
	o.Helper()
	above := o.until(what+": HQ shows the site stale", seenAtNorth, func() bool { return quality(o.get("hq", "/site/devices/sim:updates")) == "uncertain/stale" })
	here := o.until(what+": the site shows its link down", seenAtNorth-above, func() bool { return o.says("state") != "up" })
	o.Logf("%s: seen above after %s, at the site after %s", what, above.Round(time.Millisecond), (above + here).Round(time.Millisecond))
}

// A site behind a gate: a NAT that forgets, addresses where nobody answers, names that move, both families, and proxies that let through, ask, refuse
// and hang. What goes wrong is shown at both ends within two beats with what to do, and the link comes back by itself within 60 s.
func TestLinksThroughTheRealWorld(t *testing.T) {
	o := startOutside(t)
	o.link("10.77.2.2:27443", nil)
	o.up("NAT", "10.77.2.2:27443", 10*time.Second)

	// The gate forgets its connections, as a router does that dials in anew or is short of memory. Nobody is told.
	outer := o.lab.prefix + "g1"
	o.lab.in("gate", "ip", "addr", "del", "10.77.2.1/24", "dev", outer)
	o.lab.in("gate", "ip", "addr", "add", "10.77.2.1/24", "dev", outer)
	o.lost("NAT forgets")
	o.up("NAT forgets", "10.77.2.2:27443", 60*time.Second)

	o.throughAddresses()
	o.throughNames()
	o.throughProxies()
}

func (o *outside) throughAddresses() {
	o.lab.rules("gate", `table inet hole { chain f { type filter hook prerouting priority -200; ip daddr 10.77.9.0/24 drop; ip6 daddr fd77:9::/64 drop; }
}`)
	o.set("addresses", "10.77.9.9:27443,10.77.9.8:27443,10.77.2.2:27443")
	o.up("two addresses where nobody answers", "10.77.2.2:27443", 4*time.Second)
	o.set("addresses", "[fd77:2::2]:27443")
	o.up("IPv6", "[fd77:2::2]:27443", 4*time.Second)
	zone := o.linkLocal()
	o.set("addresses", zone)
	o.up("IPv6 of the network itself", zone, 4*time.Second)
}

func (o *outside) throughNames() {
	o.set("addresses", hqName+":27443")
	o.up("a name", "10.77.2.2:27443", 4*time.Second)
	o.resolves("fd77:9::9 " + hqName + "\n10.77.2.2 " + hqName + "\n")
	o.set("enabled", "false", "enabled", "true")
	o.up("a name whose IPv6 leads nowhere", "10.77.2.2:27443", 4*time.Second)
	device := o.lab.prefix + "w1"
	o.lab.in("hq", "ip", "addr", "add", "10.77.2.3/24", "dev", device)
	o.lab.in("hq", "ip", "addr", "del", "10.77.2.2/24", "dev", device)
	o.lab.in("hq", "ip", "addr", "replace", "10.77.2.3/24", "dev", device)
	o.resolves("10.77.2.3 " + hqName + "\n")
	o.lost("HQ moves")
	o.up("HQ moves", "10.77.2.3:27443", 60*time.Second)
}

// linkLocal is HQ's address of the bridge to which both nodes are wired, as the site writes it.
func (o *outside) linkLocal() string {
	o.Helper()
	fields := strings.Fields(o.lab.in("hq", "ip", "-6", "-o", "addr", "show", "dev", o.lab.prefix+"i1", "scope", "link"))
	for i, field := range fields {
		if field == "inet6" {
			ip, _, _ := strings.Cut(fields[i+1], "/")
			return "[" + ip + "%" + o.lab.prefix + "i0]:27443"
		}
	}
	o.Fatalf("HQ has no link-local address: %v", fields)
	return ""
}

// resolves makes the name server know other names.
func (o *outside) resolves(hosts string) {
	o.Helper()
	o.file(o.T, "hosts", hosts)
	o.lab.run("kill", "-HUP", fmt.Sprint(o.names.Process.Pid))
	<-time.After(200 * time.Millisecond)
}

func (o *outside) throughProxies() {
	squid := o.proxies()
	const hq, tiny, guarded = hqName + ":27443", "http://10.77.1.1:3127", "http://10.77.1.1:3128"
	o.lab.rules("gate", `table inet shut { chain f { type filter hook forward priority 0; tcp dport 27443 reject with tcp reset; }
}`)
	o.set("proxy", tiny, "addresses", "10.77.9.9:27443,"+hq)
	o.up("tinyproxy, and a first address where nobody answers", hq+" through "+tiny, 5*time.Second)
	o.set("addresses", hq, "proxy", guarded)
	o.refused("squid", "asks for a user and a password (407)")
	o.set("proxy_user", "site", "proxy_password", "wrong")
	o.refused("squid, wrong password", "does not accept the user and the password")
	o.set("proxy_password", proxyWord)
	o.up("squid", hq+" through "+guarded, 5*time.Second)
	if r := o.get("site", "/links/hq:proxy_password"); r.GetType() != "none" {
		o.Errorf("the password can be read: %v", r)
	}
	o.set("addresses", "10.77.2.3:9999")
	o.refused("a port that is not allowed", "does not let connections through to 10.77.2.3:9999 (403")
	o.set("addresses", hq)
	o.up("squid", hq+" through "+guarded, 5*time.Second)

	o.lab.run("kill", "-STOP", fmt.Sprint(squid.Process.Pid))
	o.lost("the proxy hangs")
	o.refused("the proxy hangs", "does not answer")
	o.lab.run("kill", "-CONT", fmt.Sprint(squid.Process.Pid))
	o.up("the proxy goes on", hq+" through "+guarded, 60*time.Second)

	// What the environment says holds where the link says nothing, and not where it says none.
	o.environment = []string{"HTTPS_PROXY=http://site:geheim%3A7@10.77.1.1:3128", "NO_PROXY=10.77.2.3"}
	if err := o.network.Stop(o.Context(), "site"); err != nil {
		o.Fatal(err)
	}
	o.restart("site")
	o.set("proxy_user", "", "proxy", "")
	o.up("environment", hq+" through "+guarded, 20*time.Second)
	o.set("proxy", "none")
	o.refused("none outweighs the environment", "dialling "+hq+": connection refused")
	o.set("proxy", "", "addresses", "10.77.2.3:27443")
	o.refused("NO_PROXY", "dialling 10.77.2.3:27443: connection refused")

	// Joining goes through the proxy, too; the password does not stand in the token.
	// The site forgets a link only when the other node was told, or could be; it is behind a proxy that the link must not use.
	if _, err := o.at("site").Tree.Call(o.Context(), &apiv1.CallRequest{Path: "/links/hq", Function: "revoke"}); err != nil {
		o.Fatal(err)
	}
	for node, paths := range map[string][]string{"site": {"/links/hq", "/exports/hq"}, "hq": {"/links/site", "/mounts/site"}} {
		for _, path := range paths {
			if _, err := o.at(node).Tree.Remove(o.Context(), &apiv1.RemoveRequest{Path: path}); err != nil {
				o.Fatal(err)
			}
		}
	}
	o.link(hq, map[string]string{"proxy": guarded, "proxy_user": "site", "proxy_password": proxyWord})
	o.up("joined through squid", hq+" through "+guarded, 10*time.Second)
	log, err := os.ReadFile(filepath.Join(o.network.Dir(), "nodes", "site", "node.log"))
	if err != nil || bytes.Contains(log, []byte("geheim")) {
		o.Errorf("the log of the site: %v, a password stands in it: %v", err, err == nil)
	}
}
