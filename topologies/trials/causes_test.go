package trials

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"banyan/proto/apiv1"
)

// The twelve causes for which a link goes down, each once, in six networks beside each other: what is seen at both ends and further up, and when; that the
// link comes back by itself; and that nothing else was touched.
func TestCauses(t *testing.T) {
	var jobs []*cause
	for i := range causes {
		jobs = append(jobs, &causes[i])
	}
	// What takes longest is begun first.
	slices.SortStableFunc(jobs, func(a, b *cause) int { return int(b.takes - a.takes) })
	tryCauses(t, 6, jobs)
}

// Each cause 40 times in eight networks, or as often as fits into BANYAN_SOAK.
func TestSoakCauses(t *testing.T) {
	most, err := time.ParseDuration(os.Getenv("BANYAN_SOAK"))
	if err != nil {
		t.Skip("BANYAN_SOAK does not say for how long")
	}
	until := time.Now().Add(most)
	var jobs []*cause
	for range 40 {
		for i := range causes {
			jobs = append(jobs, &causes[i])
		}
	}
	tryCauses(t, 8, jobs, func() bool { return time.Now().After(until) })
}

// tryCauses tries causes in as many networks as are wanted, one after the other in each, until there are none left or it is over.
func tryCauses(t *testing.T, networks int, jobs []*cause, over ...func() bool) {
	if os.Getuid() != 0 {
		t.Fatal("network namespaces need root")
	}
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	needs(t, map[string]string{"ip": "iproute2", "nft": "nftables", "tinyproxy": "tinyproxy-bin", "dnsmasq": "dnsmasq-base"})
	program := faultyProgram(t)
	queue := make(chan *cause, len(jobs))
	for _, job := range jobs {
		queue <- job
	}
	close(queue)
	results := &tally{by: map[string]*tallied{}}
	var work sync.WaitGroup
	for i := range networks {
		work.Go(func() {
			t.Run(fmt.Sprintf("network %d", i), func(t *testing.T) {
				n := startCaused(t, i, program)
				for job := range queue {
					if len(over) > 0 && over[0]() {
						return
					}
					t.Run(job.name, func(t *testing.T) {
						o := outcome{failed: true}
						defer func() { results.note(job.name, o) }() // also when it is given up
						o = n.try(t, job)
					})
					if !n.sound {
						n.mend()
					}
				}
			})
		})
	}
	work.Wait()
	results.print(t)
}

// lasts is how long a cause lasts at least.
const lasts = 7 * time.Second

// outcome is what one try came to.
type outcome struct {
	failed bool
	seen   time.Duration // until both ends showed it, and the tier above
	back   time.Duration // after its end until all was as before
}

// tally is what all tries came to, by cause.
type tally struct {
	mu sync.Mutex // guards by
	by map[string]*tallied
}

type tallied struct {
	tries, failed int
	seen, back    []time.Duration
}

func (y *tally) note(name string, o outcome) {
	y.mu.Lock()
	defer y.mu.Unlock()
	of := y.by[name]
	if of == nil {
		of = &tallied{}
		y.by[name] = of
	}
	of.tries++
	if o.failed {
		of.failed++
		return
	}
	of.seen, of.back = append(of.seen, o.seen), append(of.back, o.back)
}

func (y *tally) print(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-24s %5s  %-17s  %-17s  %s\n", "CAUSE", "TRIES", "NOTICED (WORST)", "BACK (WORST)", "FAILURES")
	for i := range causes {
		of := y.by[causes[i].name]
		if of == nil {
			of = &tallied{}
		}
		fmt.Fprintf(&b, "%-24s %5d  %-17s  %-17s  %d\n", causes[i].name, of.tries, spread(of.seen), spread(of.back), of.failed)
	}
	t.Log("\n" + b.String())
}

// spread is the median and the greatest of some times.
func spread(of []time.Duration) string {
	if len(of) == 0 {
		return "-"
	}
	slices.Sort(of)
	return fmt.Sprintf("%.1f s (%.1f s)", of[len(of)/2].Seconds(), of[len(of)-1].Seconds())
}

