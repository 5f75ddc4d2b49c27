package server

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/store"
)

// Times of sending again: after the first try at growing distances, each by chance between half and all of it, and at once when what is at the path
// is no longer stale.
const (
	firstTend   = 500 * time.Millisecond
	mostTend    = 30 * time.Second
	attemptTime = 30 * time.Second
	mostTending = 16 // requests under way at once
)

// Run sends what was made here, ends what is over, and forgets what is old, until ctx ends.
func (l *ledger) Run(ctx context.Context) error {
	if err := l.restarted(ctx); err != nil {
		return err
	}
	var work sync.WaitGroup
	slots := make(chan struct{}, mostTending)
	l.mu.Lock()
	l.tend = func(id store.RequestID) { work.Go(func() { l.follow(ctx, id, slots) }) }
	var open []store.RequestID
	for id, k := range l.rows {
		if k.Role == store.RoleMade && !k.Fate.Ended() {
			open = append(open, id)
		}
	}
	l.mu.Unlock()
	for _, id := range open {
		l.tend(id)
	}
	ticker := time.NewTicker(ledgerSweep)
	defer ticker.Stop()
	for {
		l.sweep(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			l.mu.Lock()
			l.tend = nil
			l.mu.Unlock()
			work.Wait()
			return nil
		}
	}
}

// follow sends a request until it has ended.
func (l *ledger) follow(ctx context.Context, id store.RequestID, slots chan struct{}) {
	for pause := firstTend; ; pause = min(2*pause, mostTend) {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		l.try(ctx, id)
		<-slots
		k, there := l.row(id)
		if !there || k.Fate.Ended() || ctx.Err() != nil {
			return
		}
		path, _ := model.ParsePath(k.Path)
		wait := min(pause/2+rand.N(pause/2), time.Duration(k.Until-model.TimeOf(l.now()))+time.Millisecond)
		l.rest(ctx, &k, path, wait)
	}
}

// rest waits until it is time, the request has ended, or its path is no longer stale.
func (l *ledger) rest(ctx context.Context, k *kept, path model.Path, wait time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	go func() { // cancelled meanwhile
		l.await(ctx, k.ID)
		cancel()
	}()
	_, stale := l.tree.Staleness(path)
	l.router.pulse.until(ctx, func() bool {
		before := stale
		_, stale = l.tree.Staleness(path)
		return before && !stale
	})
}

// try looks what became of a request, and sends it where it is not done.
func (l *ledger) try(ctx context.Context, id store.RequestID) {
	k, there := l.row(id)
	if !there || k.Fate.Ended() {
		return
	}
	c := course{fate: k.Fate, doubt: k.Doubt, owner: k.Owner, attempts: k.Attempts}
	if k.Until <= model.TimeOf(l.now()) {
		l.settle(ctx, &k, c.over(), strideEnd, &heard{err: l.endOf(&k)})
		return
	}
	who, q, err := l.again(ctx, &k.Ledger)
	if err != nil {
		c, next := c.looked(&heard{err: err})
		l.settle(ctx, &k, c, next, &heard{err: err})
		return
	}
	look := q
	look.look = true
	h, response := l.carry(ctx, who, &look)
	c, next := c.looked(h)
	if next == strideSend {
		c = c.sending()
		row := k.Ledger
		row.Fate, row.Since, row.Doubt, row.Owner, row.Attempts = c.fate, model.TimeOf(l.now()), true, c.owner, c.attempts
		if !l.advance(ctx, &row) {
			return
		}
		k.Ledger = row
		l.reached("sent")
		q.Owner, q.Attempt = c.owner, c.attempts-1
		h, response = l.carry(ctx, who, &q)
		l.reached("answered")
		c, next = c.sent(h)
	}
	if next == strideEnd && c.fate == model.FateDone { // by a look, too: the answer of who did it may have been lost
		k.Result = l.resultOf(id, &response)
	}
	l.settle(ctx, &k, c, next, h)
}

// endOf is what is said of a request whose time is over: what kept it from being sent.
func (l *ledger) endOf(k *kept) error {
	fate := model.FateExpired
	if k.Doubt {
		fate = model.FateUnknown
	}
	e, _ := endError(fate).(*model.Error) //nolint:errorlint // it makes one
	if k.waits != nil {
		e.Err = k.waits
	}
	return e
}

// open reports whether a request has not ended, as it may have while its fate was looked for.
func (l *ledger) open(id store.RequestID) bool {
	k, there := l.row(id)
	return there && !k.Fate.Ended()
}

// again is who asks for a kept request, as they are now, and what they ask for.
func (l *ledger) again(ctx context.Context, row *store.Ledger) (access.Principal, Request, error) {
	who, err := l.principalOf(ctx, row)
	if err != nil {
		return who, Request{}, err
	}
	q, err := l.request(ctx, row)
	return who, q, err
}

// carry hands a request to the next node, where it may still be asked for, and tells what was heard.
func (l *ledger) carry(ctx context.Context, who access.Principal, q *Request) (*heard, Response) {
	left := min(attemptTime, time.Duration(q.Until-model.TimeOf(l.now()))+time.Second)
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, callerKey{}, Caller{Principal: who, From: "kept request"}), left)
	defer cancel()
	h := &heard{}
	q.heard = h
	response, err := l.router.judged(ctx, who, q)
	if err != nil {
		h.err = l.router.located(l.perhaps(err, h, q), q)
	}
	return h, response
}

