package devices

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"banyan/model"
)

// maxErrands bounds what runs in one device at a time, calls that hang included.
const maxErrands = 16

// life is one device from being started with its settings to being stopped. New settings mean a new life, which begins when
// everything of the one before has returned: two lives of one device never touch the same wire.
type life struct {
	id       model.ContextID
	path     atomic.Pointer[model.Path] // for messages; can change during a life
	kind     kind
	settings Settings // resolved
	sink     Sink
	log      hclog.Logger
	polling  polling
	after    <-chan struct{} // closed when the life before is over; nil without one
	pollPipe *valve
	kin      error // why it cannot have the parent that it names, as it was started

	// What is told to end when the device is suspended; nil while nothing runs.
	stopPoll, stopStream atomic.Pointer[context.CancelFunc]

	ready chan struct{} // closed when it is settled whether there is a device
	done  chan struct{} // closed when everything has returned
	wake  chan struct{} // capacity 1: there is a ticket, a new timing, or news of the parent
	calls sync.WaitGroup

	mu      sync.Mutex // guards the rest
	spec    Spec       // path, poll_interval and timeout can change during a life
	timing  timing
	schema  *model.Schema // completed: what the context has
	own     int           // where in it the common variables begin
	device  Device        // nil before ready and when refused
	refused error         // why there is no device
	ending  bool
	errands map[*errand]struct{}
	ticket  *ticket       // who waits for a poll that has not begun
	stuck   bool          // the last poll was left behind and has not returned
	resumed chan struct{} // closed when the device is suspended no more; nil while it is not
	report  report
}

// polling is what all lives of a manager share.
type polling struct {
	slots  *slots
	spread spread
	family *family

	onTime, suspects *lateness
}

// late is where the lateness of a poll is counted.
func (p *polling) late(suspect bool) *lateness {
	if suspect {
		return p.suspects
	}
	return p.onTime
}

func (l *life) run(ctx context.Context) {
	defer close(l.done)
	if l.after != nil {
		<-l.after
	}
	if ctx.Err() != nil {
		return
	}
	device := l.settle(ctx)
	close(l.ready)
	if device == nil {
		<-ctx.Done()
		return
	}
	defer func() {
		if err := l.shielded("close", device.Close); err != nil {
			l.log.Warn("device did not close cleanly", "path", l.where(), "error", err)
		}
	}()
	var streaming sync.WaitGroup
	if s, ok := device.(Streamer); ok {
		streaming.Go(func() { l.stream(ctx, s) })
	}
	l.schedule(ctx)
	l.end()
	streaming.Wait()
	l.calls.Wait()
}

// settle opens the device and has its context bound to what it consists of, or says why there is none.
func (l *life) settle(ctx context.Context) Device {
	l.adopt(l.sink.Schema())
	if l.refused == nil && !l.settings[SettingEnabled].Bool() {
		l.refuse(faultDisabled, model.Errorf(model.KindUnavailable, "the device is switched off; set %s to true", SettingEnabled))
		return nil
	}
	var device Device
	var schema *model.Schema
	err := l.refused
	if err == nil {
		err = l.shielded("open", func() (err error) {
			if device, err = l.kind.driver.Open(l.settings); err == nil {
				schema, err = l.kind.shapeOf(device)
			}
			return err
		})
	}
	if err == nil && schema != nil {
		err = l.bind(ctx, schema)
	}
	if err != nil && device != nil {
		if problem := l.shielded("close", device.Close); problem != nil {
			l.log.Warn("device did not close cleanly", "path", l.where(), "error", problem)
		}
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil
	case err != nil:
		l.log.Warn("device is misconfigured", "path", l.where(), "kind", l.kind.name, "error", err)
		l.refuse(faultMisconfigured, err)
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.device = device
	l.publishStarting()
	return device
}

// adopt takes over the schema that the context has. One that is older than the common variables is as good as none.
func (l *life) adopt(schema *model.Schema) {
	if schema == nil || !hasCommon(schema) {
		schema = l.kind.schema
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.schema, l.own = schema, schema.VariableIndex(VariableState)
}

// bind has the context bound to a schema. It tries until that is done or ctx has ended, and gives up where it can never be done.
func (l *life) bind(ctx context.Context, schema *model.Schema) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := l.sink.Rebind(ctx, schema)
		if err == nil {
			if bound := l.sink.Schema(); bound != nil && hasCommon(bound) {
				schema = bound // which all devices of one type share
			}
			l.adopt(schema)
			return nil
		}
		if ctx.Err() != nil || model.KindOf(err) == model.KindInvalid {
			return err
		}
		l.log.Warn("what a device consists of cannot be kept now", "path", l.where(), "error", err)
		l.mu.Lock()
		l.report.poll = fault{class: faultFailed, text: plain(err), since: model.TimeOf(time.Now())}
		l.publishReport(true)
		l.report.poll = fault{}
		l.mu.Unlock()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *life) refuse(class faultClass, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = err
	l.publishRefused(class, err)
}

// declared is what the device consists of, once that is settled; until then, and without a device, what the context has.
func (l *life) declared(ctx context.Context) *model.Schema {
	select {
	case <-l.ready:
	case <-l.done:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.schema == nil {
		return l.kind.schema
	}
	return l.schema
}

// end lets no new errand in, tells the running ones to end, and answers who waits for a poll.
func (l *life) end() {
	l.mu.Lock()
	l.ending = true
	for e := range l.errands {
		e.cancel()
	}
	l.answer(l.ticket, Poll{}, l.failure("", model.KindUnavailable, "the device was stopped"))
	l.ticket = nil
	l.mu.Unlock()
	l.pollPipe.set(true)
}

// opened waits until it is settled whether there is a device, and returns it.
func (l *life) opened(ctx context.Context) (Device, error) {
	select {
	case <-l.ready:
	case <-l.done:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.device != nil && !l.ending:
		return l.device, nil
	case l.refused != nil:
		return nil, l.failure("", model.KindUnavailable, "the device does not run: %w", l.refused)
	case l.ending || ctx.Err() == nil:
		return nil, l.failure("", model.KindUnavailable, "the device was stopped")
	}
	return nil, l.failure("", model.KindOf(ctx.Err()), "the device is still starting")
}

// retime changes the timing without a new life; the schedule begins anew.
func (l *life) retime(spec Spec, t timing) {
	l.path.Store(&spec.Path)
	l.mu.Lock()
	l.spec, l.timing = spec, t
	l.mu.Unlock()
	wake(l.wake)
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// hanging says what was left behind in the device and has not returned.
func (l *life) hanging() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var calls []string
	for e := range l.errands {
		if e.lost {
			calls = append(calls, e.what)
		}
	}
	return calls
}
