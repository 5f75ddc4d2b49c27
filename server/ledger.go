package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/proto"
	"banyan/proto/modelv1"
	"banyan/store"
	"banyan/tree"

	"github.com/hashicorp/go-hclog"
	protobuf "google.golang.org/protobuf/proto"
)

// ledger is what this node knows of requests that are sent until they are answered: those made here, which it sends, those that pass, and those that
// it does itself. What it knows is on disk before anything is done by it.
//
// Only the node where a request was made sends it again. Its fate is done or failed when its owner said so, expired when it certainly was
// not done in its time, and unknown when nobody can say. It is not done twice, unless its owner declares it idempotent or was put back to before it
// without saying so.
type ledger struct {
	router  *Router
	store   *store.Store
	tree    *tree.Tree
	tokens  *tokens
	now     func() time.Time
	log     hclog.Logger
	reached func(point string) // a test stops a node here

	turn sync.Mutex // held while a request that was made here is looked at and taken further

	mu      sync.Mutex // guards the rest
	rows    map[store.RequestID]*kept
	changed chan struct{} // closed when a row changes
	doing   map[store.RequestID]bool
	tend    func(store.RequestID) // sends a request until it has ended; nil while the node does not run
}

// kept is a row, without its body and result.
type kept struct {
	store.Ledger
	waits *model.Error // what kept it from getting on the last time
}

// Limits of the ledger.
const (
	mostUntil     = 7 * 24 * time.Hour
	ledgerMemory  = 24 * time.Hour // that a request is remembered after its end, and after its time
	mostLedger    = 20_000         // rows
	mostLedgerOf  = 5_000          // that came over one link
	mostOpen      = 1_000          // that have not ended, made here
	mostOpenOfOne = 100            // of one user
	mostOpenLink  = 1_000          // that came over one link
	ledgerSweep   = 10 * time.Second
	answerWait    = 2 * time.Second // that whoever makes a request waits for its fate
)

var errHeld = errors.New("judged, and not done")

// load reads what is kept.
func (l *ledger) load(ctx context.Context) error {
	rows, err := l.store.Ledger(ctx)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range rows {
		l.rows[rows[i].ID] = &kept{Ledger: rows[i]}
	}
	return nil
}

// execute carries out a request with a time until which it is sent: makes it, passes it on, or does it.
func (l *ledger) execute(ctx context.Context, who access.Principal, q *Request) (Response, error) {
	away, err := l.away(q)
	if err != nil {
		return Response{}, err
	}
	switch {
	case q.DryRun:
		return Response{}, model.Errorf(model.KindInvalid, "a trial is not kept: leave out until")
	case away && who.Link == "":
		return l.make(ctx, who, q)
	case away:
		return l.pass(ctx, who, q)
	}
	return l.own(ctx, who, q)
}

// away reports whether a request goes to another node.
func (l *ledger) away(q *Request) (bool, error) {
	if q.Op == OpApply {
		_, mounted, err := l.router.ownerOf(q.Edits)
		return mounted, err
	}
	return l.router.forward.Mounted(q.Path), nil
}

// rowOf is a new row for a request.
func (l *ledger) rowOf(who access.Principal, q *Request, role store.Role, fate model.Fate) store.Ledger {
	now := model.TimeOf(l.now())
	row := store.Ledger{
		ID: q.ID, Role: role, Fate: fate, Who: auditText(who.Chain.String()), Link: who.Link, Digest: q.digest(who), Operation: q.Op.String(),
		Path: q.Path.String(), Name: auditText(q.Name), Made: now, Until: q.Until, Since: now,
	}
	if who.Link == "" {
		row.Person = who.Chain.Person.Name
	}
	return row
}

// row is what is known of a request.
func (l *ledger) row(id store.RequestID) (kept, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.rows[id]; k != nil {
		return *k, true
	}
	return kept{}, false
}

// put commits a row, and with it what else belongs to it. Whoever gave up meanwhile does not keep it from being known.
func (l *ledger) put(ctx context.Context, row store.Ledger, with ...store.Change) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWait)
	defer cancel()
	if _, err := l.router.commits.Do(ctx, store.Commit{Changes: append(with, row)}); err != nil {
		return err
	}
	l.show(&row, nil)
	return nil
}

// show is after a row was committed.
func (l *ledger) show(row *store.Ledger, waits *model.Error) {
	shown := &kept{Ledger: *row, waits: waits}
	shown.Body, shown.Result = nil, nil
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows[row.ID] = shown
	close(l.changed)
	l.changed = make(chan struct{})
}

// room refuses what would be too many open requests.
func (l *ledger) room(row *store.Ledger) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rows[row.ID] != nil {
		return nil
	}
	ofOne, made, ofLink := 0, 0, 0
	for _, k := range l.rows {
		if k.Fate.Ended() {
			continue
		}
		switch {
		case k.Link != "" && k.Link == row.Link:
			ofLink++
		case k.Link == "" && row.Link == "":
			made++
			if k.Person == row.Person {
				ofOne++
			}
		}
	}
	full := func(most int, whose string) error {
		return &model.Error{
			Kind: model.KindExhausted, Detail: fmt.Sprintf("%d requests %s wait already, and no more may", most, whose), Remedy: "cancel some, or wait until they have ended",
		}
	}
	switch {
	case ofLink >= mostOpenLink:
		return full(mostOpenLink, "over this link")
	case ofOne >= mostOpenOfOne:
		return full(mostOpenOfOne, "of this user")
	case made >= mostOpen:
		return full(mostOpen, "of this node")
	}
	return nil
}

// await waits until a request has ended, and says whether it has.
func (l *ledger) await(ctx context.Context, id store.RequestID) (kept, bool) {
	for {
		l.mu.Lock()
		k, changed := l.rows[id], l.changed
		l.mu.Unlock()
		if k == nil {
			return kept{}, false
		}
		if k.Fate.Ended() {
			return *k, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return *k, false
		}
	}
}

// problemOfRow is what stands in a row, nil for nothing.
func problemOfRow(row *store.Ledger) *model.Error {
	if len(row.Problem) == 0 {
		return nil
	}
	var wire modelv1.Error
	if err := proto.Unmarshal(row.Problem, &wire); err != nil {
		return model.Errorf(model.KindCorrupt, "what was wrong can no longer be read")
	}
	var e *model.Error
	if errors.As(proto.ToError(&wire), &e) {
		return e
	}
	return nil
}

// problemBytes is an error as it stands in a row.
func problemBytes(err error) []byte {
	if err == nil {
		return nil
	}
	wire := proto.FromError(err)
	wire.Also = nil
	encoded, _ := protobuf.Marshal(wire)
	return encoded
}
