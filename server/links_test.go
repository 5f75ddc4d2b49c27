package server

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"banyan/access"
	"banyan/devices"
	"banyan/model"
	"banyan/peering"
	"banyan/pki"
	"banyan/proto/linkv1"
	"banyan/tree"

	"github.com/hashicorp/go-hclog"
)

// linkedNode is a running node of a test.
type linkedNode struct {
	*Node
	t    *testing.T
	dir  string
	stop func()
	log  safeBuffer

	drivers      []devices.Driver // nil for those of the program
	certificates Certificates
}

// safeBuffer is what a node logs.
type safeBuffer struct {
	mu  sync.Mutex
	all strings.Builder
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

var administrator = access.Principal{Chain: access.Chain{Person: access.Person{Name: AdminName}}}

func makeNode(t *testing.T, name string) *linkedNode { return makeNodeWith(t, name, nil) }

func makeNodeWith(t *testing.T, name string, drivers []devices.Driver) *linkedNode {
	t.Helper()
	n := &linkedNode{t: t, dir: t.TempDir(), drivers: drivers}
	if _, err := Init(context.Background(), n.dir, name, nil); err != nil {
		t.Fatal(err)
	}
	n.start(name)
	return n
}

func (n *linkedNode) start(name string) { n.startAt(name, "127.0.0.1:0") }

func (n *linkedNode) startAt(name, address string) {
	n.t.Helper()
	file := File{Name: name, Data: n.dir, Certificates: n.certificates}
	file.Listeners.API, file.Listeners.Links = "127.0.0.1:0", address
	made, err := New(context.Background(), Config{
		Drivers: n.drivers, File: file, Beat: 300 * time.Millisecond, Logger: hclog.New(&hclog.LoggerOptions{Output: &n.log}),
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.Node = made
	n.run(name)
}

// run runs a node that was made.
func (n *linkedNode) run(name string) {
	made := n.Node
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- made.Run(ctx) }()
	stopped := false
	n.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			n.t.Errorf("%s ended with %v", name, err)
		}
	}
	n.t.Cleanup(n.stop)
}

func (n *linkedNode) execute(q Request) (Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return n.Router().Execute(ctx, administrator, q)
}

func (n *linkedNode) call(path, function string, arguments ...model.Argument) map[string]model.Value {
	n.t.Helper()
	response, err := n.execute(Request{Op: OpCall, Path: model.MustPath(path), Name: function, Arguments: arguments})
	if err != nil {
		n.t.Fatal(err)
	}
	results := make(map[string]model.Value)
	for _, r := range response.Results {
		results[r.Name] = r.Value
	}
	return results
}

func textArgument(name, value string) model.Argument {
	return model.Argument{Name: name, Value: model.String(value)}
}

// read is value and quality of a setting or a variable.
func (n *linkedNode) read(address string) string {
	a, err := model.ParseAddress(address)
	if err != nil {
		n.t.Fatal(err)
	}
	r, there := n.Tree().Read(a)
	if !there {
		return "absent"
	}
	return fmt.Sprint(r.Sample.Value, " ", r.Sample.Quality)
}

func (n *linkedNode) waits(address string, holds func(string) bool) {
	n.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds(n.read(address)) {
		if time.Now().After(deadline) {
			n.t.Fatalf("%s stays %q", address, n.read(address))
		}
		<-time.After(10 * time.Millisecond)
	}
}

func is(want string) func(string) bool { return func(got string) bool { return got == want } }

// linkUp lets lower join upper as its provider, lower dialling.
func linkUp(lower, upper *linkedNode, name, mount, right string) {
	lower.t.Helper()
	invitation := upper.call("/links", "invite", textArgument("name", name), textArgument("role", "consumer"), textArgument("mount", mount))
	lower.call("/links", "join", textArgument("token", invitation["token"].Text()), textArgument("right", right))
}

