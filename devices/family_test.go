package devices_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"banyan/devices"
	"banyan/model"
)

// under is a device behind another one.
func under(n uint64, name, parent string, interval time.Duration) devices.Spec {
	s := spec(n, name, interval)
	s.Settings[devices.SettingParent] = model.Ref(model.Address{Path: model.MustPath("/devices/" + parent)})
	return s
}

func (n *node) why(id uint64) string {
	return n.records[id].Named(devices.VariableLastError).Value.Text()
}

func (n *node) since(id uint64) model.Time {
	return n.records[id].Named(devices.VariableStateSince).Value.Time()
}

var suspended = model.Quality{Level: model.Bad, Reason: model.ReasonParent}

// TestChildrenRestWhileTheirParentIsSilent: nobody waits for what cannot answer, values stay readable, and all come back soon.
func TestChildrenRestWhileTheirParentIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := run(t, devices.Config{Random: devicesRandom()})
		gateway := n.driver.device("gw")
		specs := []devices.Spec{spec(1, "gw", 10*time.Second), under(2, "switch", "gw", 10*time.Second)}
		for i := range 20 {
			specs = append(specs, under(uint64(10+i), fmt.Sprint("pc", i), "switch", 10*time.Second))
		}
		n.want(specs...)
		pass(25 * time.Second)
		if n.state(1) != devices.StateOK || n.state(2) != devices.StateOK || n.state(10) != devices.StateOK || n.why(10) != "" {
			t.Fatalf("at first: %s, %s, %s", n.state(1), n.state(2), n.state(10))
		}
		before := n.records[10].Named("reading")

		gateway.does(obey)
		pass(11 * time.Second)
		silent, rest := n.since(1), n.since(10)
		if n.state(1) != devices.StateNoResponse || n.state(2) != devices.StateSuspended || n.state(10) != devices.StateSuspended {
			t.Fatalf("after the gateway fell silent: %s, %s, %s", n.state(1), n.state(2), n.state(10))
		}
		if got, want := n.why(2), "its parent is no-response since "+silent.Std().UTC().Format(time.RFC3339); got != want {
			t.Errorf("the switch says %q, expected %q", got, want)
		}
		if got, want := n.why(10), "its parent is suspended since "; !strings.HasPrefix(got, want) || rest < silent {
			t.Errorf("what is behind the switch says %q, expected %q", got, want)
		}
		after := n.records[10].Named("reading")
		if quality, _ := n.records[10].Failed(); quality != suspended || after.Quality != suspended || after.Value.Int64() < before.Value.Int64() || after.Source < before.Source {
			t.Errorf("the last reading was %+v and is %+v, marked %s", before, after, quality)
		}
		polls := len(n.driver.device("pc0").polled())
		pass(5 * time.Minute)
		if now := len(n.driver.device("pc0").polled()); now != polls {
			t.Errorf("a suspended device was polled %d times", now-polls)
		}
		if n.since(10) != rest {
			t.Errorf("suspended since %s, before it was %s", n.since(10), rest)
		}
		_, err := n.PollNow(t.Context(), id(10))
		wantKind(t, "poll_now while suspended", err, model.KindUnavailable, "/devices/pc0:poll_now: the device is suspended: its parent is suspended since")
		if stats := n.Stats(); stats.States[devices.StateSuspended] != 21 {
			t.Errorf("%+v", stats)
		}

		gateway.does(nil)
		if _, err := n.PollNow(t.Context(), id(1)); err != nil {
			t.Fatal(err)
		}
		answered := time.Now()
		synctest.Wait()
		if n.state(2) != devices.StateStarting || n.why(2) != "" {
			t.Errorf("before it was polled again the switch is %s: %q", n.state(2), n.why(2))
		}
		pass(4100 * time.Millisecond) // two levels, 2 s each
		instants := map[time.Duration]int{}
		for i := range 20 {
			polls := n.driver.device(fmt.Sprint("pc", i)).polled()
			last := polls[len(polls)-1]
			if n.state(uint64(10+i)) != devices.StateOK || last.Before(answered) {
				t.Errorf("pc%d is %s 4 s after the gateway answered; polled %s after it", i, n.state(uint64(10+i)), last.Sub(answered))
			}
			instants[last.Sub(answered)]++
		}
		if len(instants) < 10 {
			t.Errorf("20 devices are polled again at %d instants: no spread", len(instants))
		}
		if u := n.records[10].Named("reading"); u.Quality.Level != model.Good {
			t.Errorf("after it all the reading is %+v", u)
		}
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestPollThatRunsIsBrokenOff: a poll that began before the parent fell silent says nothing about the device.
func TestPollThatRunsIsBrokenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := run(t, devices.Config{})
		gateway, child := n.driver.device("gw"), n.driver.device("pc")
		n.want(spec(1, "gw", time.Hour), under(2, "pc", "gw", time.Hour))
		pass(10 * time.Second)
		gateway.does(obey)
		child.does(func(ctx context.Context, _ devices.Publisher) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(900 * time.Millisecond):
				t.Error("the poll went on")
				return nil
			}
		})
		asked := make(chan error, 1)
		go func() { _, _ = n.PollNow(t.Context(), id(1)) }()
		pass(500 * time.Millisecond)
		go func() { _, err := n.PollNow(t.Context(), id(2)); asked <- err }()
		pass(600 * time.Millisecond)
		if n.state(1) != devices.StateNoResponse || n.state(2) != devices.StateSuspended {
			t.Errorf("%s, %s", n.state(1), n.state(2))
		}
		wantKind(t, "poll_now", <-asked, model.KindUnavailable, "its parent is no-response")
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestStreamsRest: what is suspended does not stream, and streams again afterwards.
func TestStreamsRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := run(t, devices.Config{})
		gateway, child := n.driver.device("gw"), n.driver.device("pc")
		runs, running := 0, false
		child.onStream = func(ctx context.Context, _ devices.Publisher) error {
			runs++
			running = true
			<-ctx.Done()
			running = false
			return nil // as a device may that was told to end
		}
		n.want(spec(1, "gw", 10*time.Second), under(2, "pc", "gw", 10*time.Second))
		pass(15 * time.Second)
		for round := 1; round <= 2; round++ {
			if runs != round || !running {
				t.Errorf("round %d: %d runs, running: %v", round, runs, running)
			}
			gateway.does(obey)
			pass(15 * time.Second)
			if running {
				t.Errorf("round %d: the stream runs although its device is suspended", round)
			}
			gateway.does(nil)
			pass(15 * time.Second)
		}
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestNoErrorTextNamesAParent: what a device says of itself is read where its parent may be hidden.
func TestNoErrorTextNamesAParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := run(t, devices.Config{Random: devicesRandom()})
		n.driver.device("tk-gateway").does(obey)
		n.want(
			spec(1, "tk-gateway", time.Second), under(2, "behind", "tk-gateway", time.Second), under(3, "orphan", "tk-absent", time.Second),
			under(4, "one", "tk-two", time.Second), under(5, "tk-two", "tk-three", time.Second), under(6, "tk-three", "one", time.Second),
		)
		pass(25 * time.Second)
		for id, state := range map[uint64]string{2: devices.StateSuspended, 3: devices.StateMisconfigured, 4: devices.StateMisconfigured} {
			if why := n.why(id); n.state(id) != state || why == "" || strings.Contains(why, "tk-") {
				t.Errorf("device %d is %s: %q", id, n.state(id), why)
			}
		}
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestParentsThatCannotBe are misconfigurations of those who name them, and of nobody else; they end when the cause does.
func TestParentsThatCannotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := run(t, devices.Config{})
		n.want(
			under(1, "a", "b", time.Second), under(2, "b", "c", time.Second), under(3, "c", "a", time.Second),
			under(4, "self", "self", time.Second), under(5, "orphan", "nobody", time.Second), under(6, "below", "a", time.Second), spec(7, "free", time.Second),
		)
		pass(5 * time.Second)
		circle := "parent: the device is its own parent, by way of others"
		for id, want := range map[uint64]string{1: circle, 2: circle, 3: circle, 4: "parent: the device is its own parent", 5: "parent: the device that it names is not there"} {
			if n.state(id) != devices.StateMisconfigured || n.why(id) != want {
				t.Errorf("device %d is %s: %q, expected %q", id, n.state(id), n.why(id), want)
			}
		}
		if n.state(6) != devices.StateOK || n.state(7) != devices.StateOK {
			t.Errorf("those in no circle are %s, %s", n.state(6), n.state(7))
		}
		n.want(
			spec(1, "a", time.Second), under(2, "b", "c", time.Second), under(3, "c", "a", time.Second),
			under(5, "orphan", "nobody", time.Second), spec(8, "nobody", time.Second), spec(7, "free", time.Second),
		)
		pass(5 * time.Second)
		for _, id := range []uint64{1, 2, 3, 5, 8} {
			if n.state(id) != devices.StateOK || n.why(id) != "" {
				t.Errorf("device %d is %s: %q", id, n.state(id), n.why(id))
			}
		}
		// A parent that goes takes its children's polls with it, and says so.
		n.want(under(5, "orphan", "nobody", time.Second), spec(7, "free", time.Second))
		pass(5 * time.Second)
		if n.state(5) != devices.StateMisconfigured {
			t.Errorf("without its parent the device is %s", n.state(5))
		}
		for _, bad := range []model.Value{model.RefOutside(), model.Ref(model.Address{}), model.Ref(model.Address{Path: model.MustPath("/devices/a"), Name: "state"})} {
			wantKind(t, "check", n.Check("fake", devices.Settings{devices.SettingParent: bad}), model.KindInvalid, "parent: it names a device of this node")
		}
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestNewSettingsOfTheParentDoNotWakeItsChildren: a parent that is started anew is silent until it has answered.
func TestNewSettingsOfTheParentDoNotWakeItsChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := run(t, devices.Config{})
		n.driver.device("gw").does(obey)
		n.driver.device("gw2").does(obey)
		child := under(2, "pc", "gw", time.Second)
		n.want(spec(1, "gw", 10*time.Second), child)
		pass(30 * time.Second)
		polls := len(n.driver.device("pc").polled())
		parent := spec(1, "gw", 10*time.Second)
		parent.Settings["name"] = model.String("gw2")
		n.want(parent, child)
		if n.state(1) != devices.StateStarting || n.state(2) != devices.StateSuspended {
			t.Errorf("%s, %s", n.state(1), n.state(2))
		}
		pass(30 * time.Second)
		if now := len(n.driver.device("pc").polled()); now != polls {
			t.Errorf("the child was polled %d times", now-polls)
		}
		// Switched off, the parent says nothing any more, and the child is tried.
		parent.Settings[devices.SettingEnabled] = model.Bool(false)
		n.want(parent, child)
		pass(5 * time.Second)
		if n.state(1) != devices.StateDisabled || n.state(2) != devices.StateOK {
			t.Errorf("%s, %s", n.state(1), n.state(2))
		}
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}
