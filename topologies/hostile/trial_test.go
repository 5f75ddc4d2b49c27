package hostile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"banyan/backup"
	"banyan/pki"
	"banyan/proto/apiv1"
	"banyan/server"
)

const (
	// mostGrown is by how much the peak of a victim's memory may grow with one bomb.
	mostGrown = 64 << 20
	// everyday is how many bombs are thrown everyday beside those that it takes for each type of message.
	everyday = 25
)

// aftermath is what became of a bomb.
type aftermath struct {
	reason string // that the victim gave
	thrown bool   // the victim let it come to that
	grown  int64  // peak of its memory, bytes
	took   time.Duration
	beside seen
}

// throw throws one bomb and waits until the victim has said why it does not take it, or has gone on.
func (s *scene) throw(b *Bomb, other *beside) aftermath {
	s.Helper()
	before := s.settle()
	other.saw()
	began := time.Now()
	ctx, cancel := context.WithTimeout(s.Context(), 9*time.Second)
	defer cancel()
	o := aftermath{thrown: true}
	switch {
	case b.Asks == AskJoin || b.Asks == AskFetch:
		o.reason = s.invited(ctx, b)
	case b.Role() == pki.RoleConsumer:
		if err := s.consumer.Throw(ctx, b); err != nil {
			o.reason = err.Error()
		}
	default:
		o.reason, o.thrown = s.provided(ctx, cancel, b)
	}
	o.took, o.beside = time.Since(began), other.saw()
	o.grown = s.memory("VmHWM") - before
	return o
}

// invited lets the victim join, or who would be it fetch its backup, by a token of a hostile inviter.
func (s *scene) invited(ctx context.Context, b *Bomb) string {
	s.Helper()
	token, err := s.inviter.Invite(ctx, b)
	if err != nil {
		s.Fatal(err)
	}
	if b.Asks == AskFetch {
		key, err := backup.NewKey()
		if err != nil {
			s.Fatal(err)
		}
		_, err = server.FetchBackup(ctx, server.Fetch{Token: token, Key: key, Dir: s.TempDir()})
		return fmt.Sprint(err)
	}
	_, err = s.victim.Tree.Call(ctx, &apiv1.CallRequest{Path: "/links", Function: "join", Texts: map[string]string{"token": token, "mount": "/worse"}})
	return fmt.Sprint(err)
}

// provided lets the provider throw a bomb, asks the victim for what the bomb comes as an answer to, and is what the victim says: to whoever asked, or of the link.
func (s *scene) provided(ctx context.Context, cancel context.CancelFunc, b *Bomb) (reason string, thrown bool) {
	at := s.text("/links/evil-provider:last_problem_at")
	select {
	case <-s.provider.Thrown():
	default:
	}
	var came atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_ = s.provider.Throw(ctx, b) // the victim ends the connection
			if b.Reason != "" || came.Load() || len(s.provider.Thrown()) > 0 {
				return
			}
			<-time.After(20 * time.Millisecond) // it has not let go of the connection before
		}
	}()
	defer func() {
		cancel()
		<-done
	}()
	asked, began := b.Asks == Nothing, time.Now()
	for time.Since(began) < 7*time.Second {
		select {
		case <-s.provider.Thrown():
			thrown = true
			came.Store(true)
		case <-time.After(20 * time.Millisecond):
		}
		if thrown && !asked && (b.Asks == AskInspect || s.text("/links/evil-provider:state") == "up") {
			asked, reason = true, s.ask(b.Asks)
		}
		if now := s.text("/links/evil-provider:last_problem_at"); now != at {
			if problem := s.text("/links/evil-provider:last_problem"); strings.Contains(problem, Shunned) {
				at = now
			} else if !strings.Contains(reason, b.Reason) || b.Reason == "" && b.Asks == Nothing {
				reason = problem
			}
		}
		ready := thrown && asked
		if b.Asks == AskBackup {
			ready = ready && time.Since(began) > 2*time.Second
		}
		if ready && b.Reason == "" || b.Reason != "" && strings.Contains(reason, b.Reason) {
			break
		}
	}
	return reason, thrown || b.Reason != ""
}

// ask asks the victim for something that a hostile provider answers, and is what it told whoever asked.
func (s *scene) ask(q Question) string {
	ctx, cancel := context.WithTimeout(s.Context(), 5*time.Second)
	defer cancel()
	var err error
	tree := s.victim.Tree
	switch q {
	case AskSet:
		_, err = tree.Set(ctx, &apiv1.SetRequest{Address: "/evil/a:note", Text: "x"})
	case AskKept:
		_, err = tree.Set(ctx, &apiv1.SetRequest{Address: "/evil/a:note", Text: "x", Until: "1s"})
	case AskCall:
		_, err = tree.Call(ctx, &apiv1.CallRequest{Path: "/evil/a", Function: "poke"})
	case AskExplain:
		_, err = tree.Call(ctx, &apiv1.CallRequest{Path: "/system", Function: "explain_right", Texts: map[string]string{"user": "admin", "address": "/evil/a:note"}})
	case AskInspect:
		_, err = tree.Call(ctx, &apiv1.CallRequest{Path: "/links/evil-provider", Function: "explain"})
	default:
		return ""
	}
	if err != nil {
		return err.Error()
	}
	return "done"
}

