package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/peering/rehearsal"
	"banyan/store"
	"banyan/tree"
)

// Functions and the variable of a link about outages that are rehearsed on it.
const (
	functionRehearse       = "rehearse"
	functionKeepRehearsing = "extend_rehearsal"
	functionEndRehearsal   = "end_rehearsal"
	variableRehearsal      = "rehearsal"
)

// rehearsalLease is how long a rehearsal goes on after who controls it was last heard of. With the time until that is noticed it stays below the 15 s that
// are promised; a controller has a few tries within it.
const rehearsalLease = 8 * time.Second

var rehearsalVariables = []model.Variable{{
	Name: variableRehearsal, Type: model.TypeString, Description: "Which outage is rehearsed on it now, by whom and until when; empty for none.",
}}

// The functions are local: otherwise a request that came over a link could change that link.
var rehearsalFunctions = []model.Function{
	{
		Name: functionRehearse, Right: model.RightAdminister, Local: true,
		Description: "Makes the line of the link worse on purpose, all connections that stand and that come: what is done to it all the time, a schedule, or both. " +
			"It ends after for, with end_rehearsal, and 8 s after extend_rehearsal was last called, whichever comes first; nothing of it outlives the node's program.",
		Parameters: []model.Field{
			{Name: "what", Type: model.TypeString, Optional: true,
				Description: "Words of: delay=300ms jitter=50ms (each way), rate=20k (bytes a second), loss=2%, block=in|out|both (silence), cut (connections break), refuse (no new ones)."},
			{Name: "schedule", Type: model.TypeString, Optional: true,
				Description: "Steps, one a line or apart by semicolons, each over what: after=10s for=5s cut repeat=3."},
			{Name: "for", Type: model.TypeDuration, Description: "How long at most, 1s to 1h."},
		},
		Results: []model.Field{
			{Name: "id", Type: model.TypeString, Description: "Names it for extend_rehearsal."},
			{Name: "plan", Type: model.TypeString, Description: "What is done, as it was understood."},
			{Name: "until", Type: model.TypeTime, Description: "When it ends at the latest."},
		},
	},
	{
		Name: functionKeepRehearsing, Right: model.RightAdminister, Local: true, Idempotent: true,
		Description: "Says that whoever controls a rehearsal is still there.",
		Parameters:  []model.Field{{Name: "id", Type: model.TypeString, Description: "Which."}},
		Results: []model.Field{
			{Name: "now", Type: model.TypeString, Description: "What is done to the line now."},
			{Name: "until", Type: model.TypeTime, Description: "When it ends at the latest."},
		},
	},
	{
		Name: functionEndRehearsal, Right: model.RightAdminister, Local: true, Idempotent: true,
		Description: "Ends the outage that is rehearsed on the link, if there is one.",
	},
}

// rehearsals are the outages that are rehearsed on the links of a node. They live in memory only.
type rehearsals struct {
	links *links
	lines rehearsal.Lines
	lease time.Duration
	work  sync.WaitGroup

	mu      sync.Mutex // guards all below
	running map[string]*rehearsing
	over    bool
}

// rehearsing is one of them. What changes in it is guarded by the mutex of all.
type rehearsing struct {
	id     string
	by     string
	plan   rehearsal.Plan
	until  model.Time
	now    string
	lease  *time.Timer
	cancel context.CancelCauseFunc
	done   chan struct{}
}

// Why a rehearsal ended, in the audit log.
var (
	errAbandoned  = model.Errorf(model.KindTimeout, "who controlled it was not heard of any more")
	errEndedEarly = model.Errorf(model.KindCanceled, "somebody ended it")
	errLinkGone   = model.Errorf(model.KindNotFound, "the link is not in use any more")
	errNodeStops  = model.Errorf(model.KindUnavailable, "the node stops")
)

// start begins one.
func (r *rehearsals) start(at *tree.Context, g given, who access.Principal) ([]model.Argument, error) {
	plan, err := rehearsal.ParsePlan(g.text("what", ""), g.text("schedule", ""), g["for"].Duration())
	if err != nil {
		return nil, err
	}
	link := at.Path.Base()
	status, there := r.links.hub.Status(link)
	if !there || status.State == "disabled" {
		return nil, &model.Error{Kind: model.KindUnsupported, Detail: "link " + link + " is not in use", Remedy: "enable it, or let the other node join first"}
	}
	var random [8]byte
	_, _ = rand.Read(random[:])
	for _, b := range random {
		plan.Seed = plan.Seed<<8 | uint64(b)
	}
	one := &rehearsing{
		id: hex.EncodeToString(random[:]), by: who.Chain.String(), plan: plan, until: model.TimeOf(r.links.node.cfg.Now().Add(plan.For).Truncate(time.Second)), done: make(chan struct{}),
	}
	if err := r.begin(at.Path, one); err != nil {
		return nil, err
	}
	r.publish(at.Path) // whoever is answered finds it there
	return []model.Argument{
		{Name: "id", Value: model.String(one.id)}, {Name: "plan", Value: model.String(plan.String())}, {Name: "until", Value: model.Instant(one.until)},
	}, nil
}

