package peering

import (
	"context"
	"slices"
	"sync"
	"time"

	"banyan/model"
	"banyan/pki"
	"banyan/proto/linkv1"
)

// line is the proven connection that the feeds of a consumer's link share, with the bulk connection beside it. It ends for all of them at once.
type line struct {
	link    *link
	conn    *provenConn
	client  linkv1.LinkServiceClient
	version uint32          // that both ends speak
	ctx     context.Context //nolint:containedctx // the line's own, for the feeds that are added while it stands
	cancel  context.CancelFunc
	work    sync.WaitGroup
	wanted  chan struct{} // capacity 1: some session wants a bulk stream
	proves  model.Time    // when it is proved next that it stands without a session, 0 while there is one; link.mu guards it

	mu  sync.Mutex // guards err
	err error      // why it ends
}

// consume lets the feeds work over conn until it ends.
func (l *link) consume(ctx context.Context, conn *provenConn) error {
	defer conn.abandon()
	version, err := l.meet(ctx, conn, false)
	if err != nil {
		return err
	}
	clientConn, err := conn.grpc()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ln := &line{link: l, conn: conn, version: version, ctx: ctx, cancel: cancel, wanted: make(chan struct{}, 1)}
	ln.client = linkv1.NewLinkServiceClient(judging{clientConn, ln})
	l.mu.Lock()
	l.line, l.status.Version = ln, version
	for _, f := range l.feeds {
		f.start(ln)
	}
	l.mu.Unlock()
	l.report()
	l.stir()
	bulk := &bulkConns{line: ln}
	ln.tend(bulk)
	l.mu.Lock()
	l.line = nil
	l.mu.Unlock()
	cancel()
	_ = conn.Close()
	ln.work.Wait()
	bulk.abandon()
	ln.mu.Lock()
	defer ln.mu.Unlock()
	return ln.err
}

// tend waits until the line ends, and begins meanwhile what is seldom: on most lines nothing but heartbeats passes for days, and so nothing else waits on
// them.
func (ln *line) tend(bulk *bulkConns) {
	introduced, opened := make(chan struct{}, 1), make(chan struct{}, 1)
	news, wanted, extra := ln.link.news, ln.wanted, ln.link.extra
	introduce := func() {
		news = nil
		ln.work.Go(func() {
			ln.introduce()
			introduced <- struct{}{}
		})
	}
	open := func(spare *provenConn) {
		wanted, extra = nil, nil
		ln.work.Go(func() {
			bulk.open(spare)
			opened <- struct{}{}
		})
	}
	introduce()
	for {
		select {
		case <-news:
			introduce()
		case <-introduced:
			news = ln.link.news
		case <-wanted:
			open(nil)
		case spare := <-extra:
			open(spare)
		case <-opened:
			if !bulk.over {
				wanted, extra = ln.wanted, ln.link.extra
			}
		case <-ln.conn.done:
			ln.hearOut()
			ln.lost()
			return
		case <-ln.ctx.Done():
			return
		}
	}
}

// hearOut waits until the feeds have read what had come when the connection ended, which may say why.
func (ln *line) hearOut() {
	ln.link.mu.Lock()
	var ends []chan struct{}
	for _, f := range ln.link.feeds {
		ends = append(ends, f.done)
	}
	ln.link.mu.Unlock()
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	for _, done := range ends {
		select {
		case <-done:
		case <-timer.C:
			return
		case <-ln.ctx.Done():
			return
		}
	}
}

// lost notes that the connection has ended where nobody says why.
func (ln *line) lost() {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if ln.err == nil {
		ln.err = model.Errorf(model.KindUnavailable, "the connection has ended")
	}
}

// fail ends the line, for a reason. The first one counts, unless a later one is the peer's own.
func (ln *line) fail(err error) {
	ln.mu.Lock()
	_, refused := pki.RefusalOf(err)
	if ln.err == nil || refused {
		ln.err = err
	}
	ln.mu.Unlock()
	ln.cancel()
}

// endsWith reports whether what ended a session ends the line: the peer said that it ends the link, or broke the protocol, or the connection has broken. A
// peer of version 1 knows no other end.
func (ln *line) endsWith(err error) bool {
	if ln.version < 2 || closed(ln.conn) {
		return true
	}
	switch err.(type) { //nolint:errorlint // they are made in one place and never wrapped
	case linkEnds, offence:
		return true
	}
	return false
}

// linkEnds is why the peer ends the whole link.
type linkEnds struct{ error }

// Unwrap is the reason.
func (e linkEnds) Unwrap() error { return e.error }

// carries says why a feed cannot go over the line, nil where it can.
func (ln *line) carries(f *feed) error {
	if ln.version >= 2 {
		return nil
	}
	ln.link.mu.Lock()
	defer ln.link.mu.Unlock()
	if f.mount.Export == "" && slices.Index(ln.link.feeds, f) == 0 {
		return nil
	}
	return &model.Error{
		Kind: model.KindUnsupported, Detail: "the other node's version shows one thing over a link",
		Remedy: "keep one mount of this link, without the name of an export, until the other node has a newer version",
	}
}

// standbyTime is how often a line without any session is proved to stand.
const standbyTime = 5 * time.Second

// standby proves that a line stands over which no session passes heartbeats, and says when that is to be done next. link.mu is held.
func (ln *line) standby(now model.Time, sessions int) (due model.Time) {
	switch {
	case sessions > 0:
		ln.proves = 0
		return never
	case ln.proves == 0:
		ln.proves = now + model.Time(standbyTime)
	case now >= ln.proves:
		ln.proves = now + model.Time(standbyTime)
		ln.work.Go(ln.prove)
	}
	return ln.proves
}

// prove ends the line when the peer does not answer any more.
func (ln *line) prove() {
	ctx, cancel := context.WithTimeout(ln.ctx, standbyTime)
	defer cancel()
	if _, err := ln.link.ask(ctx, ln.client); err != nil && ln.ctx.Err() == nil {
		ln.fail(err)
	}
}