func TestThreeTiers(t *testing.T) {
	hq, north, berlin := makeNode(t, "hq"), makeNode(t, "north"), makeNode(t, "berlin")
	linkUp(north, hq, "north", "/regions/north", "configure")
	linkUp(berlin, north, "berlin", "/sites/berlin", "configure")
	if _, err := berlin.execute(Request{Op: OpCreate, Path: model.MustPath("/devices/sim"), Kind: "simulator", Arguments: []model.Argument{
		{Name: "points", Value: model.Int64(10)}, {Name: "poll_interval", Value: model.Duration(time.Hour)},
	}}); err != nil {
		t.Fatal(err)
	}
	const device = "/regions/north/sites/berlin/devices/sim"
	hq.waits(device+":all_bool", is("true good"))
	hq.waits("/links/north:state", is("up good"))
	hq.waits(device+":poll_interval", is("1h0m0s good"))

	response, err := hq.execute(Request{Op: OpSet, Path: model.MustPath(device), Name: "poll_interval", Value: model.Duration(30 * time.Minute)})
	if err != nil || !response.Mirrored || strings.Join(response.Via, " ") != "north berlin" {
		t.Fatalf("set: %+v, %v", response, err)
	}
	for _, at := range []struct {
		node    *linkedNode
		address string
	}{{berlin, "/devices/sim:poll_interval"}, {hq, device + ":poll_interval"}} {
		if got := at.node.read(at.address); got != "30m0s good" {
			t.Errorf("after set %s is %s", at.address, got)
		}
	}
	results := hq.call(device, "echo", model.Argument{Name: "int64", Value: model.Int64(1<<62 + 1)},
		model.Argument{Name: "ref", Value: model.Ref(model.Address{Path: model.MustPath(device), Name: "setpoint"})})
	if results["int64"].Int64() != 1<<62+1 || results["ref"].String() != device+":setpoint" {
		t.Errorf("echo answered %v", results)
	}
	if _, err := hq.execute(Request{Op: OpSet, Path: model.MustPath(device), Name: "setpoint", Value: model.Float64(4.5)}); err != nil {
		t.Fatal(err)
	}
	hq.waits(device+":setpoint", is("4.5 good"))

	berlin.stop()
	hq.waits(device+":setpoint", is("4.5 uncertain/stale"))
	if _, err := hq.execute(Request{Op: OpSet, Path: model.MustPath(device), Name: "setpoint", Value: model.Float64(5)}); model.KindOf(err) != model.KindUnavailable {
		t.Errorf("set at an owner that is away: %v", err)
	}
	north.stop()
	north.start("north")
	if got := north.read("/sites/berlin/devices/sim:setpoint"); got != "4.5 uncertain/stale" {
		t.Errorf("after a restart with berlin away: %s", got)
	}
}

func TestInvitationIsUsedOnce(t *testing.T) {
	hq, berlin, thief := makeNode(t, "hq"), makeNode(t, "berlin"), makeNode(t, "thief")
	invitation := hq.call("/links", "invite", textArgument("name", "berlin"), textArgument("role", "consumer"), textArgument("mount", "/sites/berlin"))
	token := textArgument("token", invitation["token"].Text())
	berlin.call("/links", "join", token)
	if again := berlin.call("/links", "join", token); again["link"].Text() != "hq" {
		t.Errorf("pasted twice, the invitation made %v", again)
	}
	_, err := thief.execute(Request{Op: OpCall, Path: model.MustPath("/links"), Name: "join", Arguments: []model.Argument{token}})
	if err == nil || !strings.Contains(err.Error(), "used already") {
		t.Errorf("the second redemption: %v", err)
	}
	hq.waits("/sites/berlin/system:name", is("berlin good"))
	hq.call("/links/berlin", "revoke")
	berlin.waits("/links/hq:state", is("refused good"))
	hq.waits("/links/berlin:state", is("revoked good"))
	hq.waits("/sites/berlin/system:name", is("berlin uncertain/stale"))
}

// An invitation that is redeemed where it was made would make a link of a node with itself, and be used up.
func TestNobodyJoinsItself(t *testing.T) {
	hq := makeNode(t, "hq")
	for _, arguments := range [][]model.Argument{
		{textArgument("name", "berlin"), textArgument("role", "consumer"), textArgument("mount", "/sites/berlin")},
		{textArgument("name", "north"), textArgument("role", "provider")},
	} {
		token := textArgument("token", hq.call("/links", "invite", arguments...)["token"].Text())
		_, err := hq.execute(Request{Op: OpCall, Path: model.MustPath("/links"), Name: "join", Arguments: []model.Argument{token, textArgument("mount", "/me")}})
		if err == nil || !strings.Contains(err.Error(), "made here, for another node") {
			t.Errorf("joining itself: %v", err)
		}
		if _, there := hq.Tree().Lookup(model.MustPath("/links/hq")); there {
			t.Error("hq is linked with itself")
		}
	}
}

