package peering

import (
	"fmt"
	"testing"
	"time"

	"banyan/follow"
	"banyan/model"
)

// joinPaced begins a session in which samples are wanted at a pace, with heartbeats as far apart as each end wants them.
func joinPaced(t *testing.T, m *Mirror, of *node, now model.Time, rules []follow.InterestRule, consumerBeat, providerBeat time.Duration) *wire {
	t.Helper()
	m.Want(rules)
	w := &wire{t: t, now: now, consumer: NewConsumer(m, "link", []byte("0123456789abcdef"), consumerBeat)}
	w.provider = NewProvider(ProviderConfig{
		Tree: of.tree, View: of.view, Node: of.hop.Node, Name: of.hop.Name, Epoch: of.epoch, Chain: of.chain, Beat: providerBeat, Marks: of.marksOf(m),
	})
	t.Cleanup(w.provider.Close)
	w.settle()
	return w
}

func ruleOf(pattern string, pace follow.Pace) follow.InterestRule {
	return follow.InterestRule{Pattern: model.MustPattern(pattern), Pace: pace}
}

// A link on which nobody looks carries heartbeats and no samples, is up all the same, and is live at once where somebody looks.
func TestNobodyLooks(t *testing.T) {
	hq, berlin := newNode("hq"), newNode("berlin")
	for i := range 100 {
		berlin.put(fmt.Sprintf("/p%02d", i))
		berlin.publish(fmt.Sprintf("/p%02d", i), 0, "x", 1)
	}
	m := mirrorOf(hq, berlin, "/berlin")
	never := []follow.InterestRule{ruleOf("/**", follow.Never)}
	w := joinPaced(t, m, berlin, 100*second, never, time.Minute, testBeat)
	told, bytes := w.samples, w.bytes
	if told != 200 {
		t.Fatalf("with the definitions %d samples were told", told)
	}
	for i := range 600 {
		for p := range 100 {
			berlin.publish(fmt.Sprintf("/p%02d", p), float64(i), "y", model.Time(i+2))
		}
		w.pass(time.Second)
		if !w.consumer.Up(w.now) || !w.provider.Up(w.now) {
			t.Fatalf("after %d s the link is not up", i)
		}
	}
	if w.samples != told {
		t.Errorf("%d samples were told to nobody", w.samples-told)
	}
	if at, known := berlin.marksOf(m).resume(m.place.Samples); !known || at < berlin.tree.Head()-100*2*60 {
		t.Errorf("the consumer stands at %d of %d", at, berlin.tree.Head())
	}
	if spent := w.bytes - bytes; spent > 10*200 {
		t.Errorf("ten minutes took %d bytes", spent)
	}
	want(t, hq, "/berlin/p07:load", "0 good")

	m.Want(append(never, ruleOf("/p07/**", follow.Pace{})))
	w.settle()
	want(t, hq, "/berlin/p07:load", "599 good")
	want(t, hq, "/berlin/p08:load", "0 good")
	berlin.publish("/p07", 1000, "z", 1000)
	w.settle()
	want(t, hq, "/berlin/p07:load", "1000 good")
	m.Want(never)
	w.settle()
	berlin.publish("/p07", 1001, "z", 1001)
	w.settle()
	want(t, hq, "/berlin/p07:load", "1000 good")
	m.Want(nil)
	w.settle()
	for p := range 100 {
		if at := fmt.Sprintf("/berlin/p%02d:load", p); p != 7 {
			want(t, hq, at, "599 good")
		}
	}
	want(t, hq, "/berlin/p07:load", "1001 good")
}

