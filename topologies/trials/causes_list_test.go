package trials

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// cause is one reason for which a link goes down.
type cause struct {
	name string
	// reasons are words of which one stands in what the dialling end says of its link while the cause lasts.
	reasons []string
	begin   func(n *caused)
	end     func(n *caused)
	prepare func(n *caused) // before it begins, while everything is good; nil for nothing
	restore func(n *caused) // after everything is good again; nil for nothing
	steady  bool            // the link stays up all through
	process bool            // the provider's process ends: its counters begin anew
	takes   time.Duration   // about, beyond the others
}

// The rules are for packets of the link between the two ends, seen at berlin.
const (
	dropOut  = `chain out { type filter hook output priority 1; ip daddr %[1]s tcp %[2]s 7443 drop; }`
	dropIn   = `chain in { type filter hook input priority 1; ip saddr %[1]s tcp %[3]s 7443 drop; }`
	resetAll = `chain out { type filter hook output priority 1; ip daddr %[1]s tcp %[2]s 7443 tcp flags ! rst reject with tcp reset; }
		chain in { type filter hook input priority 1; ip saddr %[1]s tcp %[3]s 7443 tcp flags ! rst reject with tcp reset; }`
	// hungConnect ends what stands, and lets nothing through that begins.
	hungConnect = `chain out { type filter hook output priority 1; ip daddr %[1]s tcp %[2]s 7443 tcp flags & (syn | rst) == syn drop; ip daddr %[1]s tcp %[2]s 7443 tcp flags ! rst reject with tcp reset; }
		chain in { type filter hook input priority 1; ip saddr %[1]s tcp %[3]s 7443 tcp flags & (syn | rst) == syn drop; ip saddr %[1]s tcp %[3]s 7443 tcp flags ! rst reject with tcp reset; }`
	// hungTLS ends what stands, and leads what begins to a program that accepts and says nothing.
	hungTLS = `chain pre { type nat hook prerouting priority -100; ip daddr %[1]s tcp dport 7443 redirect to :7999; }
		chain in { type filter hook input priority 1; ip daddr %[1]s tcp dport 7443 tcp flags ! rst reject with tcp reset; }`
)

func cut(rules string) func(*caused) { return func(n *caused) { n.cut(rules) } }

var noAnswer = []string{"no heartbeat passes both ways", "nobody answers"}

// causes are the twelve, in the order in which they are shown.
var causes = []cause{
	{name: "silent, out", reasons: noAnswer, begin: cut(dropOut), end: (*caused).heal},
	{name: "silent, in", reasons: noAnswer, begin: cut(dropIn), end: (*caused).heal},
	{name: "silent, both", reasons: noAnswer, begin: cut(dropOut + "\n" + dropIn), end: (*caused).heal},
	{name: "reset", reasons: []string{"reset", "refused"}, begin: cut(resetAll), end: (*caused).heal},
	{name: "hung connect", reasons: noAnswer, begin: cut(hungConnect), end: (*caused).heal, takes: 5 * time.Second},
	{name: "hung TLS", reasons: []string{"had not proved who it is"}, begin: (*caused).hang, end: (*caused).heal, takes: 10 * time.Second},
	{
		name: "proxy down", reasons: []string{"proxy"}, prepare: (*caused).throughProxy, begin: (*caused).stopProxy, end: (*caused).startProxy,
		restore: (*caused).withoutProxy, takes: 6 * time.Second,
	},
	{
		name: "wrong DNS", reasons: []string{"expected was"}, takes: 2 * time.Second,
		begin: func(n *caused) { n.resolves(n.address("hamburg")); n.drop() },
		end:   func(n *caused) { n.resolves(n.linkAddress()) },
	},
	{
		name: "kill", reasons: []string{"refused", "reset", "the connection has ended"}, process: true, takes: 4 * time.Second,
		begin: func(n *caused) { n.signal(n.pid("berlin"), syscall.SIGKILL) },
		end:   func(n *caused) { n.restart("berlin") },
	},
	{
		name: "restart elsewhere", reasons: []string{"stops", "the connection has ended", "nobody answers"}, process: true, takes: 5 * time.Second,
		begin: (*caused).leave, end: (*caused).arrive,
	},
	{
		name: "expired leaf", reasons: []string{"is valid from"}, process: true, takes: 25 * time.Second,
		prepare: (*caused).shortLeaf, begin: (*caused).drop, end: (*caused).newLeaf,
	},
	{
		name: "clock an hour off", steady: true, takes: 2 * time.Second,
		begin: func(n *caused) { n.clockOff(n.hourOff()) }, end: func(n *caused) { n.clockOff(0) },
	},
}

// hang makes what is dialled accept and say nothing.
func (n *caused) hang() {
	n.Helper()
	n.cutAt(n.answers(), fmt.Sprintf(hungTLS, n.linkAddress()))
}

// throughProxy makes the end that dials use a proxy.
func (n *caused) throughProxy() {
	n.startProxy()
	n.setLink("proxy", "http://"+n.address("gate")+":3127")
	n.linkedBy("the link goes through the proxy", "through")
}

func (n *caused) withoutProxy() {
	n.setLink("proxy", "none")
	n.linkedBy("the link goes without the proxy", n.linkAddress()+":7443")
	n.stopProxy()
}

func (n *caused) startProxy() { n.proxy = n.lab.start("gate", "tinyproxy", "-d", "-c", n.proxyFile) }

func (n *caused) stopProxy() {
	_ = n.proxy.Process.Kill()
	_ = n.proxy.Wait()
}

// leave ends berlin, which loses its address too.
func (n *caused) leave() {
	n.stop("berlin")
	n.lab.in("berlin", "ip", "addr", "del", n.berlinAddress()+"/24", "dev", n.device("berlin"))
}

// arrive starts it at another one.
func (n *caused) arrive() {
	n.moved++
	n.moveIn()
	n.resolves(n.linkAddress())
	n.restart("berlin")
}

// shortLeaf starts berlin with a certificate that ends soon and is not renewed, and waits until it has.
func (n *caused) shortLeaf() {
	n.stop("berlin")
	n.environment["berlin"] = []string{"TRIAL_LEAF=12s", "BANYAN_FAULT=leaf-not-renewed"}
	n.restart("berlin")
	ends := time.Now().Add(12 * time.Second) // it was made before berlin answered
	n.until("everything is good with the short leaf", 10*time.Second, n.allGood)
	<-time.After(time.Until(ends))
}

func (n *caused) newLeaf() {
	n.stop("berlin")
	n.environment["berlin"] = nil
	n.restart("berlin")
}

// hourOff is an hour, ahead in one network and behind in the next.
func (n *caused) hourOff() time.Duration {
	if n.index/2%2 == 0 {
		return time.Hour
	}
	return -time.Hour
}

func (n *caused) clockOff(by time.Duration) {
	if err := os.WriteFile(n.clock, []byte(by.String()), 0o600); err != nil {
		n.Fatal(err)
	}
}
