package server

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/proto/apiv1/apiv1connect"
	"banyan/tree"

	"connectrpc.com/connect"
	"golang.org/x/time/rate"
)

// stoppedClock is a clock that a test moves.
type stoppedClock struct{ at atomic.Int64 }

func (c *stoppedClock) now() time.Time                 { return time.Unix(0, c.at.Load()) }
func (c *stoppedClock) pass(d time.Duration) time.Time { return time.Unix(0, c.at.Add(int64(d))) }

// limited is a node whose limits go by a clock that stands still.
func limited(t *testing.T) (*running, *stoppedClock) {
	n := startNode(t)
	clock := &stoppedClock{}
	clock.at.Store(time.Now().UnixNano())
	n.limits.now = clock.now
	return n, clock
}

func (r *running) setLimits(rate, burst, streams int64) {
	r.must(setRequest("/system", settingAPIRate, model.Int64(rate)))
	r.must(setRequest("/system", settingAPIBurst, model.Int64(burst)))
	r.must(setRequest("/system", settingAPIStreams, model.Int64(streams)))
}

// TestTooManyRequests: what a token may is one count over REST, JSON and gRPC, and another one for each token; it comes back with time, and a change
// of the settings holds at once.
func TestTooManyRequests(t *testing.T) {
	n, clock := limited(t)
	other := n.login(AdminName, n.password)
	n.setLimits(10, 6, 0)
	ways := []func(token string) int{
		func(token string) int { return n.rest(token, http.MethodGet, "/session", "").status },
		func(token string) int {
			status, _ := n.post(apiv1connect.SessionServiceWhoProcedure, token, "{}")
			return status
		},
		func(token string) int {
			_, err := n.api(token, connect.WithGRPC()).Get(t.Context(), &apiv1.GetRequest{Address: "/system:api_rate"})
			if err == nil {
				return http.StatusOK
			}
			if connect.CodeOf(err) == connect.CodeResourceExhausted {
				return http.StatusTooManyRequests
			}
			return 0
		},
	}
	for round := range 2 {
		for i := range 9 {
			want := http.StatusOK
			if i >= 6 {
				want = http.StatusTooManyRequests
			}
			if got := ways[i%3](n.token); got != want {
				t.Errorf("round %d, request %d: %d", round, i, got)
			}
		}
		if got := ways[round](other); got != http.StatusOK {
			t.Errorf("another token: %d", got)
		}
		clock.pass(600 * time.Millisecond)
	}
	clock.pass(-600 * time.Millisecond)
	answer := n.rest(n.token, http.MethodGet, "/session", "")
	if p := answer.problem(t); p.Kind != "exhausted" || answer.header.Get("Retry-After") != "1" || p.Remedy == "" {
		t.Errorf("%v %s", answer.header, answer.raw)
	}
	_, err := n.api(n.token).Get(t.Context(), &apiv1.GetRequest{Address: "/system:api_rate"})
	var refused *connect.Error
	if !asConnect(err, &refused) || refused.Meta().Get("Retry-After") != "1" {
		t.Errorf("%v", err)
	}
	n.setLimits(0, 1, 0)
	for range 20 {
		if got := ways[0](n.token); got != http.StatusOK {
			t.Errorf("without a limit: %d", got)
		}
	}
	for _, wrong := range []int64{-1, maxAPIRate + 1} {
		if _, err := n.execute(n.admin(), setRequest("/system", settingAPIRate, model.Int64(wrong))); model.KindOf(err) != model.KindInvalid {
			t.Errorf("%d: %v", wrong, err)
		}
	}
}

func asConnect(err error, to **connect.Error) bool {
	e, is := err.(*connect.Error) //nolint:errorlint // clients return it as it is
	*to = e
	return is
}

// TestRateOfAUser goes before that of the node.
func TestRateOfAUser(t *testing.T) {
	n, _ := limited(t)
	n.user("robot", rule("/devices/**", model.RightView))
	token := n.login("robot", "correct horse")
	n.must(setRequest("/users/robot", settingAPIRate, model.Int64(2)))
	var statuses []int
	for range 6 {
		statuses = append(statuses, n.rest(token, http.MethodGet, "/session", "").status)
	}
	for i, status := range statuses {
		if (status == http.StatusOK) != (i < 4) {
			t.Errorf("%v", statuses)
			break
		}
	}
}

