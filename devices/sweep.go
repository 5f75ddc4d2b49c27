package devices

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/hashicorp/go-hclog"

	"banyan/model"
)

// Limits of a sweep, whatever is asked for: what a small switch on the way bears, and what opens few enough sockets.
const (
	sweepConcurrency = 128 // addresses that are asked at once
	sweepRate        = 250 // questions that begin in one second; each is a few packets
	maxProblems      = 5
)

// Sweep asks addresses what is there.
type Sweep struct {
	// Drivers are asked, each at every address.
	Drivers []Discoverer
	// Hints are given to the driver of a kind.
	Hints map[string]Settings
	// Timeout is how long one driver has for one address.
	Timeout time.Duration
	// Progress is told now and then, by one goroutine at a time: how many addresses are done and how much was found.
	Progress func(done, found int)
	// Log gets what goes wrong with drivers.
	Log hclog.Logger
}

// Sighting is what was found at an address.
type Sighting struct {
	At netip.Addr
	Found
}

// Swept is how a sweep went.
type Swept struct {
	Done     int        // addresses at which every driver has answered or given up
	Found    []Sighting // by address, then kind
	Problems []string   // what kept drivers from asking, a few of them
}

// Run asks all addresses, at most 128 at a time and 250 questions a second, and returns when that is done or soon after ctx has ended, with
// what it has by then. A driver that does not end when it is told to is left behind.
func (s *Sweep) Run(ctx context.Context, addresses []netip.Addr) Swept {
	r := &sweeping{Sweep: s}
	pace := time.NewTicker(time.Second / sweepRate)
	defer pace.Stop()
	room := make(chan struct{}, sweepConcurrency)
	var asking sync.WaitGroup
	for _, at := range addresses {
		if !enter(ctx, room) {
			break
		}
		asking.Go(func() {
			defer func() { <-room }()
			r.address(ctx, at, pace.C)
		})
	}
	asking.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	swept := r.swept
	swept.Found = slices.Clone(swept.Found) // one that was left behind may still find something
	slices.SortFunc(swept.Found, func(a, b Sighting) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Kind, b.Kind)) })
	return swept
}

type sweeping struct {
	*Sweep
	mu    sync.Mutex // guards swept; held while progress is told
	swept Swept
}

// address asks all drivers about one address, at once.
func (r *sweeping) address(ctx context.Context, at netip.Addr, pace <-chan time.Time) {
	var asking sync.WaitGroup
	for _, d := range r.Drivers {
		select {
		case <-pace:
		case <-ctx.Done():
			asking.Wait()
			return
		}
		asking.Go(func() { r.ask(ctx, d, at) })
	}
	asking.Wait()
	if ctx.Err() != nil {
		return // some may have given up for this reason
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.swept.Done++
	r.Progress(r.swept.Done, len(r.swept.Found))
}

// ask asks one driver about one address, and does not wait for one that hangs.
func (r *sweeping) ask(ctx context.Context, d Discoverer, at netip.Addr) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	ended := make(chan struct{})
	go func() { // it is waited for below, for as long as it can be
		defer close(ended)
		found, there, err := r.shielded(ctx, d, at)
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case err != nil && ctx.Err() == nil:
			r.problem(d.Kind() + ": " + plain(err))
		case err == nil && there:
			found.Kind, found.Name, found.Description = d.Kind(), tidy(found.Name), tidy(found.Description)
			r.swept.Found = append(r.swept.Found, Sighting{at, found})
		}
	}()
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		r.Log.Warn("discovery does not end when it is told to", "kind", d.Kind(), "address", at)
	}
}

// problem keeps a text, once and not too many. The mutex is held.
func (r *sweeping) problem(text string) {
	if len(r.swept.Problems) < maxProblems && !slices.Contains(r.swept.Problems, text) {
		r.swept.Problems = append(r.swept.Problems, text)
	}
}

// tidy makes one short line of what a machine somewhere says about itself.
func tidy(text string) string {
	const most = 200
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, ""), func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsPrint(c) }), " ")
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}

func (r *sweeping) shielded(ctx context.Context, d Discoverer, at netip.Addr) (found Found, there bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.Log.Error("driver panicked", "kind", d.Kind(), "call", "discover", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			there, err = false, model.Errorf(model.KindInternal, "the %s driver failed in an unforeseen way; the node's log has the details", d.Kind())
		}
	}()
	return d.Discover(ctx, at, r.Hints[d.Kind()])
}
