package failover

import (
	"context"
	"sync"
	"sync/atomic"

	"banyan/model"
	"banyan/store"
)

// Limits of one group commit and of what waits. A group is answered as a whole, so that a larger one makes each wait longer.
const (
	mostInGroup    = 256
	mostGroupBytes = 8 << 20
	mostWaiting    = 1024 // of each class
)

// The states of a waiting commit.
const (
	waiting int32 = iota
	taken
	takenBack
)

// pending is a commit on its way.
type pending struct {
	commit store.Commit
	size   int
	state  atomic.Int32
	answer chan answer // of capacity 1
}

type answer struct {
	result store.Result
	err    error
}

// queue holds what waits, by class.
type queue struct {
	mu      sync.Mutex // guards waiting and closed
	waiting [store.ClassEvents + 1][]*pending
	closed  error

	room [store.ClassEvents + 1]chan struct{} // a token for each place
	wake chan struct{}
}

func newQueue() *queue {
	q := &queue{wake: make(chan struct{}, 1)}
	for class := range q.room {
		q.room[class] = make(chan struct{}, mostWaiting)
	}
	return q
}

// add puts a commit at the end of its class. It waits for a place.
func (q *queue) add(ctx context.Context, p *pending) error {
	select {
	case q.room[p.commit.Class] <- struct{}{}:
	default:
		select {
		case q.room[p.commit.Class] <- struct{}{}:
		case <-ctx.Done():
			return model.Errorf(model.KindOf(ctx.Err()), "waiting for the commits before this one: %w", ctx.Err())
		}
	}
	q.mu.Lock()
	closed := q.closed
	if closed == nil {
		q.waiting[p.commit.Class] = append(q.waiting[p.commit.Class], p)
	}
	q.mu.Unlock()
	if closed != nil {
		<-q.room[p.commit.Class]
		return closed
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return nil
}

// take takes the next group: the urgent classes first, of the lowest a quarter of what fits at most, so that a flood of events leaves
// people their share of each group. more says that some had to be left for the next one.
func (q *queue) take() (group []*pending, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	bytes := 0
	for class := store.ClassPeople; class <= store.ClassEvents; class++ {
		most, mostBytes := mostInGroup, mostGroupBytes
		if class == store.ClassEvents {
			most, mostBytes = min(mostInGroup, len(group)+mostInGroup/4), min(mostGroupBytes, bytes+mostGroupBytes/4)
		}
		line := q.waiting[class]
		n := 0
		for ; n < len(line) && len(group) < most && (bytes < mostBytes || len(group) == 0); n++ {
			<-q.room[class]
			if line[n].state.CompareAndSwap(waiting, taken) {
				group = append(group, line[n])
				bytes += line[n].size
			}
		}
		clear(line[:n])
		q.waiting[class] = line[n:]
		if n == len(line) {
			q.waiting[class] = line[:0]
		}
		more = more || n < len(line)
	}
	return group, more
}

// close refuses everything that waits and whatever comes.
func (q *queue) close(reason error) {
	q.mu.Lock()
	q.closed = reason
	var refused []*pending
	for class, line := range q.waiting {
		for _, p := range line {
			<-q.room[class]
			if p.state.CompareAndSwap(waiting, taken) {
				refused = append(refused, p)
			}
		}
		q.waiting[class] = nil
	}
	q.mu.Unlock()
	for _, p := range refused {
		p.answer <- answer{err: reason}
	}
}
