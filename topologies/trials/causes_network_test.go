package trials

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"

	"google.golang.org/protobuf/encoding/protojson"
)

// caused is a network of three tiers whose link between berlin and north is made to go down. The two find each other by a name, and have addresses of their
// own for it; all other links, and this program, use others.
//
//	hq --- north --- berlin, hamburg        gate: a name server and a proxy
type caused struct {
	*trial
	lab   *lab
	index int
	inner bool // north dials

	program     string
	environment map[string][]string // of nodes that are started
	clock       string              // file with how far berlin's clock is off
	names       *exec.Cmd
	hosts       string // the name server's file
	proxy       *exec.Cmd
	proxyFile   string
	moved       int // how often berlin has got another address
	listing     int // bytes of a whole listing
	seed        int64
	sound       bool // everything was good after the last try
}

var causedNodes = []string{"hq", "north", "berlin", "hamburg", "gate"}

func startCaused(t *testing.T, index int, program string) *caused {
	t.Helper()
	n := &caused{lab: newLab(t, causedNodes...), index: index, inner: index%2 == 1, program: program, environment: map[string][]string{}}
	dir := t.TempDir()
	n.clock = filepath.Join(dir, "clock")
	text := "network: causes\nnodes:\n"
	for _, node := range causedNodes[:4] {
		links := n.address(node)
		if node == n.answers() {
			links = "0.0.0.0" // it has two addresses
		}
		text += fmt.Sprintf("  %s:\n    listeners: {links: \"%s:7443\", api: \"%s:8443\"}\n", node, links, n.address(node))
		if node == "berlin" || node == "hamburg" {
			text += "    devices:\n      /devices/moves: {kind: simulator, points: 2, poll_interval: 500ms}\n"
			for i := range 4 {
				text += fmt.Sprintf("      /devices/c%d: {kind: simulator, poll_interval: 24h}\n", i)
			}
		}
		if node == "berlin" {
			text += "      /devices/big: {kind: simulator, points: 3000, group_size: 1, poll_interval: 24h}\n"
		}
	}
	n.trial = &trial{T: t}
	n.wire(dir) // before any node runs, since a program keeps the name server that it was started with
	n.trial = startIn(t, dir, text, n.command)
	n.join("hq", "north", "/regions/north", n.address("hq")+":7443", false)
	n.join("north", "hamburg", "/sites/hamburg", n.address("north")+":7443", false)
	n.until("berlin has all that it is to have", 30*time.Second, func() bool { own, err := n.export("berlin", "/devices"); return err == nil && len(own) > 3000 })
	before := n.counted()
	n.join("north", "berlin", "/sites/berlin", "peer.test:7443", n.inner)
	n.until("everything is listed at HQ", 60*time.Second, func() bool { return n.allGood() && n.same() == nil })
	n.listing, n.sound = n.counted()-before, true
	return n
}

// command runs a node's program in its namespace, with the seams that are wanted.
func (n *caused) command(config string) []string {
	node := filepath.Base(filepath.Dir(config))
	command := []string{"ip", "netns", "exec", n.lab.space(node), "env", "TRIAL_RECONNECT=2s"}
	if node == "berlin" {
		command = append(command, "BANYAN_FAULT_CLOCK="+n.clock)
	}
	return append(append(command, n.environment[node]...), n.program, "serve", config)
}

// address is a node's, for its API and for the links that nothing happens to.
func (n *caused) address(node string) string {
	for i, name := range causedNodes {
		if name == node {
			return fmt.Sprintf("%s.%d", n.lab.subnet, 10+i)
		}
	}
	return ""
}

// berlinAddress is where berlin speaks to north, and northAddress where north does to berlin.
func (n *caused) berlinAddress() string { return fmt.Sprintf("%s.%d", n.lab.subnet, 64+n.moved%60) }
func (n *caused) northAddress() string  { return n.lab.subnet + ".50" }

// dials and answers are the ends by who opens connections.
func (n *caused) dials() string {
	if n.inner {
		return "north"
	}
	return "berlin"
}

func (n *caused) answers() string {
	if n.inner {
		return "berlin"
	}
	return "north"
}

// linkAddress is the address by which the end that answers is known.
func (n *caused) linkAddress() string {
	if n.inner {
		return n.berlinAddress()
	}
	return n.northAddress()
}

