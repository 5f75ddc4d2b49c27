package devices

import (
	"context"
	"errors"
	"time"
)

// Pauses of a stream that fails: they double from the first to the last, and begin anew after a run longer than the last.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// errCut is how a stream's run ends that was told to end because the device is suspended.
var errCut = errors.New("suspended")

// stream keeps a streaming device running until ctx ends or there is nothing to stream. While the device is suspended nothing is streamed.
func (l *life) stream(ctx context.Context, s Streamer) {
	pause := firstPause
	for l.awake(ctx) {
		began := time.Now()
		err, ended := l.streamOnce(ctx, s)
		if !ended || err == nil || ctx.Err() != nil {
			return
		}
		if errors.Is(err, errCut) {
			continue
		}
		l.mu.Lock()
		if l.report.stream.none() {
			l.log.Warn("device stream failed", "path", l.where(), "error", err)
		}
		l.publishStreamFailed(classify(err))
		l.mu.Unlock()
		if time.Since(began) > lastPause {
			pause = firstPause
		}
		select {
		case <-time.After(time.Duration((0.5 + l.polling.spread.random()) * float64(pause))):
		case <-ctx.Done():
		}
		pause = min(2*pause, lastPause)
	}
}

// streamOnce is one run; ended is false where the run was left behind or could not begin, which both mean that the life ends.
func (l *life) streamOnce(ctx context.Context, s Streamer) (err error, ended bool) {
	runCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.stopStream.Store(&cancel)
	defer l.stopStream.Store(nil)
	if l.resting() != nil {
		return errCut, true
	}
	pipe := &valve{first: l.streamFlows}
	pipe.watched.Store(true)
	defer pipe.set(true)
	e, err := l.send(cancel, "stream", func() error { return s.Stream(runCtx, &gate{valve: pipe, to: l.sink}) })
	if err != nil || !l.wait(runCtx, e) {
		return err, false
	}
	if runCtx.Err() != nil {
		return errCut, true
	}
	return e.err, true
}