// TestStrangersAreCountedByAddress: what they may ask is less, wrong tokens and tries to log in count, and a valid token is not held up by them.
func TestStrangersAreCountedByAddress(t *testing.T) {
	n, clock := limited(t)
	refused := 0
	for i := range strangerBurst + 20 {
		status := 0
		switch i % 3 {
		case 0:
			status = n.rest("", http.MethodGet, "/node", "").status
		case 1:
			status = n.rest(sessionPrefix+strconv.Itoa(i), http.MethodGet, "/session", "").status
		case 2:
			status, _ = n.post(apiv1connect.NodeServiceInfoProcedure, "", "{}")
		}
		if status == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused < 15 || refused > 22 { // the login of the test itself came before
		t.Errorf("%d of %d were refused", refused, strangerBurst+20)
	}
	if answer := n.rest("", http.MethodPost, "/session", `{"name":"admin","password":"x"}`); answer.status != http.StatusTooManyRequests {
		t.Errorf("%d %s", answer.status, answer.raw)
	}
	if response, err := n.client.Get(n.url() + "/healthz"); err != nil || response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") != "1" {
		t.Errorf("%v, %v", response, err)
	} else {
		_ = response.Body.Close()
	}
	if answer := n.rest(n.token, http.MethodGet, "/node", ""); answer.status != http.StatusOK {
		t.Errorf("%d %s", answer.status, answer.raw)
	}
	clock.pass(time.Second)
	if answer := n.rest("", http.MethodGet, "/node", ""); answer.status != http.StatusOK {
		t.Errorf("%d %s", answer.status, answer.raw)
	}
}

// TestStrangersHaveBoundedRoom: more addresses than are counted apart share one count, and whoever has gone makes room.
func TestStrangersHaveBoundedRoom(t *testing.T) {
	n, clock := limited(t)
	address := func(i int) string {
		return "10." + strconv.Itoa(i>>16) + "." + strconv.Itoa(i>>8&255) + "." + strconv.Itoa(i&255) + ":1"
	}
	for i := range mostStrangers + 50 {
		if err := n.limits.admit(&Caller{}, address(i)); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	var err error
	for i := range strangerBurst {
		err = n.limits.admit(&Caller{}, address(mostStrangers+i))
	}
	if model.KindOf(err) != model.KindExhausted || len(n.limits.strangers) != mostStrangers {
		t.Errorf("%v, %d addresses", err, len(n.limits.strangers))
	}
	clock.pass(forgetAfter)
	if err := n.limits.admit(&Caller{}, address(mostStrangers+1000)); err != nil || len(n.limits.strangers) != 1 {
		t.Errorf("%v, %d addresses", err, len(n.limits.strangers))
	}
	// All addresses of one host of IPv6 are one.
	for i := range strangerBurst {
		err = n.limits.admit(&Caller{}, "[2001:db8::"+strconv.FormatInt(int64(i+1), 16)+"]:1")
	}
	if err != nil || model.KindOf(n.limits.admit(&Caller{}, "[2001:db8::ffff:1]:1")) != model.KindExhausted {
		t.Errorf("%v, and one more is let in", err)
	}
}

// TestTooManyStreams of one token, whatever they are; one that ends makes room.
func TestTooManyStreams(t *testing.T) {
	n := startNode(t)
	n.setLimits(0, 1, 3)
	first := n.watch(n.token, "/system:name")
	first.next()
	n.watch(n.token, "/system:name").next()
	n.follow(n.token, "/system").next()
	if answer := n.rest(n.token, http.MethodGet, "/watch?address=/system:name", ""); answer.status != http.StatusTooManyRequests {
		t.Errorf("%d %s", answer.status, answer.raw)
	}
	if err := n.watch(n.token, "/system:name").end(); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Error(err)
	}
	other := n.login(AdminName, n.password)
	n.watch(other, "/system:name").next()
	n.setLimits(0, 1, 4)
	if s := n.events(n.client, n.token, "/system:name"); s.status != http.StatusOK || s.next().name != "snapshot" {
		t.Errorf("%d", s.status)
	}
}

// TestRequestsRaceForWhatIsLeft: of many at the same time exactly as many get in as may.
func TestRequestsRaceForWhatIsLeft(t *testing.T) {
	n, _ := limited(t)
	n.setLimits(1, 100, 0)
	caller := &Caller{Principal: access.Principal{}, allowance: &allowance{}}
	var in atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 50 {
				if n.limits.admit(caller, "") == nil {
					in.Add(1)
				}
			}
		})
	}
	all.Wait()
	if in.Load() != 100 {
		t.Errorf("%d got in", in.Load())
	}
}

// BenchmarkAdmit is what counting costs a request of a caller, and of a stranger.
func BenchmarkAdmit(b *testing.B) {
	l := newLimits(tree.New(tree.Config{}), time.Now)
	caller := &Caller{allowance: &allowance{changes: 1, rate: rate.NewLimiter(maxAPIRate, maxAPIRate)}}
	for name, c := range map[string]*Caller{"caller": caller, "stranger": {}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_ = l.admit(c, "127.0.0.1:1")
			}
		})
	}
}