func (n *caused) device(node string) string {
	for i, name := range causedNodes {
		if name == node {
			return fmt.Sprintf("%si%d", n.lab.prefix, i)
		}
	}
	return ""
}

// wire gives the two ends their addresses, and starts what serves names.
func (n *caused) wire(dir string) {
	n.lab.in("north", "ip", "addr", "add", n.northAddress()+"/24", "dev", n.device("north"))
	n.lab.in("north", "ip", "route", "add", n.lab.subnet+".64/26", "dev", n.device("north"), "src", n.northAddress())
	n.moveIn()
	n.lab.rules("berlin", fmt.Sprintf(`table inet count {
		counter up {}
		counter down {}
		chain out { type filter hook output priority 0; ip daddr %[1]s counter name up; }
		chain in { type filter hook input priority 0; ip saddr %[1]s counter name down; }
	}`, n.northAddress()))
	for _, asks := range []string{"north", "berlin", "gate"} {
		resolver := filepath.Join("/etc/netns", n.lab.space(asks))
		if err := os.MkdirAll(resolver, 0o755); err != nil {
			n.Fatal(err)
		}
		n.Cleanup(func() { _ = os.RemoveAll(resolver) })
		if err := os.WriteFile(filepath.Join(resolver, "resolv.conf"), []byte("nameserver "+n.address("gate")+"\n"), 0o644); err != nil {
			n.Fatal(err)
		}
	}
	n.hosts, n.proxyFile = filepath.Join(dir, "hosts"), filepath.Join(dir, "tinyproxy.conf")
	for file, text := range map[string]string{
		n.hosts:     n.linkAddress() + " peer.test\n",
		n.proxyFile: "Port 3127\nListen " + n.address("gate") + "\nTimeout 600\nMaxClients 20\nConnectPort 7443\nLogLevel Warning\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			n.Fatal(err)
		}
	}
	n.names = n.lab.start("gate", "dnsmasq", "--keep-in-foreground", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces",
		"--listen-address="+n.address("gate"), "--addn-hosts="+n.hosts, "--local=/test/", "--user=root", "--pid-file=")
	n.lab.start(n.answers(), n.program, "hang", "0.0.0.0:7999")
}

// moveIn gives berlin its address of the moment.
func (n *caused) moveIn() {
	n.lab.in("berlin", "ip", "addr", "add", n.berlinAddress()+"/24", "dev", n.device("berlin"))
	n.lab.in("berlin", "ip", "route", "add", n.northAddress()+"/32", "dev", n.device("berlin"), "src", n.berlinAddress())
}

// resolves makes the name server know another address.
func (n *caused) resolves(address string) {
	if err := os.WriteFile(n.hosts, []byte(address+" peer.test\n"), 0o644); err != nil {
		n.Fatal(err)
	}
	n.lab.run("kill", "-HUP", fmt.Sprint(n.names.Process.Pid))
	asks := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, n.address("gate")+":53")
	}}
	n.until("the name server knows the address", 5*time.Second, func() bool {
		found, err := asks.LookupHost(context.Background(), "peer.test")
		return err == nil && slices.Equal(found, []string{address})
	})
}

// join links two nodes as links are made by hand.
func (n *caused) join(consumer, provider, mount, addresses string, consumerDials bool) {
	n.Helper()
	inviter, joiner := consumer, provider
	invite := map[string]string{"name": provider, "role": "consumer", "mount": mount, "addresses": addresses}
	redeem := map[string]string{"name": consumer, "right": "configure"}
	if consumerDials {
		inviter, joiner = provider, consumer
		invite = map[string]string{"name": consumer, "role": "provider", "right": "configure", "addresses": addresses}
		redeem = map[string]string{"name": provider, "mount": mount}
	}
	redeem["token"] = n.call(inviter, "/links", "invite", invite)["token"]
	n.call(joiner, "/links", "join", redeem)
}

func (n *caused) call(node, path, function string, texts map[string]string) map[string]string {
	n.Helper()
	answer, err := n.at(node).Tree.Call(n.Context(), &apiv1.CallRequest{Path: path, Function: function, Texts: texts})
	if err != nil {
		n.Fatalf("%s: %s:%s: %v", node, path, function, err)
	}
	results := map[string]string{}
	for _, r := range answer.GetResults() {
		results[r.GetName()] = r.GetValue().GetStringValue()
	}
	return results
}

