package server

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"banyan/doorstep"
	"banyan/model"
	"banyan/tree"

	"golang.org/x/time/rate"
)

// How much of the interface for people and programs one caller gets. Strangers are whoever shows no valid token, by the address that they come from.
const (
	strangerRate  = 20 // requests a second from one address
	strangerBurst = 100
	mostStrangers = 65_536 // addresses that are counted apart; all others share one count
	forgetAfter   = time.Minute
)

// settings of the node, and of a user, where 0 is what the node says.
const (
	settingAPIRate    = "api_rate"
	settingAPIBurst   = "api_burst"
	settingAPIStreams = "api_streams"

	defaultAPIRate    = 2000 // `banyan tree` of a large tree, shown every second, is that much
	defaultAPIBurst   = 4000
	defaultAPIStreams = 50
	maxAPIRate        = 1_000_000
)

// limitSettings are those of the node's own context.
func limitSettings() []model.Setting {
	return []model.Setting{
		{Name: settingAPIRate, Type: model.TypeInt64, Unit: "1/s", Right: model.RightAdminister, Default: model.Int64(defaultAPIRate),
			Description: "How many requests a second each session and each token may make of the API in the long run; 0 is no limit."},
		{Name: settingAPIBurst, Type: model.TypeInt64, Right: model.RightAdminister, Default: model.Int64(defaultAPIBurst),
			Description: "How many requests a session or token that was quiet may make at once."},
		{Name: settingAPIStreams, Type: model.TypeInt64, Right: model.RightAdminister, Default: model.Int64(defaultAPIStreams),
			Description: "How many streams (watch, follow, export) each session and each token may have open; 0 is no limit but that of the node."},
	}
}

// userRateSetting is that of a user.
func userRateSetting() model.Setting {
	return model.Setting{
		Name: settingAPIRate, Type: model.TypeInt64, Unit: "1/s", Right: model.RightAdminister, Default: model.Int64(0),
		Description: "How many requests a second each session and each token of the user may make of the API, at most twice as many at once; 0 is what the node says.",
	}
}

// checkLimits refuses limits that are none.
func checkLimits(p *Proposal) error {
	for _, name := range []string{settingAPIRate, settingAPIBurst, settingAPIStreams} {
		if v, given := p.Given(name); given && (v.Int64() < 0 || v.Int64() > maxAPIRate) {
			return model.Errorf(model.KindInvalid, "%s is between 0 and %d, not %d", name, maxAPIRate, v.Int64())
		}
	}
	return nil
}

// limits counts requests by who makes them, and streams: one place for all ways in. What a caller has left is kept with the session or the token, so
// that a request costs a look at a clock; what a caller may is looked up again only after settings have changed.
type limits struct {
	tree    *tree.Tree
	now     func() time.Time
	changes atomic.Uint64 // of the node's or a user's settings, counted from 1
	refused atomic.Int64

	mu        sync.Mutex // guards the rest
	strangers map[string]*stranger
	crowd     stranger // those for whom there is no room
	swept     time.Time
}

// allowance is what a session or a token may, and has left.
type allowance struct {
	mu      sync.Mutex // guards the rest
	changes uint64     // as of which it is
	rate    *rate.Limiter
	streams int64 // most that may be open
}

// stranger is what an address has left.
type stranger struct {
	rate *rate.Limiter
	used time.Time
}

func newLimits(t *tree.Tree, now func() time.Time) *limits {
	l := &limits{tree: t, now: now, strangers: map[string]*stranger{}}
	l.crowd.rate = rate.NewLimiter(strangerRate, strangerBurst)
	l.changes.Store(1)
	return l
}

// observe marks that limits may have changed.
func (l *limits) observe(changed []tree.Context, _ []tree.Tombstone) {
	for i := range changed {
		if kind := changed[i].Schema.Kind; kind == KindNode || kind == KindUser {
			l.changes.Add(1)
			return
		}
	}
}

// tooMany says that a caller asks too often, and how long that lasts.
type tooMany struct {
	what  *model.Error
	after time.Duration
}

// Error is what happened.
func (t tooMany) Error() string { return t.what.Error() }

// Unwrap is the same with its kind.
func (t tooMany) Unwrap() error { return t.what }

// RetryAfter is how long to wait.
func (t tooMany) RetryAfter() time.Duration { return t.after }

