package server

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"banyan/doctor"
	"banyan/model"
	"banyan/peering"
	"banyan/pki"
)

// reached tells what became of each step towards each address. Where one leads to the peer, what is wrong with the others is a warning.
func (e *linkExplainer) reached() {
	broken := doctor.Failed
	for i := range e.d.Reach {
		if r := &e.d.Reach[i]; r.Looked && r.Wrong == nil {
			broken = doctor.Warning
		}
	}
	for i := range e.d.Reach {
		r := &e.d.Reach[i]
		if e.stepsTo(r, broken) && r.Looked {
			e.whoAnswers(r, broken)
		}
	}
}

// stepsTo tells of everything before somebody answered.
func (e *linkExplainer) stepsTo(r *peering.Reach, broken doctor.State) bool {
	path := e.c.Path.String()
	if r.Unresolved != nil {
		remedy := "correct the name, with `banyan set " + path + ":addresses`, or have the name server of this machine know it"
		if r.Proxy != "" {
			remedy = "correct the name, with `banyan set " + path + ":proxy`"
		}
		if strings.Contains(r.Unresolved.Error(), "does not answer") {
			remedy = "look whether the name server of this machine works and is reached (/etc/resolv.conf), or set an address without a name"
		}
		e.say("name "+r.Name, broken, remedy, "%v", r.Unresolved)
		return false
	}
	if r.Name != "" {
		e.say("name "+r.Name, doctor.OK, "", "it is %s", strings.Join(r.Answers, ", "))
	}
	connected := len(r.Tries) == 0
	for _, t := range r.Tries {
		connected = connected || t.Err == nil
	}
	for _, t := range r.Tries {
		state := broken
		if connected {
			state = doctor.Warning
		}
		switch {
		case t.Err == nil:
			e.say("TCP "+t.To, doctor.OK, "", "it is reached")
		case r.Proxy != "":
			e.say("proxy "+r.Proxy, state, "look whether the proxy runs, and whether that is its address: `banyan set "+path+":proxy`", "it cannot be reached at %s: %v", t.To, t.Err)
		case t.Silent:
			e.say("TCP "+t.To, state, "a firewall on the way drops what goes there, or no machine has that address: have TCP port "+portOf(t.To)+" let through to "+e.peer, "nobody answers")
		case strings.Contains(t.Err.Error(), "refused"):
			e.say("TCP "+t.To, state, "look whether "+e.peer+" runs, and whether its listeners.links is this port", "the machine is there, and nothing listens at the port: %v", t.Err)
		default:
			e.say("TCP "+t.To, state, "look at the network of this machine, and at the address", "%v", t.Err)
		}
	}
	if r.Err != nil {
		what, remedy := unfold(r.Err)
		check := "address " + r.Address
		if r.Proxy != "" {
			check = "proxy " + r.Proxy
		}
		e.say(check, broken, remedy, "%s", what)
		return false
	}
	if connected && r.Proxy != "" {
		e.say("proxy "+r.Proxy, doctor.OK, "", "it leads to %s", r.Address)
	}
	return connected
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// unfold takes the remedy out of an error.
func unfold(err error) (what, remedy string) {
	var known *model.Error
	if errors.As(err, &known) {
		bare := *known
		bare.Remedy, bare.Op = "", ""
		return strings.TrimPrefix(bare.Error(), ": "), known.Remedy
	}
	return err.Error(), ""
}

// whoAnswers tells who is at an address.
func (e *linkExplainer) whoAnswers(r *peering.Reach, broken doctor.State) {
	check := "TLS " + r.Address
	if r.Wrong == nil {
		e.say(check, doctor.OK, "", "%s answers, and proves to be node %s until %s", e.peer, r.Seen.Peer.Node.Short(), instant(r.Seen.Peer.NotAfter))
		return
	}
	what, remedy := unfold(r.Wrong)
	reason, refused := pki.RefusalOf(r.Wrong)
	switch {
	case !refused && model.KindOf(r.Wrong) == model.KindTimeout:
		e.say(check, broken, "look what listens there; a firewall that inspects TLS does this as well", "somebody takes the connection and says nothing")
	case !refused:
		e.say(check, broken, remedy, "%s", what)
	case reason == pki.Plaintext:
		e.say(check, broken, "set the address of the listener for links of "+e.peer+" (port 7443 unless set otherwise)", "%s", what)
	case reason == pki.WrongProtocol || reason == pki.WrongClass || reason == pki.NoCertificate:
		e.say(check, broken, "set the address of the listener for links of "+e.peer+" (port 7443 unless set otherwise; 8443 is for people); a firewall that inspects TLS must let this connection be",
			"what listens there is no node's listener for links: %s%s", what, shownBy(r.Seen))
	case reason == pki.WrongFingerprint || reason == pki.UnknownNode:
		e.say(check, broken, "look whether the address is "+e.peer+"'s; if that node was set up anew or its root is another, renew the trust with `banyan invite --again`", "another node than %s answers: %s%s", e.peer, what, shownBy(r.Seen))
	case reason == pki.ExpiredLeaf || reason == pki.NotYetValid:
		e.dates(check, r, broken)
	default:
		e.say(check, broken, remedy, "%s", what)
	}
}

// shownBy names whose certificate was seen.
func shownBy(seen pki.Seen) string {
	if len(seen.Certificates) == 0 {
		return ""
	}
	c := seen.Certificates[0]
	return fmt.Sprintf(" (its certificate is of %s, signed by %s)", clip(pki.Printable(c.Subject.String(), 100), 100), clip(pki.Printable(c.Issuer.String(), 100), 100))
}

// dates tells why a certificate of the peer does not hold now. A node that runs renews its own in time by its own clock: where it is not valid here, its root
// has ended, or one of the two clocks is wrong.
func (e *linkExplainer) dates(check string, r *peering.Reach, broken doctor.State) {
	leaf := r.Seen.Certificates[0]
	if root := r.Seen.Peer.Root; root != nil && e.now.After(root.NotAfter) {
		e.say(check, broken, "set the clock of this machine if it is wrong; else run `banyan identity rotate` at "+e.peer+" and, as its old root vouches for nothing any more, renew the trust with `banyan invite --again`",
			"the root of %s ended at %s, and the clock of this node says %s", e.peer, instant(root.NotAfter), instant(e.now))
		return
	}
	apart := e.now.Sub(leaf.NotAfter)
	if e.now.Before(leaf.NotBefore) {
		apart = leaf.NotBefore.Sub(e.now)
	}
	e.say(check, broken, "set the clock that is wrong, and have chrony, systemd-timesyncd or another NTP client keep it right",
		"the clocks of this node and %s are apart by more than %s: its certificate holds from %s to %s, and the clock of this node says %s",
		e.peer, apart.Round(time.Second), instant(leaf.NotBefore), instant(leaf.NotAfter), instant(e.now))
}

// answered tells what the peer says to a connection that reaches it, or what this node said to the peer.
func (e *linkExplainer) answered() {
	reason, refused := pki.RefusalOf(e.d.Failed)
	if e.d.Peer != nil || !refused || e.d.Status.State != peering.StateRefused {
		return
	}
	what, remedy := unfold(e.d.Failed)
	switch reason {
	case pki.Plaintext, pki.WrongProtocol, pki.WrongClass, pki.NoCertificate, pki.WrongFingerprint:
		if e.d.Config.Dials {
			return // it is told of the address
		}
	case pki.ExpiredLeaf, pki.NotYetValid:
		remedy = "set the clock that is wrong, at this node or at " + e.peer + ", and have an NTP client keep it right"
	}
	e.say("refusal", doctor.Failed, remedy, "%s", what)
}

// awaited tells what is known here of a peer that dials and is not there.
func (e *linkExplainer) awaited() {
	listens := e.node.LinksAddress()
	host, port, _ := net.SplitHostPort(listens)
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		e.say("listener", doctor.Warning, "if "+e.peer+" is on another machine, set listeners.links in the file of this node to an address that it reaches", "this node listens on %s, which only this machine reaches", listens)
	} else {
		e.say("listener", doctor.OK, "", "this node listens on %s", listens)
	}
	if e.d.Status.State == peering.StateRefused {
		return // it came: what was said stands behind
	}
	since := ""
	if e.d.Status.Heard != 0 {
		since = fmt.Sprintf(" since %s", instant(e.d.Status.Heard.Std()))
	}
	e.say("connection", doctor.Failed, "run `banyan explain link` at "+e.peer+", which tries; have firewalls let it through to TCP port "+port+" of this machine",
		"%s is the one that dials, and nothing has come from it%s", e.peer, since)
}

// lastProblem tells of what is over.
func (e *linkExplainer) lastProblem() {
	if e.d.Status.Failed == 0 {
		return
	}
	e.say("last problem", doctor.OK, "", "%s, at %s", pki.Printable(e.d.Status.Problem, 600), instant(e.d.Status.Failed.Std()))
}
