package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"banyan/model"
	"banyan/proto"
	"banyan/proto/apiv1"
	"banyan/proto/modelv1"

	"connectrpc.com/connect"
)

// kindOf is the kind of the error with which a node answered; told is false where no node did.
func kindOf(err error) (kind model.ErrorKind, told bool) {
	var sent *connect.Error
	if errors.As(err, &sent) {
		for _, detail := range sent.Details() {
			if value, bad := detail.Value(); bad == nil {
				if wire, is := value.(*modelv1.Error); is {
					return model.KindOf(proto.ToError(wire)), true
				}
			}
		}
	}
	return 0, false
}

// judge says what an answer means for whether something was done.
func judge(err error) verdict {
	if err == nil {
		return done
	}
	kind, told := kindOf(err)
	switch {
	case !told, kind == model.KindUnknownFate, kind == model.KindTimeout, kind == model.KindCanceled, kind == model.KindInternal:
		return unknown
	}
	return refused
}

// load asks for things until ctx ends: each node's setting is written through one view after the other, and its counter called from elsewhere. Whoever
// waits for what returns knows what became of everything.
func (w *world) load(ctx context.Context, seed uint64) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	for i := range w.members {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		work.Go(func() { w.write(ctx, i, random) })
		other := rand.New(rand.NewPCG(seed, uint64(i)+1000))
		work.Go(func() { w.callOn(ctx, i, other) })
	}
	return func() { cancel(); work.Wait() }
}

// of are the views of a node.
func (w *world) of(owner int) []view {
	var all []view
	for _, v := range w.views {
		if v.owner == owner {
			all = append(all, v)
		}
	}
	return all
}

// pace is how far requests of one kind to one node are apart.
const pace = 300 * time.Millisecond

func (w *world) write(ctx context.Context, owner int, random *rand.Rand) {
	views, book := w.of(owner), w.books.written[owner]
	for ctx.Err() == nil {
		v := views[random.IntN(len(views))]
		value := book.next()
		asked, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		err := w.members[v.at].set(asked, v.prefix+setDevice+":seed", strconv.FormatInt(value, 10))
		cancel()
		told := judge(err)
		book.tell(value, told)
		w.books.note([...]string{unknown: "sets of unknown fate", done: "sets", refused: "sets refused"}[told])
		wait(ctx, time.Duration(float64(pace)*(0.5+random.Float64())))
	}
}

// keptFor is how long a request is kept.
const keptFor = 20 * time.Second

func (w *world) callOn(ctx context.Context, owner int, random *rand.Rand) {
	views := w.of(owner)
	for ctx.Err() == nil {
		v := views[random.IntN(len(views))]
		a := &asked{word: fmt.Sprintf("%x", random.Uint64()), from: w.members[v.at], owner: w.members[owner], made: time.Now()}
		q := &apiv1.CallRequest{Path: v.prefix + counterDevice, Function: "count", Texts: map[string]string{"word": a.word}}
		if random.IntN(4) == 0 {
			id := [16]byte{}
			for i := range id {
				id[i] = byte(random.Uint32())
			}
			a.id, a.until = hex.EncodeToString(id[:]), time.Now().Add(keptFor)
			q.Id, q.Until, q.Async = a.id, keptFor.String(), true
		}
		asked, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		_, err := a.from.request(asked, q)
		cancel()
		a.answer, a.problem = judge(err), err
		if a.answer == done && a.id != "" {
			a.answer = kept
		}
		w.books.note([...]string{unknown: "calls of unknown fate", done: "calls", refused: "calls refused", kept: "requests kept"}[a.answer])
		w.books.mu.Lock()
		w.books.calls = append(w.books.calls, a)
		w.books.mu.Unlock()
		wait(ctx, time.Duration(float64(pace)*(1+2*random.Float64())))
	}
}
