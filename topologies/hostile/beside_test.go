package hostile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"banyan/proto/apiv1"
	"banyan/server"
	"banyan/topologies"
)

// mostWait is how long somebody beside a bomb may wait for an answer of the victim, and the neighbour's samples may stand still. Everyday whoever throws, the
// neighbour and the tests of other packages share the machine with the victim.
func mostWait() time.Duration {
	if full() {
		return 2 * time.Second
	}
	return 5 * time.Second
}

// beside is somebody honest who asks the victim the whole time: whether the link of its neighbour is up, and what the neighbour tells.
type beside struct {
	client *topologies.Client
	told   chan seen // what was seen since the last time
}

// seen is what somebody beside saw for a while.
type seen struct {
	asked   int
	slowest time.Duration // answer
	still   time.Duration // that the neighbour's samples did not move, at most
	problem error         // the first one
}

// lookOn lets somebody look at the victim and its neighbour until the test ends.
func (s *scene) lookOn() *beside {
	s.Helper()
	client, err := s.network.Client(s.Context(), "hq", server.AdminName)
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b, done := &beside{client: client, told: make(chan seen)}, make(chan struct{})
	go func() {
		defer close(done)
		b.run(ctx)
	}()
	s.Cleanup(func() {
		cancel()
		<-done
		client.Close()
	})
	return b
}

// neglect lets somebody follow what the victim mounts from a hostile provider, who reads nothing of it: what nobody has read yet is kept for a while.
func (s *scene) neglect() {
	s.Helper()
	client, err := s.network.Client(s.Context(), "hq", server.AdminName)
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := client.Tree.Follow(ctx, &apiv1.FollowRequest{Path: "/evil"})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		cancel()
		_ = stream.Close()
		client.Close()
	})
}

func (b *beside) run(ctx context.Context) {
	var now seen
	updates, moved := "", time.Now()
	for {
		text, slowest, err := b.look(ctx)
		if ctx.Err() != nil {
			return
		}
		if text != updates {
			updates, moved = text, time.Now()
		}
		now.asked, now.slowest, now.still = now.asked+1, max(now.slowest, slowest), max(now.still, time.Since(moved))
		if now.problem == nil {
			now.problem = err
		}
		select {
		case b.told <- now:
			now = seen{}
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
}

// look is what the neighbour counts, as the victim tells it, and how long the slower one of two answers took.
func (b *beside) look(ctx context.Context) (updates string, slower time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	get := func(address string) *apiv1.Reading {
		began := time.Now()
		reading, problem := b.client.Tree.Get(ctx, &apiv1.GetRequest{Address: address})
		slower, err = max(slower, time.Since(began)), errors.Join(err, problem)
		return reading
	}
	if state := get("/links/berlin:state").GetValue().GetStringValue(); state != "up" {
		err = errors.Join(err, fmt.Errorf("the neighbour's link is %q", state))
	}
	counted := get("/sites/berlin/devices/sim:updates")
	if counted.GetQuality() != "good" {
		err = errors.Join(err, fmt.Errorf("the neighbour's samples are %q %s", counted.GetQuality(), counted.GetReason()))
	}
	return counted.GetValue().String(), slower, err
}

// saw is what was seen since the last time, one answer at least.
func (b *beside) saw() seen { return <-b.told }

// broken is what does not hold, "" when all does.
func (s seen) broken() string {
	switch {
	case s.problem != nil:
		return s.problem.Error()
	case s.slowest > mostWait():
		return fmt.Sprintf("an answer took %s", s.slowest)
	case s.still > mostWait():
		return fmt.Sprintf("the neighbour's samples stood still for %s", s.still)
	}
	return ""
}
