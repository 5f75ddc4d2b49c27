package failover

import (
	"context"
	"errors"
	"testing"

	"banyan/model"
	"banyan/store"
)

func fill(t *testing.T, q *queue, class store.Class, count, size int) []*pending {
	t.Helper()
	var all []*pending
	for range count {
		p := &pending{commit: store.Commit{Class: class}, size: size, answer: make(chan answer, 1)}
		if err := q.add(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func classes(group []*pending) (counts [store.ClassEvents + 1]int) {
	last := store.Class(0)
	for _, p := range group {
		if p.commit.Class < last {
			counts[0]++ // out of order
		}
		last = p.commit.Class
		counts[last]++
	}
	return counts
}

func TestShares(t *testing.T) {
	tests := []struct {
		name                     string
		people, settings, events int
		size                     int
		want                     [store.ClassEvents + 1]int
		more                     bool
	}{
		{"nothing", 0, 0, 0, 1, [4]int{}, false},
		{"a few of each", 2, 3, 4, 1, [4]int{0, 2, 3, 4}, false},
		{"a flood of events", 1, 1, 1000, 1, [4]int{0, 1, 1, mostInGroup / 4}, true},
		{"a flood of everything", 100, 1000, 1000, 1, [4]int{0, 100, mostInGroup - 100, 0}, true},
		{"heavy settings", 0, 10, 0, mostGroupBytes / 4, [4]int{0, 0, 4, 0}, true},
		{"heavy events", 1, 0, 10, mostGroupBytes / 8, [4]int{0, 1, 0, 2}, true},
		{"one that is heavier than a group", 0, 2, 0, 2 * mostGroupBytes, [4]int{0, 0, 1, 0}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			q := newQueue()
			fill(t, q, store.ClassEvents, test.events, test.size)
			fill(t, q, store.ClassSettings, test.settings, test.size)
			fill(t, q, store.ClassPeople, test.people, test.size)
			total := 0
			group, more := q.take()
			if got := classes(group); got != test.want || more != test.more {
				t.Errorf("the first group has %v, more %v; want %v, %v", got, more, test.want, test.more)
			}
			for len(group) > 0 {
				total += len(group)
				group, _ = q.take()
			}
			if want := test.people + test.settings + test.events; total != want {
				t.Errorf("%d commits had their turn, want %d", total, want)
			}
		})
	}
}

func TestQueueOrderAndLimit(t *testing.T) {
	q := newQueue()
	all := fill(t, q, store.ClassSettings, mostWaiting, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.add(ctx, &pending{commit: store.Commit{Class: store.ClassSettings}}); model.KindOf(err) != model.KindCanceled {
		t.Errorf("a full queue took one more: %v", err)
	}
	all[1].state.Store(takenBack)
	fill(t, q, store.ClassPeople, 1, 1) // another class has room
	var order []*pending
	for group, _ := q.take(); len(group) > 0; group, _ = q.take() {
		order = append(order, group...)
	}
	if len(order) != mostWaiting || order[1] != all[0] || order[2] != all[2] {
		t.Errorf("%d commits, not in order, or with the one that was taken back", len(order))
	}
	fill(t, q, store.ClassSettings, mostWaiting, 1)
}

func TestClosedQueueRefuses(t *testing.T) {
	q := newQueue()
	waiting := fill(t, q, store.ClassEvents, 3, 1)
	reason := errors.New("stopping")
	q.close(reason)
	for _, p := range waiting {
		if a := <-p.answer; !errors.Is(a.err, reason) {
			t.Errorf("answered with %v", a.err)
		}
	}
	for range mostWaiting + 1 {
		if err := q.add(t.Context(), &pending{commit: store.Commit{Class: store.ClassEvents}}); !errors.Is(err, reason) {
			t.Fatalf("took one after it was closed: %v", err)
		}
	}
}