// try is one round: the cause, what is seen, its end, and what is as before.
func (n *caused) try(t *testing.T, c *cause) (o outcome) {
	trial := *n.trial
	trial.T = t
	t.Cleanup(func() {
		for _, node := range []string{"north", "berlin"} {
			if t.Failed() {
				t.Logf("%s says %s since %s: %s; last problem %s at %s", node, n.says(node, "state"), n.says(node, "since"), n.says(node, "detail"), n.says(node, "last_problem"), n.says(node, "last_problem_at"))
			}
		}
	})
	here := *n
	here.trial, here.lab = &trial, &lab{t: t, prefix: n.lab.prefix, subnet: n.lab.subnet}
	n.sound = false
	defer func() { n.moved, n.seed, n.proxy = here.moved, here.seed, here.proxy }()
	if c.prepare != nil {
		c.prepare(&here)
	}
	others := here.others()
	began := time.Now()
	c.begin(&here)
	if c.process {
		began = time.Now() // it takes a while until a process has ended
	}
	if c.steady {
		o.seen = here.skewed(began)
	} else {
		o.seen = here.noticed(c, began)
	}
	here.change(c)
	before := here.counted()
	c.end(&here)
	ended := time.Now()
	here.until("everything is good again, and as berlin has it", 60*time.Second, func() bool { return here.allGood() && here.same() == nil })
	o.back = time.Since(ended)
	crossed := here.counted() - before
	// What berlin's devices say for the first time after a start crosses too, at any moment in which it has just been started for another cause: less
	// than a third of a listing. A second listing would be all of it.
	if !c.process && crossed > n.listing/2 {
		t.Errorf("%d bytes crossed after the cut, the whole listing took %d", crossed, n.listing)
	}
	if now := here.others(); now != others {
		t.Errorf("other links were disturbed: before %s, after %s", others, now)
	}
	if c.steady {
		here.until("the clocks agree again", 60*time.Second, func() bool { return here.skew("north") < time.Second && here.skew("berlin") < time.Second })
	}
	if c.restore != nil {
		c.restore(&here)
	}
	if c.process {
		here.quiet()
	}
	t.Logf("network %d: seen after %s, back after %s, %d bytes (a listing has %d)", n.index, o.seen.Round(time.Millisecond), o.back.Round(time.Millisecond), crossed, n.listing)
	o.failed, n.sound = t.Failed(), true
	return o
}

// quiet waits until berlin, which reads all of its devices after a start, has told what it has read: it would be counted with the next cause.
func (n *caused) quiet() {
	n.Helper()
	last := n.counted()
	n.until("berlin has told what it read after its start", 30*time.Second, func() bool {
		<-time.After(time.Second)
		before := last
		last = n.counted()
		return last-before < 4<<10
	})
}

// mend brings the network to rest after a try that failed, for the next one.
func (n *caused) mend() {
	n.heal()
	n.clockOff(0)
	n.environment["berlin"] = nil
	n.stop("berlin")
	_ = exec.Command("ip", "netns", "exec", n.lab.space("berlin"), "ip", "addr", "add", n.berlinAddress()+"/24", "dev", n.device("berlin")).Run()
	_ = exec.Command("ip", "netns", "exec", n.lab.space("berlin"), "ip", "route", "add", n.northAddress()+"/32", "dev", n.device("berlin"), "src", n.berlinAddress()).Run()
	n.resolves(n.linkAddress())
	n.restart("berlin")
	n.setLink("proxy", "none")
	n.until("everything is good again after a try that failed", 90*time.Second, func() bool { return n.allGood() && n.same() == nil })
	n.sound = true
}

// noticed waits until both ends and HQ show that the link is down, each in its time, and until an end says why.
func (n *caused) noticed(c *cause, began time.Time) time.Duration {
	n.Helper()
	type sight struct {
		what   string
		within time.Duration
		holds  func() bool
	}
	down := func(node string) func() bool {
		return func() bool { s := n.says(node, "state"); return s != "" && s != "up" }
	}
	sights := []sight{
		{"north shows its link down", seenAtNorth, down("north")},
		{"north shows berlin stale", seenAtNorth, func() bool { return quality(n.get("north", "/sites/berlin/devices/c0:seed")) == "uncertain/stale" }},
		{"HQ shows berlin stale", seenAtHQ, func() bool { return quality(n.get("hq", at("berlin", "/devices/c0:seed"))) == "uncertain/stale" }},
	}
	speaks := n.dials() // the end that is asked why
	if c.name == "kill" || c.name == "restart elsewhere" {
		speaks = "north"
	} else {
		sights = append(sights, sight{"berlin shows its link down", seenAtNorth, down("berlin")})
	}
	for len(sights) > 0 {
		sights = slices.DeleteFunc(sights, func(s sight) bool { return s.holds() })
		for _, s := range sights {
			if took := time.Since(began); took > s.within {
				n.Fatalf("not within %s: %s", s.within, s.what)
			}
		}
		<-time.After(25 * time.Millisecond)
	}
	seen := time.Since(began)
	for time.Since(began) < lasts { // it stays so
		if q := quality(n.get("hq", at("berlin", "/devices/c0:seed"))); q != "uncertain/stale" || n.says("north", "state") == "up" {
			n.Fatalf("berlin is %s at HQ, and its link is %s at north, while it cannot be reached", q, n.says("north", "state"))
		}
		if q := quality(n.get("hq", at("hamburg", "/devices/moves:updates"))); q != "good" {
			n.Fatalf("hamburg is %s at HQ", q)
		}
		<-time.After(100 * time.Millisecond)
	}
	why := ""
	n.until("the link says why", 20*time.Second, func() bool {
		if at, err := time.Parse(time.RFC3339Nano, n.says(speaks, "last_problem_at")); err == nil && at.After(began.Add(-time.Second)) {
			why = n.says(speaks, "last_problem") + "; "
		}
		why += n.says(speaks, "detail")
		return slices.ContainsFunc(c.reasons, func(word string) bool { return strings.Contains(why, word) })
	})
	n.Logf("%s says: %s", speaks, why)
	return seen
}