// begin has one run, unless there is another.
func (r *rehearsals) begin(path model.Path, one *rehearsing) error {
	link := path.Base()
	r.mu.Lock()
	defer r.mu.Unlock()
	switch other := r.running[link]; {
	case r.over:
		return errNodeStops
	case other != nil:
		return &model.Error{
			Kind: model.KindExists, Detail: fmt.Sprintf("an outage is rehearsed on link %s already, by %s until %s", link, other.by, other.until), Remedy: "wait for its end, or call " + functionEndRehearsal,
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	one.cancel = cancel
	one.lease = time.AfterFunc(r.lease, func() { cancel(errAbandoned) })
	begins, _ := one.plan.At(0)
	one.now = begins.String()
	r.running[link] = one
	r.work.Go(func() { r.run(ctx, path, one) })
	return nil
}

// run carries one out, and tells of its end.
func (r *rehearsals) run(ctx context.Context, path model.Path, one *rehearsing) {
	defer close(one.done)
	link := path.Base()
	r.links.log.Warn("an outage is rehearsed", "link", link, "by", one.by, "plan", one.plan.String(), "until", one.until)
	err := r.lines.Line(link).Run(ctx, one.plan, func(e rehearsal.Effects) {
		r.mu.Lock()
		one.now = e.String()
		r.mu.Unlock()
		r.publish(path)
	})
	why := "its time was over"
	if err != nil {
		why = context.Cause(ctx).Error()
	}
	one.lease.Stop()
	one.cancel(nil)
	r.mu.Lock()
	delete(r.running, link)
	r.mu.Unlock()
	r.publish(path)
	r.links.log.Warn("the rehearsal of an outage ended", "link", link, "by", one.by, "reason", why)
	row := store.Audit{Who: auditText(one.by), Operation: functionRehearse, Path: path.String(), What: auditText("ended: " + why), Outcome: outcomeDone}
	wait, cancel := context.WithTimeout(context.Background(), recordWait)
	defer cancel()
	if _, err := r.links.commits.Do(wait, store.Commit{Changes: auditChanges(row)}); err != nil {
		r.links.log.Warn("the end of a rehearsal was not recorded", "link", link, "error", err)
	}
}

// extend lets one go on.
func (r *rehearsals) extend(link, id string) ([]model.Argument, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.running[link]
	if one == nil || one.id != id || !one.lease.Reset(r.lease) {
		return nil, &model.Error{Kind: model.KindNotFound, Detail: "this rehearsal is over", Remedy: "start another one"}
	}
	return []model.Argument{{Name: "now", Value: model.String(one.now)}, {Name: "until", Value: model.Instant(one.until)}}, nil
}

// end ends the one of a link and waits until nothing is done to its line any more.
func (r *rehearsals) end(ctx context.Context, link string, why error) {
	r.mu.Lock()
	one := r.running[link]
	r.mu.Unlock()
	if one == nil {
		return
	}
	one.cancel(why)
	select {
	case <-one.done:
	case <-ctx.Done():
	}
}

// settle ends those of links that are not in use any more.
func (r *rehearsals) settle(used func(link string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for link, one := range r.running {
		if !used(link) {
			one.cancel(errLinkGone)
		}
	}
}

// stop ends all, and lets none begin.
func (r *rehearsals) stop() {
	r.mu.Lock()
	r.over = true
	for _, one := range r.running {
		one.cancel(errNodeStops)
	}
	r.mu.Unlock()
	r.work.Wait()
}

// text is what the link shows.
func (r *rehearsals) text(link string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.running[link]
	if one == nil {
		return ""
	}
	text := fmt.Sprintf("%s, by %s until %s", one.plan.String(), one.by, one.until)
	if len(one.plan.Steps) > 0 {
		text += ", now " + one.now
	}
	return text
}

// names are the links on which an outage is rehearsed now.
func (r *rehearsals) names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for name := range r.running {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (r *rehearsals) publish(path model.Path) {
	r.links.hub.Tell(path.Base())
	if c, there := r.links.tree.Lookup(path); there && c.Schema.Kind == KindLink {
		r.links.publishValues(&c, map[string]model.Value{variableRehearsal: model.String(r.text(path.Base()))})
	}
}

// Rehearsals counts the outages that are rehearsed now.
func (l *links) Rehearsals() int { return len(l.rehearsals.names()) }