func TestRightsEndAtTheOwner(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "berlin", "/sites/berlin", "configure")
	rules := RulesValue([]access.Rule{{Pattern: model.Everything, Right: model.RightOperate}})
	if _, err := berlin.execute(Request{Op: OpCreate, Path: model.MustPath("/users/alice-at-hq"), Kind: KindForeign, Arguments: []model.Argument{
		textArgument("person", "admin@hq"), {Name: "rules", Value: rules},
	}}); err != nil {
		t.Fatal(err)
	}
	if _, err := berlin.execute(Request{Op: OpCreate, Path: model.MustPath("/devices/sim"), Kind: "simulator"}); err != nil {
		t.Fatal(err)
	}
	hq.waits("/sites/berlin/devices/sim:poll_interval", is("10s good"))
	_, err := hq.execute(Request{Op: OpSet, Path: model.MustPath("/sites/berlin/devices/sim"), Name: "poll_interval", Value: model.Duration(time.Second)})
	if err == nil || !strings.Contains(err.Error(), "denied by berlin, rule 1: admin@hq has operate, configure is needed") {
		t.Errorf("refused with %v", err)
	}
	_, err = hq.execute(Request{Op: OpCall, Path: model.MustPath("/sites/berlin/links"), Name: "invite", Arguments: []model.Argument{
		textArgument("name", "x"), textArgument("role", "provider"),
	}})
	if err == nil {
		t.Error("links could be changed over a link")
	}
}