// admit counts a request of a caller, or of a stranger by the address, HOST:PORT, or refuses it.
func (l *limits) admit(c *Caller, address string) error {
	now := l.now()
	if c.allowance == nil {
		return l.admitStranger(doorstep.SourceOf(address), now)
	}
	a := c.allowance
	a.mu.Lock()
	defer a.mu.Unlock()
	l.refresh(a, c.Principal.Chain.Person.Name, now)
	return l.take(a.rate, now, "the setting "+settingAPIRate+" of "+systemPath.String()+" or of the user says how many are allowed")
}

// refresh brings an allowance up to date; its mutex is held.
func (l *limits) refresh(a *allowance, user string, now time.Time) {
	changes := l.changes.Load()
	if a.changes == changes {
		return
	}
	limit, burst, streams := l.allowed(user)
	if a.rate == nil {
		a.rate = rate.NewLimiter(limit, burst)
	}
	if a.rate.Limit() != limit || a.rate.Burst() != burst {
		a.rate.SetLimitAt(now, limit)
		a.rate.SetBurstAt(now, burst)
	}
	a.streams, a.changes = streams, changes
}

// allowed is what each session and token of a user may.
func (l *limits) allowed(user string) (limit rate.Limit, burst int, streams int64) {
	perSecond, atOnce := int64(defaultAPIRate), int64(defaultAPIBurst)
	streams = defaultAPIStreams
	if c, there := l.tree.Lookup(systemPath); there && c.Schema.SettingIndex(settingAPIRate) >= 0 {
		perSecond, atOnce = c.SettingNamed(settingAPIRate).Int64(), c.SettingNamed(settingAPIBurst).Int64()
		streams = c.SettingNamed(settingAPIStreams).Int64()
	}
	if c, enabled := enabledUser(l.tree, user); enabled {
		if own := c.SettingNamed(settingAPIRate).Int64(); own > 0 {
			perSecond, atOnce = own, 2*own
		}
	}
	if perSecond == 0 {
		return rate.Inf, 0, streams
	}
	return rate.Limit(perSecond), int(max(1, atOnce)), streams
}

func (l *limits) admitStranger(source string, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.strangers[source]
	if of == nil {
		of = l.newStranger(source, now)
	}
	of.used = now
	return l.take(of.rate, now, "who shows a valid token may ask more often")
}

// newStranger makes room for an address; where there is none it counts with all others that have none. The mutex is held.
func (l *limits) newStranger(source string, now time.Time) *stranger {
	if now.Sub(l.swept) >= forgetAfter {
		l.swept = now
		for other, of := range l.strangers {
			if now.Sub(of.used) >= forgetAfter { // it has all again: the burst is back within seconds
				delete(l.strangers, other)
			}
		}
	}
	if len(l.strangers) >= mostStrangers {
		return &l.crowd
	}
	of := &stranger{rate: rate.NewLimiter(strangerRate, strangerBurst)}
	l.strangers[source] = of
	return of
}

// take takes one request out of what is left.
func (l *limits) take(left *rate.Limiter, now time.Time, remedy string) error {
	if left.AllowN(now, 1) {
		return nil
	}
	l.refused.Add(1)
	wait := time.Duration((1 - left.TokensAt(now)) / float64(left.Limit()) * float64(time.Second))
	return tooMany{&model.Error{
		Kind: model.KindExhausted, Detail: "too many requests", Remedy: "try again in " + max(wait.Round(time.Millisecond), time.Millisecond).String() + "; " + remedy,
	}, wait}
}

// admitStream counts a stream of a caller, or refuses it; leaveStream counts it out again.
func (l *limits) admitStream(c *Caller) error {
	if c.allowance == nil {
		return nil
	}
	c.allowance.mu.Lock()
	l.refresh(c.allowance, c.Principal.Chain.Person.Name, l.now())
	most := c.allowance.streams
	c.allowance.mu.Unlock()
	if open := c.streams.Add(1); most > 0 && open > most {
		c.streams.Add(-1)
		l.refused.Add(1)
		return &model.Error{
			Kind: model.KindExhausted, Detail: strconv.FormatInt(most, 10) + " streams are open with this session or token, no more are allowed",
			Remedy: "end some, or watch several addresses with one; the setting " + settingAPIStreams + " of " + systemPath.String() + " says how many are allowed",
		}
	}
	return nil
}

// leaveStream counts a stream out.
func (l *limits) leaveStream(c *Caller) {
	if c.allowance != nil {
		c.streams.Add(-1)
	}
}
