package devices

import (
	"errors"
	"time"

	"banyan/model"
)

// The values of the variable called state.
const (
	StateStarting      = "starting"      // not polled yet
	StateOK            = "ok"            // the last poll succeeded
	StateNoResponse    = "no-response"   // the device did not answer in time, or hangs
	StateFailed        = "failed"        // the device, or its driver, answered with an error
	StateSuspended     = "suspended"     // not polled, since the device in front of it does not answer
	StateDisabled      = "disabled"      // switched off by its settings
	StateMisconfigured = "misconfigured" // its settings cannot be used
)

// faultClass is a way of not being well: the state, and what becomes of the values' quality.
type faultClass struct {
	state   string
	quality model.Quality
}

var (
	faultNoResponse    = faultClass{StateNoResponse, model.QualityNoReply}
	faultFailed        = faultClass{StateFailed, model.Quality{Level: model.Bad, Reason: model.ReasonFailed}}
	faultSuspended     = faultClass{StateSuspended, model.Quality{Level: model.Bad, Reason: model.ReasonParent}}
	faultDisabled      = faultClass{StateDisabled, model.Quality{Level: model.Uncertain, Reason: model.ReasonDisabled}}
	faultMisconfigured = faultClass{StateMisconfigured, model.Quality{Level: model.Bad, Reason: model.ReasonNotSet}}
)

// fault is a class with its text and its beginning; the zero fault is none.
type fault struct {
	class faultClass
	text  string
	since model.Time
}

func (f fault) none() bool { return f.class.state == "" }

// report is what a device tells about itself. The life's mu guards it, and is held while it is published, so that
// what readers see is in the order in which it happened.
type report struct {
	began  bool  // a poll has ended
	held   fault // the device is not to be polled
	poll   fault
	stream fault
	polls  int64
	took   time.Duration

	state string // as published last
	since model.Time
	text  string
}

// now is the state to show and its text: a poll's fault goes before a stream's.
func (r *report) now() (state, text string) {
	switch {
	case !r.held.none():
		return r.held.class.state, r.held.text
	case !r.poll.none():
		return r.poll.class.state, r.poll.text
	case !r.stream.none():
		return r.stream.class.state, r.stream.text
	case !r.began:
		return StateStarting, ""
	}
	return StateOK, ""
}

// classify sorts a driver's error into a fault; nil is none.
func classify(err error) fault {
	if err == nil {
		return fault{}
	}
	f := fault{class: faultFailed, text: plain(err), since: model.TimeOf(time.Now())}
	if kind := model.KindOf(err); kind == model.KindUnavailable || kind == model.KindTimeout {
		f.class = faultNoResponse
	}
	return f
}

// plain is an error's text without the path: the path of this node is nothing that a reader at another node may have to know.
func plain(err error) string {
	var e *model.Error
	if !errors.As(err, &e) || err.Error() != e.Error() {
		return err.Error()
	}
	bare := *e
	bare.Op, bare.Path, bare.Name = "", model.Root, ""
	if e.Name != "" {
		return e.Name + ": " + bare.Error()
	}
	return bare.Error()
}

// follow keeps the beginning of a fault that goes on.
func (f fault) follow(before fault) fault {
	if f.class == before.class && !f.none() {
		f.since = before.since
	}
	return f
}

func (l *life) publishStarting() { l.publishReport(false) }

func (l *life) publishRefused(class faultClass, err error) {
	l.report.poll = fault{class: class, text: plain(err), since: model.TimeOf(time.Now())}
	l.fail(l.report.poll)
}

func (l *life) publishPoll(f fault, took time.Duration) {
	r := &l.report
	r.began, r.took = true, took
	r.polls++
	r.poll = f.follow(r.poll)
	if f.none() {
		l.publishReport(false)
		return
	}
	l.fail(r.poll)
}

func (l *life) publishStreamFailed(f fault) {
	l.report.stream = f.follow(l.report.stream)
	l.fail(l.report.stream)
}

// streamFlows ends a stream's fault: a sample came.
func (l *life) streamFlows() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.report.stream.none() {
		l.report.stream = fault{}
		l.publishReport(false)
	}
}

// fail marks all variables, and then says anew what the device tells about itself, which is as good as ever.
func (l *life) fail(f fault) {
	l.sink.Fail(f.class.quality, f.since)
	l.publishReport(true)
}

// publishReport publishes the common variables: the counters always, the state when it changed or all was marked.
func (l *life) publishReport(all bool) {
	r := &l.report
	now := model.TimeOf(time.Now())
	batch := make([]Update, 0, offsetLastPollDuration+1)
	add := func(offset int, v model.Value) {
		batch = append(batch, Update{Variable: l.own + offset, Value: v, Source: now})
	}
	if state, text := r.now(); all || state != r.state || text != r.text {
		if state != r.state {
			r.state, r.since = state, now
			l.polling.family.tell(l.id, state, now)
		}
		r.text = text
		add(offsetState, model.String(state))
		add(offsetStateSince, model.Instant(r.since))
		add(offsetLastError, model.String(text))
	}
	add(offsetPolls, model.Int64(r.polls))
	if r.began {
		add(offsetLastPollDuration, model.Duration(r.took))
	}
	l.sink.Publish(batch)
}