// What was held back in one session is owed in the next.
func TestHeldBackSurvivesACut(t *testing.T) {
	hq, berlin := newNode("hq"), newNode("berlin")
	berlin.put("/a")
	berlin.publish("/a", 1, "one", 1)
	m := mirrorOf(hq, berlin, "/berlin")
	slow := []follow.InterestRule{ruleOf("/**", follow.Pace{Interval: time.Hour})}
	w := joinPaced(t, m, berlin, 100*second, slow, testBeat, testBeat)
	berlin.publish("/a", 2, "two", 2)
	w.pass(testBeat)
	berlin.publish("/a", 3, "three", 3)
	w.pass(testBeat)
	want(t, hq, "/berlin/a:load", "2 good")
	w.consumer.Cut()
	want(t, hq, "/berlin/a:load", "2 uncertain/stale")
	w = joinPaced(t, m, berlin, 200*second, slow, testBeat, testBeat)
	want(t, hq, "/berlin/a:load", "3 good")
	before := w.samples
	berlin.publish("/a", 4, "four", 4)
	w.pass(testBeat)
	if w.samples != before {
		t.Error("after the first the next one did not wait")
	}
	w.pass(time.Hour)
	want(t, hq, "/berlin/a:load", "4 good")
	w.consumer.Cut()
	m.Want(nil)
	w = join(t, m, berlin, 300*second)
	want(t, hq, "/berlin/a:load", "4 good")
	if w.samples != 2 {
		t.Errorf("%d samples were told anew", w.samples)
	}
	w.consumer.Cut()
	berlin.publish("/a", 5, "five", 5)
	w = join(t, m, berlin, 400*second)
	if want(t, hq, "/berlin/a:load", "5 good"); w.samples != 2 {
		t.Errorf("live again, %d samples were told at a resumption", w.samples)
	}
}

// Of the two ends the one that wants fewer heartbeats has its way, both are told, and a cut is noticed after two.
func TestBeatIsAgreed(t *testing.T) {
	for _, c := range []struct{ consumer, provider, want time.Duration }{
		{2 * time.Second, 2 * time.Second, 2 * time.Second}, {time.Minute, 2 * time.Second, time.Minute}, {2 * time.Second, time.Minute, time.Minute},
		{time.Hour, time.Second, mostBeat},
	} {
		hq, berlin := newNode("hq"), newNode("berlin")
		berlin.put("/a")
		berlin.publish("/a", 1, "one", 1)
		w := joinPaced(t, mirrorOf(hq, berlin, "/berlin"), berlin, 100*second, nil, c.consumer, c.provider)
		if a, b := w.consumer.beats.interval, w.provider.beats.interval; a != c.want || b != c.want {
			t.Errorf("%v and %v are agreed as %v and %v", c.consumer, c.provider, a, b)
		}
		w.pass(c.want / 2)
		down := w.consumer.beats.echoed + model.Time(2*c.want)
		if at, _ := w.consumer.DownAt(); at != down || w.consumer.Up(down) || !w.consumer.Up(down-1) || w.provider.Up(w.provider.beats.echoed+model.Time(2*c.want)) {
			t.Errorf("with %v a cut is noticed at %d", c.want, at)
		}
	}
}

// A provider of version 1 is never asked for a pace after its welcome, and everything that it tells counts.
func TestVersion1IsNotAsked(t *testing.T) {
	hq, berlin := newNode("hq"), newNode("berlin")
	berlin.put("/a")
	m := mirrorOf(hq, berlin, "/berlin")
	c := NewConsumer(m, "link", []byte("0123456789abcdef"), testBeat)
	p := newProvider(berlin)
	defer p.Close()
	hello, _ := c.Next()
	hello.GetHello().Version = 1
	if err := p.Receive(hello, 100*second); err != nil {
		t.Fatal(err)
	}
	welcome, _ := p.Next(100 * second)
	if err := c.receive(welcome.Frame, 0, 100*second); err != nil {
		t.Fatal(err)
	}
	m.Want([]follow.InterestRule{ruleOf("/**", follow.Never)})
	c.Tick(100 * second)
	for frame, some := c.Next(); some; frame, some = c.Next() {
		if frame.GetInterest() != nil {
			t.Error("it is asked for a pace")
		}
	}
	if c.Paced() || m.paced {
		t.Error("it is taken to tell less than everything")
	}
}

// A hostile interest ends the session and costs nothing.
func TestHostileInterest(t *testing.T) {
	many := make([]follow.InterestRule, mostTakenRules+1)
	for name, rules := range map[string][]follow.InterestRule{
		"too many":          many,
		"negative deadband": {ruleOf("/**", follow.Pace{Deadband: -1})},
	} {
		if _, err := readInterest(interestFrame(rules)); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
	bad := interestFrame([]follow.InterestRule{ruleOf("/**", follow.Pace{})})
	bad.Rules[0].Pattern = "/a//b"
	if _, err := readInterest(bad); err == nil {
		t.Error("a pattern that is none is taken")
	}
	far := interestFrame([]follow.InterestRule{ruleOf("/**", follow.Pace{Interval: 1<<63 - 1})})
	rules, err := readInterest(far)
	if err != nil || rules[0].Pace.Interval != longestInterval {
		t.Errorf("an interval without end is taken as %v, %v", rules, err)
	}
}