// linkOf is the path of the link between berlin and north at one of them.
func linkOf(node string) string {
	if node == "berlin" {
		return "/links/north"
	}
	return "/links/berlin"
}

func (n *caused) says(node, name string) string {
	return n.get(node, linkOf(node)+":"+name).GetValue().GetStringValue()
}

// setLink sets a setting of the link at the end that dials.
func (n *caused) setLink(name, text string) {
	n.Helper()
	q := &apiv1.SetRequest{Address: linkOf(n.dials()) + ":" + name, Text: text}
	if _, err := n.at(n.dials()).Tree.Set(n.Context(), q); err != nil {
		n.Fatalf("set %s: %v", q.GetAddress(), err)
	}
}

// linkedBy waits until the link is up by a route.
func (n *caused) linkedBy(what, route string) {
	n.Helper()
	n.until(what, 30*time.Second, func() bool { return n.allGood() && strings.Contains(n.says(n.dials(), "route"), route) })
}

func (n *caused) allGood() bool {
	return n.says("north", "state") == "up" && n.says("berlin", "state") == "up" && quality(n.get("hq", at("berlin", "/devices/c0:seed"))) == "good" &&
		quality(n.get("hq", at("berlin", "/devices/moves:updates"))) == "good"
}

// same compares what HQ has of berlin's devices with what berlin has: every context, with label, kind, revision and settings.
func (n *caused) same() error {
	own, err := n.export("berlin", "/devices")
	if err != nil {
		return err
	}
	mirrored, err := n.export("hq", at("berlin", "/devices"))
	if err != nil {
		return err
	}
	for path, context := range own {
		if mirrored[path] != context {
			return model.Errorf(model.KindConflict, "HQ has %q of %s, berlin has %q", mirrored[path], path, context)
		}
	}
	if len(own) != len(mirrored) {
		return model.Errorf(model.KindConflict, "HQ has %d contexts of berlin, which has %d", len(mirrored), len(own))
	}
	return nil
}

// export is everything below a path as texts, by the paths below it.
func (n *caused) export(node, path string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	stream, err := n.at(node).Tree.Export(ctx, &apiv1.ExportRequest{Path: path})
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }()
	found, kinds := map[string]string{}, map[uint32]string{}
	for stream.Receive() {
		for _, k := range stream.Msg().GetKinds() {
			kinds[k.GetKey()] = k.GetName()
		}
		for _, c := range stream.Msg().GetContexts() {
			settings := ""
			for _, name := range slices.Sorted(maps.Keys(c.GetSettings())) {
				text, err := protojson.Marshal(c.GetSettings()[name])
				if err != nil {
					return nil, err
				}
				settings += " " + name + "=" + string(text)
			}
			found[strings.TrimPrefix(c.GetPath(), path)] = c.GetLabel() + " " + kinds[c.GetKind()] + " " + c.GetRevision() + settings
		}
	}
	return found, stream.Err()
}

// cut loads rules at berlin.
func (n *caused) cut(rules string) {
	out, in := "dport", "sport"
	if n.inner {
		out, in = in, out
	}
	n.cutAt("berlin", fmt.Sprintf(rules, n.northAddress(), out, in))
}

func (n *caused) cutAt(node, rules string) { n.lab.rules(node, "table inet cut {\n"+rules+"\n}") }

// heal takes all rules away.
func (n *caused) heal() {
	for _, node := range []string{"north", "berlin"} {
		_ = exec.Command("ip", "netns", "exec", n.lab.space(node), "nft", "delete", "table", "inet", "cut").Run()
	}
}

// drop ends the connections that stand, and lets new ones through.
func (n *caused) drop() {
	n.cut(resetAll)
	n.until("the connections are gone", 5*time.Second, func() bool { return n.says("north", "state") != "up" && n.says("berlin", "state") != "up" })
	n.heal()
}

func (n *caused) stop(node string) {
	n.Helper()
	if err := n.network.Stop(context.Background(), node); err != nil {
		n.Fatal(err)
	}
}

func (n *caused) counted() int { return n.lab.counted() }
