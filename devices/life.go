package devices

import (
	"context"
	"sync"
	"sync/atomic"

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
	driver   Driver
	schema   *model.Schema // completed
	own      int           // how many of its variables are the driver's
	settings Settings      // resolved
	sink     Sink
	log      hclog.Logger
	polling  polling
	after    <-chan struct{} // closed when the life before is over; nil without one
	pollPipe *valve

	ready chan struct{} // closed when it is settled whether there is a device
	done  chan struct{} // closed when everything has returned
	wake  chan struct{} // capacity 1: there is a ticket, or a new timing
	calls sync.WaitGroup

	mu      sync.Mutex // guards the rest
	spec    Spec       // path, poll_interval and timeout can change during a life
	timing  timing
	device  Device // nil before ready and when refused
	refused error  // why there is no device
	ending  bool
	errands map[*errand]struct{}
	ticket  *ticket // who waits for a poll that has not begun
	stuck   bool    // the last poll was left behind and has not returned
	report  report
}

// polling is what all lives of a manager share.
type polling struct {
	slots  *slots
	spread spread
}

func (l *life) run(ctx context.Context) {
	defer close(l.done)
	if l.after != nil {
		<-l.after
	}
	if ctx.Err() != nil {
		return
	}
	device := l.settle()
	close(l.ready)
	if device == nil {
		<-ctx.Done()
		return
	}
	var streaming sync.WaitGroup
	if s, ok := device.(Streamer); ok {
		streaming.Go(func() { l.stream(ctx, s) })
	}
	l.schedule(ctx)
	l.end()
	streaming.Wait()
	l.calls.Wait()
	if err := l.shielded("close", device.Close); err != nil {
		l.log.Warn("device did not close cleanly", "path", l.where(), "error", err)
	}
}

// settle opens the device, or says why there is none.
func (l *life) settle() Device {
	if l.refused == nil && !l.settings[SettingEnabled].Bool() {
		l.refuse(faultDisabled, model.Errorf(model.KindUnavailable, "the device is switched off; set %s to true", SettingEnabled))
		return nil
	}
	var device Device
	err := l.refused
	if err == nil {
		err = l.shielded("open", func() (err error) {
			device, err = l.driver.Open(l.settings)
			return err
		})
	}
	if err != nil {
		l.log.Warn("device is misconfigured", "path", l.where(), "kind", l.schema.Kind, "error", err)
		l.refuse(faultMisconfigured, err)
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.device = device
	l.publishStarting()
	return device
}

func (l *life) refuse(class faultClass, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = err
	l.publishRefused(class, err)
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
