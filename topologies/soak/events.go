package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"banyan/proto/apiv1"
	"banyan/topologies"
)

// disturbance is something that happens to a network. It returns when it is over, but for what has to come back by itself.
type disturbance struct {
	name   string
	weight int
	member func(ctx context.Context, m *member, random *rand.Rand, lasts time.Duration) error
	link   func(ctx context.Context, l *link, random *rand.Rand, lasts time.Duration) error
	dies   bool // the process ends
}

var disturbances = []disturbance{
	{name: "kills", weight: 3, member: kill, dies: true},
	{name: "restarts", weight: 1, member: restart, dies: true},
	{name: "pauses", weight: 3, member: pause},
	{name: "rotated roots", weight: 1, member: rotate},
	{name: "users edited", weight: 2, member: editUsers},
	{name: "devices come and gone", weight: 2, member: editDevices},
	{name: "cuts", weight: 4, link: cutLine},
	{name: "lines reset", weight: 2, link: resetLine},
	{name: "rehearsals", weight: 2, link: rehearse},
	{name: "exports edited", weight: 4, link: editExport},
	{name: "links renewed", weight: 1, link: renew},
}

// storm lets things happen, several at once, until its time is over, and waits until all of them are.
func (w *world) storm(ctx context.Context, lasts time.Duration) {
	var work sync.WaitGroup
	until := time.Now().Add(lasts)
	for time.Now().Before(until) && ctx.Err() == nil {
		most := max(min(15*time.Second, lasts/2), 2*time.Second)
		d, length := w.draw(), time.Second+time.Duration(w.random.Int64N(int64(most)))
		if w.cfg.each > 0 {
			length = w.cfg.each
		}
		random := rand.New(rand.NewPCG(w.random.Uint64(), 1))
		if d.member != nil {
			w.disturbMember(ctx, &work, d, w.members[w.random.IntN(len(w.members))], random, length)
		} else {
			w.disturbLink(ctx, &work, d, w.links[w.random.IntN(len(w.links))], random, length)
		}
		wait(ctx, time.Duration((0.3+w.random.Float64())*2*float64(time.Second)))
	}
	work.Wait()
}

// draw chooses what happens next.
func (w *world) draw() disturbance {
	some := slices.Clone(disturbances)
	if len(w.cfg.only) > 0 {
		some = slices.DeleteFunc(some, func(d disturbance) bool { return !slices.Contains(w.cfg.only, d.name) })
	}
	total := 0
	for _, d := range some {
		total += d.weight
	}
	at := w.random.IntN(total)
	for _, d := range some {
		if at -= d.weight; at < 0 {
			return d
		}
	}
	return some[0]
}

func (w *world) disturbMember(ctx context.Context, work *sync.WaitGroup, d disturbance, m *member, random *rand.Rand, lasts time.Duration) {
	m.mu.Lock()
	free := !m.busy && !(d.dies && m.stays)
	m.busy = m.busy || free
	m.mu.Unlock()
	if !free {
		return
	}
	work.Go(func() {
		w.log("%s at %s for %s", d.name, m.name, lasts.Round(time.Millisecond))
		err := d.member(ctx, m, random, lasts)
		m.mu.Lock()
		m.busy, m.changed = false, time.Now()
		m.mu.Unlock()
		w.happened(d.name, m.name, err)
	})
}

func (w *world) disturbLink(ctx context.Context, work *sync.WaitGroup, d disturbance, l *link, random *rand.Rand, lasts time.Duration) {
	l.mu.Lock()
	free := !l.busy
	l.busy = true
	l.mu.Unlock()
	if !free {
		return
	}
	work.Go(func() {
		w.log("%s at %s for %s", d.name, l, lasts.Round(time.Millisecond))
		err := d.link(ctx, l, random, lasts)
		l.mu.Lock()
		l.busy, l.changed = false, time.Now()
		l.mu.Unlock()
		w.happened(d.name, l.String(), err)
	})
}

// happened counts what came to an end. What could not be done is no fault of the network's: a node that stands still takes no edits.
func (w *world) happened(what, where string, err error) {
	w.log("%s at %s: over (%v)", what, where, err)
	if err != nil && judge(err) == refused {
		w.say("%s at %s: %s", what, where, err)
	}
	if err != nil {
		what += " (given up)"
	}
	w.books.note(what)
}

// process is the node's process.
func (m *member) process(ctx context.Context) (*os.Process, error) {
	info, err := ask(ctx, m, func(c *topologies.Client) func(context.Context, *apiv1.InfoRequest) (*apiv1.InfoResponse, error) {
		return c.Node.Info
	}, &apiv1.InfoRequest{})
	if err != nil {
		return nil, err
	}
	return os.FindProcess(int(info.GetProcessId()))
}