// Of many who redeem one invitation at once, one wins; the winner gets the same answer again, also after a restart of the inviter, and nobody else does.
func TestThousandRedemptionsAtOnce(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	invitation := hq.call("/links", "invite", textArgument("name", "berlin"), textArgument("role", "consumer"), textArgument("mount", "/sites/berlin"))
	token, err := pki.ParseToken(invitation["token"].Text())
	if err != nil {
		t.Fatal(err)
	}
	join := func(attempt int) error {
		id := sha256.Sum256(fmt.Append(nil, attempt))
		_, _, _, err := berlin.peers.(*links).hub.Join(t.Context(), token, peering.Proxy{}, &linkv1.RedeemRequest{
			Secret: token.Secret.Reveal(), Name: "berlin", Attempt: id[:],
		})
		return err
	}
	const tries = 1000
	answers := make([]error, tries)
	var work sync.WaitGroup
	room := make(chan struct{}, 64)
	for i := range tries {
		room <- struct{}{}
		work.Go(func() {
			defer func() { <-room }()
			answers[i] = join(i)
		})
	}
	work.Wait()
	winner := -1
	for i, err := range answers {
		switch {
		case err == nil && winner >= 0:
			t.Fatalf("attempts %d and %d both won", winner, i)
		case err == nil:
			winner = i
		case !strings.Contains(err.Error(), "used already"):
			t.Errorf("attempt %d: %v", i, err)
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	address := hq.LinksAddress()
	hq.stop()
	hq.startAt("hq", address)
	if err := join(winner); err != nil {
		t.Errorf("the winner, whose answer may have been lost, was refused: %v", err)
	}
	if err := join(tries); err == nil {
		t.Error("an invitation that was used before a restart was used again")
	}
}

func TestLoops(t *testing.T) {
	for _, names := range [][]string{{"hq", "north"}, {"hq", "north", "berlin"}} {
		t.Run(strings.Join(names, ">"), func(t *testing.T) {
			var nodes []*linkedNode
			for _, name := range names {
				nodes = append(nodes, makeNode(t, name))
			}
			for i, n := range nodes {
				below := nodes[(i+1)%len(nodes)]
				linkUp(below, n, "ring", "/ring", "view")
			}
			hq := nodes[0]
			route := "loop: " + strings.Join(append(append([]string{}, names...), names[0]), " > ")
			hq.waits("/mounts/ring:state", is("loop good"))
			hq.waits("/mounts/ring:detail", is(route+" good"))
			hq.waits("/ring/system:name", is(names[1]+" good"))
			quiet := hq.Tree().ChangeHead()
			<-time.After(time.Second) // what goes round in a loop would go round thousands of times in it
			if now := hq.Tree().ChangeHead(); now != quiet {
				t.Errorf("%d changes came in a second although nobody changed anything", now-quiet)
			}
			seen := ""
			hq.Tree().Walk(model.Root, nil, func(c *tree.Context) bool {
				for _, hop := range c.Route {
					if hop.Node == hq.ID() {
						seen = c.Path.String()
					}
				}
				return seen == ""
			})
			if seen != "" {
				t.Errorf("%s was mounted although it came from here", seen)
			}
		})
	}
}

func TestDiamondIsOneIdentity(t *testing.T) {
	hq, left, right, berlin := makeNode(t, "hq"), makeNode(t, "left"), makeNode(t, "right"), makeNode(t, "berlin")
	linkUp(left, hq, "left", "/left", "view")
	linkUp(right, hq, "right", "/right", "view")
	linkUp(berlin, left, "berlin", "/berlin", "view")
	linkUp(berlin, right, "berlin", "/berlin", "view")
	hq.waits("/left/berlin/system:name", is("berlin good"))
	hq.waits("/right/berlin/system:name", is("berlin good"))
	a, _ := hq.Tree().Lookup(model.MustPath("/left/berlin/system"))
	if paths := hq.Tree().ByID(a.ID); len(paths) != 2 {
		t.Errorf("one context is at %v", paths)
	}
	contexts, identities := hq.Tree().Count()
	if identities >= contexts {
		t.Errorf("%d contexts count as %d", contexts, identities)
	}
}

// Whoever comes with an invitation that does not hold is told why, and the inviter's log tells it too. pki.TestRefusals does the same for
// everything that is refused before an invitation is looked at.
func TestRefusedInvitations(t *testing.T) {
	hq, berlin, other := makeNode(t, "hq"), makeNode(t, "berlin"), makeNode(t, "other")
	invite := func(n *linkedNode, name string, more ...model.Argument) model.Argument {
		arguments := append([]model.Argument{textArgument("name", name), textArgument("role", "consumer"), textArgument("mount", "/sites/"+name)}, more...)
		return textArgument("token", n.call("/links", "invite", arguments...)["token"].Text())
	}
	used := invite(hq, "used")
	berlin.call("/links", "join", used)
	withdrawn := invite(hq, "withdrawn")
	for _, path := range []string{"/mounts/withdrawn", "/links/withdrawn"} {
		if _, err := hq.execute(Request{Op: OpRemove, Path: model.MustPath(path)}); err != nil {
			t.Fatal(err)
		}
	}
	expired := invite(hq, "expired", model.Argument{Name: "expires", Value: model.Duration(time.Second)})
	<-time.After(1100 * time.Millisecond) // tokens count whole seconds, by the clocks of both nodes
	for _, c := range []struct {
		name  string
		token model.Argument
		told  string
		kept  string // in the inviter's log; empty where the joiner knows by itself
	}{
		{"used", used, "used already", "used already"},
		{"withdrawn", withdrawn, "not made here, or was withdrawn", "not made here, or was withdrawn"},
		{"expired", expired, "expired", ""},
		{"cut", textArgument("token", used.Value.Text()[:40]), "invitation", ""},
		{"empty", textArgument("token", ""), "", ""},
	} {
		_, err := other.execute(Request{Op: OpCall, Path: model.MustPath("/links"), Name: "join", Arguments: []model.Argument{c.token}})
		if err == nil || !strings.Contains(err.Error(), c.told) {
			t.Errorf("%s: the joiner was told %v", c.name, err)
		}
		if !strings.Contains(hq.log.String(), c.kept) {
			t.Errorf("%s: the inviter's log does not say %q", c.name, c.kept)
		}
		if len(c.token.Value.Text()) > 20 && strings.Contains(hq.log.String()+other.log.String(), c.token.Value.Text()[20:]) {
			t.Errorf("%s: the invitation is in a log", c.name)
		}
	}
	if got := len(directlyBelow(other.Tree(), linksPath)); got != 0 {
		t.Errorf("refused invitations made %d links", got)
	}
	fresh := invite(hq, "fresh")
	_, err := other.execute(Request{Op: OpCall, Path: model.MustPath("/links"), Name: "join", Arguments: []model.Argument{fresh, textArgument("mount", "/hq")}})
	if err == nil || !strings.Contains(err.Error(), "mount is not this node's to give: on this link it is the provider") {
		t.Errorf("a provider that wants to mount is told %v", err)
	}
	other.call("/links", "join", fresh) // the mistake did not cost the invitation
}