// perhaps is an error of a try. That nothing is there says nothing while what is mounted there has not come back after a cut or a restart: the newest
// of it may not have been on the disk.
func (l *ledger) perhaps(err error, h *heard, q *Request) error {
	_, stale := l.tree.Staleness(q.Path)
	if model.KindOf(err) != model.KindNotFound || h.handed || !stale && l.router.forward.Mounted(q.Path) {
		return err
	}
	return model.Errorf(model.KindUnavailable, "what is mounted there has not come back yet")
}

// advance keeps that a request is about to be sent, unless it has ended meanwhile.
func (l *ledger) advance(ctx context.Context, row *store.Ledger) bool {
	l.turn.Lock()
	defer l.turn.Unlock()
	return l.open(row.ID) && l.put(ctx, *row) == nil
}

// settle keeps what a try came to. That a request waits, and for what, is only remembered, unless the disk says something else.
func (l *ledger) settle(ctx context.Context, k *kept, c course, next stride, h *heard) {
	l.turn.Lock()
	defer l.turn.Unlock()
	if !l.open(k.ID) {
		return
	}
	row := k.Ledger
	if c.fate != row.Fate {
		row.Fate, row.Since = c.fate, model.TimeOf(l.now())
	}
	row.Doubt, row.Owner = c.doubt, c.owner
	if len(h.via) > 0 {
		row.Via = h.via
	}
	var waits *model.Error
	if h.err != nil {
		waits = asError(h.err)
	}
	if next != strideEnd {
		if row.Fate == k.Fate && row.Doubt == k.Doubt {
			l.show(&row, waits)
			return
		}
		if err := l.put(ctx, row); err == nil {
			l.show(&row, waits)
		}
		return
	}
	row.Doubt, row.Result = false, k.Result
	if row.Fate != model.FateDone {
		row.Problem = problemBytes(h.err)
	}
	if err := l.put(ctx, row, l.endRows(&row)...); err != nil {
		l.log.Warn("how a request ended could not be kept; it is looked for again", "request", idText(row.ID), "fate", row.Fate, "error", err)
	}
}

// endRows tell in the audit log how a request ended that was made here.
func (l *ledger) endRows(row *store.Ledger) []store.Change {
	outcome := row.Fate.String()
	if problem := problemOfRow(row); problem != nil && row.Fate != model.FateDone {
		outcome += ": " + problem.Kind.String() + ": " + problem.Error()
	}
	return auditChanges(store.Audit{
		Who: row.Who, From: "kept request", Operation: row.Operation, Path: row.Path, Name: row.Name, Outcome: auditText(outcome), Request: row.ID,
	})
}

// sweep ends what passed here, or is done here, and whose time is over, and forgets what ended long ago.
func (l *ledger) sweep(ctx context.Context) {
	now := model.TimeOf(l.now())
	var over []store.Ledger
	var ended []*kept
	l.mu.Lock()
	for id, k := range l.rows {
		switch {
		case k.Fate.Ended():
			ended = append(ended, k)
		case k.Role != store.RoleMade && k.Until+model.Time(attemptTime) < now && !l.doing[id]:
			over = append(over, k.Ledger)
		}
	}
	l.mu.Unlock()
	for i := range over {
		row := over[i]
		fate := model.FateUnknown
		if row.Fate == model.FatePending {
			fate = model.FateExpired
		}
		row.Fate, row.Since, row.Problem = fate, now, problemBytes(endError(fate))
		if err := l.put(ctx, row); err != nil && ctx.Err() == nil {
			l.log.Warn("the end of a request could not be kept", "request", idText(row.ID), "error", err)
		}
	}
	l.forget(ctx, now, ended)
}

// forget drops what ended long ago, and the oldest of what is too much: of one link first, so that nobody else's are forgotten for a flood of it.
func (l *ledger) forget(ctx context.Context, now model.Time, ended []*kept) {
	slices.SortFunc(ended, func(a, b *kept) int { return int(max(-1, min(1, a.Since-b.Since))) })
	l.mu.Lock()
	surplus, of := len(l.rows)-mostLedger, make(map[string]int)
	for _, k := range l.rows {
		of[k.Link]++
	}
	l.mu.Unlock()
	var gone []store.RequestID
	drop := func(which func(k *kept) bool) {
		ended = slices.DeleteFunc(ended, func(k *kept) bool {
			if !which(k) {
				return false
			}
			gone, of[k.Link], surplus = append(gone, k.ID), of[k.Link]-1, surplus-1
			return true
		})
	}
	drop(func(k *kept) bool { return max(k.Until, k.Since)+model.Time(ledgerMemory) < now })
	drop(func(k *kept) bool { return k.Link != "" && of[k.Link] > mostLedgerOf })
	drop(func(*kept) bool { return surplus > 0 })
	changes := []store.Change{}
	for ids := range slices.Chunk(gone, store.MaxLedgerForget) {
		changes = append(changes, store.ForgetLedger{IDs: ids})
	}
	if known, err := l.store.ExpiredRequests(ctx, now); err == nil && known >= leastExpired || len(gone) > 0 {
		changes = append(changes, store.Trim{RequestsBefore: now})
	}
	if len(changes) == 0 {
		return
	}
	if _, err := l.router.commits.Do(ctx, store.Commit{Class: store.ClassEvents, Changes: changes}); err != nil {
		if ctx.Err() == nil {
			l.log.Warn("old requests could not be forgotten", "error", err)
		}
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range gone {
		delete(l.rows, id)
	}
}

// leastExpired is how many outcomes that nobody may ask for any more are trimmed at least.
const leastExpired = 100