func kill(ctx context.Context, m *member, random *rand.Rand, lasts time.Duration) error {
	p, err := m.process(ctx)
	if err != nil {
		return err
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	wait(ctx, lasts/2)
	return m.start()
}

func restart(_ context.Context, m *member, _ *rand.Rand, _ time.Duration) error {
	began := time.Now()
	if err := m.world.network.Stop(context.Background(), m.name); err != nil {
		return err
	}
	if took := time.Since(began); took > 10*time.Second {
		m.world.books.fail("R7 a stop takes 10 s at most", "%s took %s", m.name, took.Round(time.Millisecond))
	}
	return m.start()
}

// start starts a node again, which has to work.
func (m *member) start() error {
	m.mu.Lock()
	m.life++
	m.mu.Unlock()
	m.forget()
	err := m.world.network.Start(context.Background(), m.name)
	if err != nil {
		m.world.books.fail("D1 a node that was killed comes back", "%s: %s", m.name, err)
	}
	return err
}

func pause(ctx context.Context, m *member, _ *rand.Rand, lasts time.Duration) error {
	p, err := m.process(ctx)
	if err != nil {
		return err
	}
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	wait(ctx, lasts)
	return p.Signal(syscall.SIGCONT)
}

func rotate(ctx context.Context, m *member, _ *rand.Rand, _ time.Duration) error {
	_, err := m.call(ctx, "/system", "rotate_root", nil)
	return err
}

// editUsers lets people come and go. A user of whom nobody knows whether he is there is looked for afterwards.
func editUsers(ctx context.Context, m *member, random *rand.Rand, _ time.Duration) error {
	path := fmt.Sprintf("/users/u%d", random.IntN(10))
	m.mu.Lock()
	there := m.users[path]
	m.mu.Unlock()
	var err error
	if there {
		err = m.remove(ctx, path)
	} else {
		err = m.create(ctx, path, "user", map[string]string{"password": fmt.Sprintf("soaked-%016x", random.Uint64())})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch judge(err) {
	case done:
		m.users[path] = !there
	case unknown:
		delete(m.users, path)
		return err
	}
	return nil // there or gone already, by a try whose fate was unknown
}

// editDevices lets contexts come and go, which all mirrors have to follow.
func editDevices(ctx context.Context, m *member, random *rand.Rand, _ time.Duration) error {
	path := fmt.Sprintf("/devices/some-%d", random.IntN(4))
	if _, err := m.get(ctx, path+":seed"); err == nil {
		return m.remove(ctx, path)
	}
	return m.create(ctx, path, "simulator", map[string]string{"poll_interval": "1h", "points": fmt.Sprint(random.IntN(50))})
}

// cutLine makes the line silent, in one direction or both. In time both ends must show it.
func cutLine(ctx context.Context, l *link, random *rand.Rand, lasts time.Duration) error {
	c := []cut{silent, silentIn, silentOut}[random.IntN(3)]
	before := l.upAtBothEnds(ctx)
	l.consumer.world.log("the line of %s falls %s", l, c)
	l.line.set(c)
	began := time.Now()
	wait(ctx, lasts)
	if lasts > seenWithin && before && ctx.Err() == nil {
		for m, path := range l.ends() {
			if state := m.says(ctx, path+":state"); state == "up" && m.undisturbed(began) {
				l.fail(m, "E6 a dead link shows in time", fmt.Sprintf("%s says up %s after the line fell %s", m.name, time.Since(began).Round(time.Millisecond), c))
			}
		}
	}
	if l.consumer.undisturbed(began) && before && lasts > seenWithin {
		if r, err := l.consumer.get(ctx, "/from/"+l.provider.name+setDevice+":seed"); err == nil && r.GetQuality() == "good" {
			l.fail(l.consumer, oldIsGood, fmt.Sprintf("%s says that all is good %s after the line fell %s", l.consumer.name, time.Since(began).Round(time.Millisecond), c))
		}
	}
	l.line.set(through)
	return nil
}

// seenWithin is how long a silence may go unseen: two heartbeats, a second, and what a busy machine takes.
const seenWithin = 8 * time.Second

// fail is about one end of a link, of which it says how it stands.
func (l *link) fail(m *member, promise, text string) {
	path := l.ends()[m]
	detail := m.says(context.Background(), path+":detail")
	m.world.books.fail(promise, "link %s: %s (%s)", l, text, detail)
}

// undisturbed reports whether nothing was done to the node since a time, so that what it says counts.
func (m *member) undisturbed(since time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.busy && m.changed.Before(since)
}

func (l *link) upAtBothEnds(ctx context.Context) bool {
	for m, path := range l.ends() {
		if m.says(ctx, path+":state") != "up" {
			return false
		}
	}
	return true
}

func resetLine(ctx context.Context, l *link, _ *rand.Rand, lasts time.Duration) error {
	l.line.set(refusing)
	wait(ctx, lasts/3)
	l.line.set(through)
	return nil
}

func rehearse(ctx context.Context, l *link, random *rand.Rand, lasts time.Duration) error {
	what := []string{"delay=200ms jitter=100ms", "loss=5%", "rate=20k", "block=in", "block=out", "cut", "refuse"}[random.IntN(7)]
	l.consumer.world.log("%s is rehearsed at %s", what, l)
	m := []*member{l.provider, l.consumer}[random.IntN(2)]
	lasts = max(lasts, time.Second).Round(time.Second)
	if _, err := m.call(ctx, l.ends()[m], "rehearse", map[string]string{"what": what, "for": lasts.String()}); err != nil {
		return err
	}
	wait(ctx, lasts+time.Second)
	return nil
}

// editExport narrows or widens what the provider shows, or what may be done with it.
func editExport(ctx context.Context, l *link, random *rand.Rand, _ time.Duration) error {
	paths := []string{everything, everything, "/devices/**", "/from/**", "/devices/written/**,/devices/counter", "/devices/moving/**,/from/*/devices/**"}
	rights := []string{"configure", "configure", "operate", "view"}
	name, text := "paths", paths[random.IntN(len(paths))]
	if random.IntN(3) == 0 {
		name, text = "right", rights[random.IntN(len(rights))]
	}
	return l.export(ctx, name, text)
}

// export sets a setting of the export until it is known that it is set.
func (l *link) export(ctx context.Context, name, text string) error {
	address := "/exports/" + l.consumer.name + ":" + name
	for {
		err := l.provider.set(ctx, address, text)
		if err == nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			if name == "paths" {
				l.paths = text
			} else {
				l.right = text
			}
			return nil
		}
		if ctx.Err() != nil || judge(err) == refused {
			return err
		}
		wait(ctx, time.Second) // it may have been done: it is done again
	}
}

// renew revokes a link, looks that what was mounted goes where the provider took it back, and makes the link anew.
func renew(ctx context.Context, l *link, random *rand.Rand, _ time.Duration) error {
	ends := []*member{l.provider, l.consumer}
	if random.IntN(2) == 0 {
		slices.Reverse(ends)
	}
	withdrawn := ends[0] == l.provider && l.upAtBothEnds(ctx)
	began := time.Now()
	if _, err := ends[0].call(ctx, l.ends()[ends[0]], "revoke", nil); err != nil && judge(err) == refused {
		return err
	}
	for withdrawn {
		_, err := l.consumer.get(ctx, "/from/"+l.provider.name+setDevice+":seed")
		if kind, told := kindOf(err); err != nil && told && strings.Contains(kind.String(), "not-found") {
			break
		}
		if time.Since(began) > time.Minute && l.consumer.undisturbed(began) && l.provider.undisturbed(began) {
			l.fail(l.consumer, "X2 revoking reaches every tier within 60 s", "what was mounted is still there a minute after the link was revoked at "+ends[0].name)
			break
		}
		if ctx.Err() != nil || time.Since(began) > 90*time.Second {
			break
		}
		wait(ctx, 200*time.Millisecond)
	}
	return l.anew(ctx, ends)
}

// anew removes all of a link at both ends and joins again, until that has worked. It is revoked first, at each end, since whoever only removes it is asked
// to; that it was done before does no harm.
func (l *link) anew(ctx context.Context, ends []*member) error {
	began := time.Now()
	for told := false; ; {
		err := error(nil)
		for _, m := range ends {
			name := strings.TrimPrefix(l.ends()[m], "/links/")
			if _, bad := m.call(ctx, l.ends()[m], "revoke", nil); judge(bad) == unknown {
				err = bad
			}
			for _, folder := range []string{"/exports/", "/mounts/", "/links/"} {
				if bad := m.remove(ctx, folder+name); bad != nil {
					err = bad
				}
			}
		}
		if err == nil {
			if err = l.join(ctx); err == nil {
				return nil
			}
		}
		if ctx.Err() != nil {
			return err
		}
		if time.Since(began) > time.Minute && !told {
			told = true
			l.consumer.world.books.fail("a link can be made anew", "link %s: a minute after it was revoked: %s", l, err)
		}
		wait(ctx, time.Second)
	}
}