// others is how long the links stand that nothing happens to.
func (n *caused) others() string {
	return n.get("hamburg", "/links/north:since").GetValue().GetStringValue() + " " + n.get("north", "/links/hamburg:since").GetValue().GetStringValue() +
		" " + n.get("north", "/links/hq:since").GetValue().GetStringValue()
}

// change changes something at berlin while nobody above sees it.
func (n *caused) change(c *cause) {
	n.Helper()
	if c.name == "kill" || c.name == "restart elsewhere" {
		return
	}
	n.seed++
	for i := range 3 {
		if _, err := n.at("berlin").Tree.Set(n.Context(), &apiv1.SetRequest{Address: fmt.Sprintf("/devices/c%d:seed", i), Text: fmt.Sprint(100 + n.seed)}); err != nil {
			n.Fatal(err)
		}
	}
	var err error
	if n.seed%2 == 1 {
		_, err = n.at("berlin").Tree.Remove(n.Context(), &apiv1.RemoveRequest{Path: "/devices/c3"})
	} else {
		_, err = n.at("berlin").Tree.Create(n.Context(), &apiv1.CreateRequest{Path: "/devices/c3", Kind: "simulator"})
	}
	if err != nil {
		n.Fatal(err)
	}
}

// skew is how far a link says that the other end's clock is off, as a length.
func (n *caused) skew(node string) time.Duration {
	by, err := time.ParseDuration(n.says(node, "skew"))
	if err != nil {
		return time.Hour
	}
	return by.Abs()
}

// skewed waits until both ends name the wrong clock, with the link up and everything good all through, every sample in its order, and the times that the
// source said.
func (n *caused) skewed(began time.Time) time.Duration {
	n.Helper()
	since := n.says("north", "since")
	counts := n.counts()
	hour := ""
	n.until("both ends name the wrong clock", seenAtNorth, func() bool {
		by, err := time.ParseDuration(n.says("north", "skew"))
		if err != nil || (by.Abs()-time.Hour).Abs() > 10*time.Second {
			return false
		}
		hour = by.String()
		first, second := "ahead of", "behind"
		if by < 0 {
			first, second = second, first
		}
		return said(n.says("north", "detail"), "the clock of berlin is", first) && said(n.says("berlin", "detail"), "the clock of north is", second)
	})
	seen := time.Since(began)
	for range 40 {
		if !n.allGood() {
			n.Fatalf("not everything is good with a wrong clock: %s: %s; %s: %s", n.says("north", "state"), n.says("north", "detail"), n.says("berlin", "state"), n.says("berlin", "detail"))
		}
		<-time.After(100 * time.Millisecond)
	}
	if now := n.says("north", "since"); now != since {
		n.Errorf("the link went down when the clock was set: it is up since %s, it was since %s", now, since)
	}
	r := n.get("hq", at("berlin", "/devices/moves:updates"))
	if source, err := time.Parse(time.RFC3339Nano, r.GetTime()); err != nil || (time.Since(source).Abs()-time.Hour).Abs() > time.Minute {
		n.Errorf("with a clock that is off by %s the time of a value is %s", hour, r.GetTime())
	}
	found, err := n.at("north").Tree.Call(n.Context(), &apiv1.CallRequest{Path: "/system", Function: "doctor"})
	if err != nil || !said(found.String(), "the clock of link berlin is ", " this one") {
		n.Errorf("the doctor says %s, %v", found, err)
	}
	if lost := counts(); lost != "" {
		n.Error(lost)
	}
	return seen
}

func said(text string, words ...string) bool {
	return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(text, word) })
}

// counts watches a counter of berlin's at HQ from now on. What it returns ends that, and tells what is wrong with the order: each sample is one more than the
// one before.
func (n *caused) counts() func() string {
	n.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := n.at("hq").Tree.Watch(ctx, &apiv1.WatchRequest{Addresses: []string{at("berlin", "/devices/moves/group-000:p000")}})
	if err != nil {
		cancel()
		n.Fatal(err)
	}
	problem := make(chan string, 1)
	go func() {
		last, samples, wrong := 0.0, 0, ""
		for stream.Receive() {
			for _, r := range stream.Msg().GetReadings() {
				now := r.GetValue().GetNumberValue()
				if samples > 0 && now != last && now != last+1 {
					wrong = fmt.Sprintf("after %v came %v", last, now)
				}
				last, samples = now, samples+1
			}
		}
		if samples < 5 {
			wrong = fmt.Sprintf("only %d samples came", samples)
		}
		problem <- wrong
	}()
	return func() string {
		cancel()
		defer func() { _ = stream.Close() }()
		return <-problem
	}
}
