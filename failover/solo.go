package failover

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"banyan/fault"
	"banyan/model"
	"banyan/store"

	"github.com/hashicorp/go-hclog"
)

// Config of a Solo.
type Config struct {
	Store   *store.Store
	Numbers Numbers // the live tree
	Logger  hclog.Logger
	// Now is the node's clock, for housekeeping; time.Now when nil.
	Now func() time.Time
	// Full is called when the disk turns out to be full, and when it has room again; it must be quick. Nil where nobody is interested.
	Full func()
	// Tidy is how often expired requests and old tombstones are forgotten, default 1 minute.
	Tidy time.Duration
	// Tombstones is how many removals are remembered, default 100,000: as many as the tree does.
	Tombstones uint32
}

func (c *Config) validate() error {
	if c.Store == nil || c.Numbers == nil {
		return model.Errorf(model.KindInvalid, "a committer needs a store and a tree")
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Full == nil {
		c.Full = func() {}
	}
	if c.Tidy == 0 {
		c.Tidy = time.Minute
	}
	if c.Tombstones == 0 {
		c.Tombstones = 100_000
	}
	return nil
}

// Solo is a node by itself: a commit counts when it is on its disk. One goroutine, Run, takes what waits and makes it durable in one
// transaction, so that many writers share an fsync.
type Solo struct {
	cfg    Config
	log    hclog.Logger
	queue  *queue
	failed chan struct{}
	once   sync.Once    // closes failed
	full   atomic.Int64 // since when the disk is full, a model.Time; 0 while it has room
}

var _ Committer = (*Solo)(nil)

// NewSolo makes a Solo. Nothing is confirmed before Run.
func NewSolo(cfg Config) (*Solo, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Solo{cfg: cfg, log: cfg.Logger, queue: newQueue(), failed: make(chan struct{})}, nil
}

// Failed is as in Committer.
func (s *Solo) Failed() <-chan struct{} { return s.failed }

// Submit is as in Committer.
func (s *Solo) Submit(ctx context.Context, commit store.Commit) (store.Result, error) {
	commit, err := s.cfg.Store.Prepare(ctx, commit)
	if err != nil {
		return store.Result{}, err
	}
	size, err := commit.Validate()
	if err != nil {
		return store.Result{}, err
	}
	p := &pending{commit: commit, size: size, answer: make(chan answer, 1)}
	if err := s.queue.add(ctx, p); err != nil {
		return store.Result{}, err
	}
	select {
	case a := <-p.answer:
		return a.result, a.err
	case <-ctx.Done():
	}
	if p.state.CompareAndSwap(waiting, takenBack) {
		return store.Result{}, model.Errorf(model.KindOf(ctx.Err()), "the commit was taken back before its turn: %w", ctx.Err())
	}
	select {
	case a := <-p.answer:
		return a.result, a.err
	default:
		return store.Result{}, model.Errorf(model.KindUnknownFate, "the commit was under way: %w", ctx.Err())
	}
}

// Run is as in Committer.
func (s *Solo) Run(ctx context.Context) error {
	tidy := time.NewTicker(s.cfg.Tidy)
	defer tidy.Stop()
	look := time.NewTicker(lookForRoom)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			if s.full.Load() == 0 {
				continue
			}
			if err := s.work([]*pending{s.tidying()}); err != nil {
				return err
			}
		case <-ctx.Done():
			s.queue.close(&model.Error{Kind: model.KindUnavailable, Detail: "the node is stopping"})
			return nil
		case <-tidy.C:
			if err := s.work([]*pending{s.tidying()}); err != nil {
				return err
			}
		case <-s.queue.wake:
			// Once round for each wake, so that a stop is heard under any load.
			group, more := s.queue.take()
			if more {
				select {
				case s.queue.wake <- struct{}{}:
				default:
				}
			}
			if err := s.work(group); err != nil {
				return err
			}
		}
	}
}

// lookForRoom is how often a full disk is tried, so that what is told of it is true also where nobody writes.
const lookForRoom = 5 * time.Second

// FullSince is as in Committer.
func (s *Solo) FullSince() model.Time { return model.Time(s.full.Load()) }