// sweep lets the provider take back what it told.
func (s *scene) sweep() {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 9*time.Second)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_ = s.provider.Throw(ctx, Sweep()) // the victim ends the connection, or did not hear it
		}
	}()
	s.until("what the hostile provider told is gone", 9*time.Second, func() bool { return s.text("/mounts/evil-provider:state") == "withdrawn" })
	cancel()
	<-done
}

// sentAll asks that each type of message that a link carries was really sent, and each field of their oneofs.
func (s *scene) sentAll() {
	s.Helper()
	sent := map[string]bool{}
	for _, name := range slices.Concat(s.provider.Sent(), s.consumer.Sent(), s.inviter.Sent()) {
		sent[name] = true
	}
	for _, name := range Wanted() {
		if !sent[name] {
			s.Errorf("no bomb sent a %s", name)
		}
	}
}

// drawn are as few bombs as it takes to aim at each type of message, and some more, in the order in which all of them are thrown.
func drawn(rng *rand.Rand) (some []*Bomb) {
	all := Bombs()
	left := map[string]bool{}
	for _, name := range Wanted() {
		left[name] = true
	}
	hits := func(b *Bomb) (n int) {
		for _, aim := range b.Aims {
			if left[aim] {
				n++
			}
		}
		return n
	}
	shuffled := slices.Clone(all)
	rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	take := func(b *Bomb) {
		some = append(some, b)
		for _, aim := range b.Aims {
			delete(left, aim)
		}
		shuffled = slices.DeleteFunc(shuffled, func(other *Bomb) bool { return other == b })
	}
	for len(left) > 0 {
		take(slices.MaxFunc(shuffled, func(a, b *Bomb) int { return hits(a) - hits(b) }))
	}
	for _, b := range slices.Clone(shuffled[:min(everyday, len(shuffled))]) {
		take(b)
	}
	slices.SortFunc(some, func(a, b *Bomb) int { return slices.Index(all, a) - slices.Index(all, b) })
	return some
}

// chosen are the bombs of this run: all before a release, the one that BOMB names, else a share by a seed.
func chosen(t *testing.T) []*Bomb {
	t.Helper()
	if full() {
		Within = 3 * time.Second
	}
	if only := os.Getenv("BOMB"); only != "" {
		return slices.DeleteFunc(Bombs(), func(b *Bomb) bool { return b.Name != only })
	}
	if full() || os.Getenv("AIMS") != "" {
		return Bombs()
	}
	seed := rand.Uint64()
	if text := os.Getenv("BANYAN_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("BANYAN_SEED=%d", seed)
	return drawn(rand.New(rand.NewPCG(seed, 0)))
}

// Neighbours that are let in and then send what no node sends are refused with a reason, each one in little memory, while the API answers and the link of the
// honest neighbour moves on. What is outside of where they are mounted is the same afterwards. Everyday a share of the bombs is thrown, with TRIALS=full all.
func TestHostilePeers(t *testing.T) {
	bombs := chosen(t)
	s := besiege(t)
	own, other := s.own(), s.lookOn()
	for _, b := range bombs {
		o := s.throw(b, other)
		if !o.thrown || !strings.Contains(o.reason, b.Reason) { // the end of the connection before it may have been told last
			t.Logf("again: %s: %.200q", b.Name, o.reason)
			o = s.throw(b, other)
		}
		t.Logf("%-9s %-32s %6.1f MiB %8s  others %6s  %s", b.Role(), b.Name, float64(o.grown)/(1<<20), o.took.Round(time.Millisecond), o.beside.slowest.Round(time.Millisecond), plain(o.reason))
		if !o.thrown {
			t.Errorf("%s: the victim did not let it be thrown: %.300q", b.Name, o.reason)
		} else if !strings.Contains(o.reason, b.Reason) {
			t.Errorf("%s: the victim says %.300q, want %q", b.Name, o.reason, b.Reason)
		}
		if o.grown > mostGrown {
			t.Errorf("%s: the victim's memory grew by %d MiB", b.Name, o.grown>>20)
		}
		if broken := o.beside.broken(); broken != "" {
			t.Errorf("%s: beside it %s", b.Name, broken)
		}
		if b.Role() == pki.RoleProvider && b.Asks != AskJoin && b.Asks != AskFetch {
			s.sweep()
		}
	}
	if len(bombs) > 1 {
		s.sentAll()
	}
	if now := s.own(); !slices.Equal(now, own) {
		t.Errorf("the victim's own tree is\n%s\nit was\n%s", strings.Join(now, "\n"), strings.Join(own, "\n"))
	}
}

// plain is the beginning of a reason, without what rings.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '.'
		}
		return r
	}, text[:min(len(text), 100)])
}
