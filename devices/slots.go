package devices

import "context"

// slots bounds how many polls run at once. Devices whose last poll failed are suspects and share half of the slots, so that a
// rack that went dark, each of whose devices takes its whole timeout, cannot hold up the ones that answer.
type slots struct {
	all      chan struct{}
	suspects chan struct{}
}

func newSlots(limit int) *slots {
	return &slots{all: make(chan struct{}, limit), suspects: make(chan struct{}, max(1, limit/2))}
}

// take waits for a slot in order of arrival and returns what gives it back, or nil when ctx ended first.
func (s *slots) take(ctx context.Context, suspect bool) (release func()) {
	if suspect {
		if !enter(ctx, s.suspects) {
			return nil
		}
	}
	if !enter(ctx, s.all) {
		if suspect {
			<-s.suspects
		}
		return nil
	}
	return func() {
		<-s.all
		if suspect {
			<-s.suspects
		}
	}
}

func enter(ctx context.Context, room chan struct{}) bool {
	select {
	case room <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}
