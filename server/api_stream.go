package server

import (
	"context"
	"net/http"
	"sync"
	"time"

	"banyan/model"
)

// aliveEvery is how often it is looked whether the caller of a stream may still have it; lastWords is how long a stream that is ended may take to tell
// why, before it is cut off.
const (
	aliveEvery = 250 * time.Millisecond
	lastWords  = 250 * time.Millisecond
)

// enterStream counts a stream in, unless there are too many, and returns a context that ends when the caller may no longer have the stream, at most
// half a second later: with a session that is ended, a token that is removed, a user who is disabled, whatever the stream is waiting for. Its cause is
// the error to answer with.
func (a *api) enterStream(ctx context.Context) (within context.Context, leave func(), err error) {
	if a.streams.Add(1) > maxStreams {
		a.streams.Add(-1)
		return ctx, nil, model.Errorf(model.KindExhausted, "%d streams are open, no more are allowed", maxStreams)
	}
	caller := callerOf(ctx)
	if err := a.node.limits.admitStream(&caller); err != nil {
		a.streams.Add(-1)
		return ctx, nil, err
	}
	within, end := context.WithCancelCause(ctx)
	var guard sync.WaitGroup
	guard.Go(func() { guardStream(within, &caller, end) })
	return within, func() {
		end(nil)
		guard.Wait()
		a.node.limits.leaveStream(&caller)
		a.streams.Add(-1)
	}, nil
}

// guardStream ends a stream once its caller may no longer have it.
func guardStream(ctx context.Context, caller *Caller, end context.CancelCauseFunc) {
	if caller.Alive == nil {
		return
	}
	look := time.NewTicker(aliveEvery)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			if caller.Alive() {
				continue
			}
			// Who takes nothing must not keep what was sent before from ending.
			if cut, there := ctx.Value(cutKey{}).(*http.ResponseController); there {
				_ = cut.SetWriteDeadline(time.Now().Add(lastWords)) // where it cannot be set, the stream ends when it next writes
			}
			end(errEnded())
			return
		case <-ctx.Done():
			return
		}
	}
}

func errEnded() error {
	return model.Errorf(model.KindUnauthenticated, "the session or the token has ended")
}

type cutKey struct{}

// withCut lets whoever handles a request cut its answer off.
func withCut(w http.ResponseWriter, r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), cutKey{}, http.NewResponseController(w)))
}
