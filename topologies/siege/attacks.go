package siege

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Who attacks.
const (
	Stranger = "stranger" // shows nothing
	Person   = "person"   // has a token with few rights
	Peer     = "peer"     // is linked, and an honest node no more
)

// Attack is one way to hurt a node.
type Attack struct {
	Name string
	Who  string
	Door string // api or links
	Run  func(ctx context.Context, t *Target)
}

// String is all of it.
func (a Attack) String() string { return fmt.Sprintf("%s at %s: %s", a.Who, a.Door, a.Name) }

// Attacks are all of them, in order.
func Attacks() []Attack {
	var all []Attack
	add := func(who, door, name string, run func(context.Context, *Target)) {
		all = append(all, Attack{Name: name, Who: who, Door: door, Run: run})
	}
	for door, links := range map[string]bool{"api": false, "links": true} {
		for name, run := range knocks(links) {
			add(Stranger, door, name, run)
		}
	}
	asStranger := func(ctx context.Context, t *Target) (*wire, error) { return t.openAPI(ctx, "") }
	asPerson := func(ctx context.Context, t *Target) (*wire, error) { return t.openAPI(ctx, t.Token) }
	asConsumer := func(ctx context.Context, t *Target) (*wire, error) { return t.openLink(ctx, false) }
	asProvider := func(ctx context.Context, t *Target) (*wire, error) { return t.openLink(ctx, true) }
	for name, send := range frameFloods(true) {
		add(Stranger, "api", name, flood(asStranger, false, send))
		add(Person, "api", name, flood(known(asPerson), false, send))
		add(Peer, "links", name, flood(asConsumer, false, send))
	}
	for name, send := range frameFloods(false) {
		add(Peer, "links", name+" at its client", flood(asProvider, false, send))
	}
	// What is never read: answers to pings and settings stay where they are.
	for _, name := range []string{"ping flood", "settings flood", "rapid reset"} {
		send := frameFloods(true)[name]
		add(Stranger, "api", name+", reading nothing", flood(asStranger, true, send))
		add(Person, "api", name+", reading nothing", flood(known(asPerson), true, send))
		add(Peer, "links", name+", reading nothing", flood(asConsumer, true, send))
	}
	add(Person, "api", "answers held by no window", held(known(asPerson), 0, false))
	add(Person, "api", "answers taken byte by byte", held(known(asPerson), 0, true))
	add(Peer, "links", "streams held by no window", held(asConsumer, 0, false))
	add(Peer, "links", "streams taken byte by byte", held(asConsumer, 0, true))
	add(Person, "api", "requests of HTTP/1.1 in a row", pipelined)
	slices.SortFunc(all, func(a, b Attack) int { return strings.Compare(a.String(), b.String()) })
	return all
}

// known makes the node know who it is, before the attack.
func known(open opener) opener {
	return func(ctx context.Context, t *Target) (*wire, error) {
		w, err := open(ctx, t)
		if err != nil {
			return nil, err
		}
		id, err := w.request(w.headers("POST", "/banyan.api.v1.SessionService/Who", asJSON), false)
		if err == nil {
			err = w.framer.WriteData(id, true, []byte("{}"))
		}
		if err == nil {
			err = w.out.Flush()
		}
		if err == nil { // so that the node has read it, and has answered something
			_ = w.SetReadDeadline(time.Now().Add(2 * time.Second))
			_, _ = io.CopyN(io.Discard, w, 200)
			_ = w.SetReadDeadline(time.Time{})
		}
		return w, err
	}
}

// pipelined sends requests of HTTP/1.1 without waiting for answers.
func pipelined(ctx context.Context, t *Target) {
	many := strings.Repeat("GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+t.Token+"\r\n\r\n", 100)
	t.each(ctx, func(ctx context.Context) error {
		secured, err := t.openHTTP1(ctx)
		if err != nil {
			return err
		}
		defer secured.Close()
		defer context.AfterFunc(ctx, func() { _ = secured.NetConn().Close() })()
		go func() { _, _ = io.Copy(io.Discard, secured) }()
		for ctx.Err() == nil {
			if _, err := io.WriteString(secured, many); err != nil {
				return err
			}
			t.Sent.Add(100)
		}
		return nil
	})
}