// noteFull remembers whether the disk has room, and tells where that turns: once, since the log may lie on the same disk.
func (s *Solo) noteFull(err error) {
	since := s.full.Load()
	switch {
	case err != nil && since == 0:
		s.full.Store(int64(model.TimeOf(s.cfg.Now())))
		s.log.Error("the disk is full: what is to be kept is refused until there is room", "error", err)
		s.cfg.Full()
	case err == nil && since != 0:
		s.full.Store(0)
		s.log.Info("there is room on the disk again", "full_since", model.Time(since))
		s.cfg.Full()
	}
}

// tidying is the commit that bounds what is remembered.
func (s *Solo) tidying() *pending {
	now := model.TimeOf(s.cfg.Now())
	trim := store.Trim{Tombstones: &s.cfg.Tombstones, RequestsBefore: now}
	return &pending{commit: store.Commit{Class: store.ClassEvents, Time: now, Changes: []store.Change{trim}}, answer: make(chan answer, 1)}
}

// work does a group. Its error is that of a write, after which nothing goes on.
func (s *Solo) work(group []*pending) error {
	if len(group) == 0 {
		return nil
	}
	answers, err := s.group(group)
	var failure *store.Failure
	if err == nil {
		s.noteFull(nil)
	}
	if errors.As(err, &failure) && (failure.Full || fault.Planted(fault.FailedWriteGoesOn)) {
		s.noteFull(err)
		full := &model.Error{
			Kind: model.KindExhausted, Detail: "the disk of the node is full: nothing was written", Err: err, Remedy: "make room on it and try again",
		}
		for i := range answers {
			answers[i] = answer{err: full}
		}
		err = nil
	}
	if err == nil {
		err = s.reply(group, answers)
	}
	if err != nil {
		s.fail(group, err)
	}
	return err
}

// reply answers everyone and then keeps the log short, so that nobody waits for that.
func (s *Solo) reply(group []*pending, answers []answer) error {
	for i, p := range group {
		p.send(answers[i])
	}
	return s.cfg.Store.KeepLogShort()
}

// send answers, unless that was done before.
func (p *pending) send(a answer) {
	select {
	case p.answer <- a:
	default:
	}
}

// group applies a group in one transaction, makes it durable, and shows it. The answers are in the order of the group, and there also
// when there is an error.
func (s *Solo) group(group []*pending) ([]answer, error) {
	answers := make([]answer, len(group))
	tx, err := s.cfg.Store.Begin()
	if err != nil {
		return answers, err
	}
	defer tx.Rollback()
	results := make([]*store.Result, len(group))
	for i, p := range group {
		if results[i], answers[i].err = tx.Apply(&p.commit); answers[i].err != nil {
			var failure *store.Failure
			if errors.As(answers[i].err, &failure) {
				return answers, failure
			}
		}
	}
	first := uint64(0)
	if n := tx.Changes(); n > 0 {
		first = s.cfg.Numbers.Reserve(n)
		// Also when the transaction fails: its numbers stay unused.
		defer s.cfg.Numbers.Release()
	}
	if fault.Planted(fault.AnswerBeforeCommit) {
		s.answerEarly(group, results, answers)
	}
	shown, err := tx.Commit(first)
	if err != nil {
		return answers, err
	}
	s.cfg.Numbers.Apply(shown.Puts, shown.Removals)
	for i, result := range results {
		if result != nil {
			answers[i].result = *result
		}
	}
	return answers, nil
}

// answerEarly is the planted fault: everyone hears that it is done, and then the disk takes its time.
func (s *Solo) answerEarly(group []*pending, results []*store.Result, answers []answer) {
	for i, p := range group {
		early := answers[i]
		if results[i] != nil {
			early.result = *results[i]
		}
		p.send(early)
	}
	time.Sleep(10 * time.Millisecond)
}

// fail ends all work after a failed write. What became of the group is not known: its pages may or may not be on the disk, and a second
// attempt would be told that they are.
func (s *Solo) fail(group []*pending, cause error) {
	s.log.Error("writing failed; the node must be started again", "error", cause)
	remedy := "look at the disk and start the node again"
	for _, p := range group {
		p.send(answer{err: &model.Error{Kind: model.KindUnknownFate, Detail: "writing to the node's disk failed", Err: cause, Remedy: remedy}})
	}
	s.queue.close(&model.Error{
		Kind: model.KindUnavailable, Detail: "the node stopped writing after its disk failed", Err: cause, Remedy: remedy,
	})
	s.once.Do(func() { close(s.failed) })
}
