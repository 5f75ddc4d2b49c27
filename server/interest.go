package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"banyan/follow"
	"banyan/model"
	"banyan/peering"
	"banyan/tree"
)

// Settings and variables of how often the samples of a mount are wanted.
const (
	settingInterval = "interval"
	settingDeadband = "deadband"
	variableWanted  = "wanted"

	settingBeat       = "beat"
	variableDetection = "detection"
)

// Words for an interval that is none.
const (
	intervalLive  = "live"
	intervalNever = "never"
)

const (
	leastInterval = 100 * time.Millisecond
	mostInterval  = 366 * 24 * time.Hour
	// lookLingers is how long something is wanted live after nobody looks at it any more: who goes from one page to the next comes back.
	lookLingers = 5 * time.Second
	// interestPause is how far apart what is wanted is worked out anew at least. The first time is at once.
	interestPause = 200 * time.Millisecond
)

var paceSettings = []model.Setting{
	{Name: settingInterval, Type: model.TypeString, Default: model.String(intervalLive), Right: model.RightAdminister,
		Description: "How often samples are wanted while nobody looks: live (each as it comes), a least time between two of one variable like 10m, or never. Whatever is watched, here or by a node above, comes live as long as it is."},
	{Name: settingDeadband, Type: model.TypeFloat64, Default: model.Float64(0), Right: model.RightAdminister,
		Description: "While nobody looks: a number that differs by less from the one told last is not told."},
}

var wantedVariable = model.Variable{
	Name: variableWanted, Type: model.TypeString, Description: "At which interval samples are asked for now, and what of them at another one.",
}

var beatSetting = model.Setting{
	Name: settingBeat, Type: model.TypeDuration, Right: model.RightAdminister,
	Description: "How far apart heartbeats are at least, 1s to 5m; by default as the node has it, which is 2s. Of the two nodes the one counts that wants fewer. A cut is noticed after two.",
}

var detectionVariable = model.Variable{
	Name: variableDetection, Type: model.TypeDuration, Description: "After how long without an answer to a heartbeat the link counts as cut: two of them, as both nodes agreed.",
}

// Bounds of how far apart heartbeats are.
const (
	leastBeat = time.Second
	mostBeat  = 5 * time.Minute
)

// checkBeat refuses heartbeats that are too many or too few.
func checkBeat(p *Proposal) error {
	if v, given := p.Given(settingBeat); given && !v.IsNone() {
		return CheckBeat(v.Duration())
	}
	return nil
}

// CheckBeat refuses what the setting beat of a link cannot be.
func CheckBeat(beat time.Duration) error {
	if beat < leastBeat || beat > mostBeat {
		return &model.Error{Kind: model.KindInvalid, Name: settingBeat, Detail: fmt.Sprintf("%v is outside of %v to %v", beat, leastBeat, mostBeat)}
	}
	return nil
}

// interests works out at which pace the samples of each mount are wanted: as it is set, and as often as those want it who look at something below it,
// which are streams of this node and the nodes that it shows itself to.
type interests struct {
	links *links
	wake  chan struct{} // capacity 1

	mu    sync.Mutex // guards looks
	looks map[*look]bool
}

// look is somebody who wants samples live.
type look struct {
	at, below []model.Path
	until     time.Time // it has ended, and counts until then
}

func newInterests(l *links) *interests {
	return &interests{links: l, wake: make(chan struct{}, 1), looks: make(map[*look]bool)}
}

// Look wants contexts, and what is at and below some paths, live until end is called.
func (l *links) Look(at, below []model.Path) (end func()) {
	i := l.interests
	made := &look{at: at, below: below}
	i.mu.Lock()
	i.looks[made] = true
	i.mu.Unlock()
	signal(i.wake)
	return sync.OnceFunc(func() {
		i.mu.Lock()
		made.until = l.node.cfg.Now().Add(lookLingers)
		i.mu.Unlock()
		signal(i.wake)
	})
}

// run keeps what is asked for true until ctx ends.
func (i *interests) run(ctx context.Context) {
	for ctx.Err() == nil {
		next := time.NewTimer(i.apply(i.links.node.cfg.Now()))
		pause := time.NewTimer(interestPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		select {
		case <-i.wake:
		case <-next.C:
		case <-ctx.Done():
		}
		pause.Stop()
		next.Stop()
	}
}

// apply asks for what is wanted now, and says after how long that is another.
func (i *interests) apply(now time.Time) time.Duration {
	demand, next := i.demand(now)
	l := i.links
	l.mu.RLock()
	defer l.mu.RUnlock()
	for id, m := range l.mounts {
		c := l.contextOf(id)
		if c == nil {
			continue
		}
		m.mirror.Want(wantedOf(paceOf(c), demand, m.path).Rules())
	}
	return next
}

// wantedOf is what is wanted of a mount: its own pace, and what others want below it.
func wantedOf(pace follow.Pace, demand *peering.Demand, mount model.Path) *peering.Demand {
	wanted := peering.NewDemand(pace)
	if !pace.Live() {
		wanted.Raise(demand.Below(mount))
	}
	return wanted
}

// wishOf is what a consumer wants of this node's tree, of which it sees what lies in reach, below a root.
func wishOf(root model.Path, rules []follow.InterestRule, reach []model.Path) *peering.Demand {
	return peering.DemandOf(rules).Under(root).Within(reach...)
}

// demand is what all want who look, and after how long that is another since somebody's last look lingers no more.
func (i *interests) demand(now time.Time) (*peering.Demand, time.Duration) {
	next := time.Hour
	demand := peering.NewDemand(follow.Never)
	i.mu.Lock()
	for made := range i.looks {
		if left := made.until.Sub(now); !made.until.IsZero() {
			if left <= 0 {
				delete(i.looks, made)
				continue
			}
			next = min(next, left)
		}
		for _, path := range made.at {
			demand.RaiseAt(path, follow.Pace{})
		}
		for _, path := range made.below {
			demand.RaiseBelow(path, follow.Pace{})
		}
	}
	i.mu.Unlock()
	for _, w := range i.links.hub.Wishes() {
		demand.Raise(wishOf(w.View.Root, w.Rules, i.links.reachOf(w.View)))
	}
	return demand, next
}

// reachOf is where what a view shows lies: an interest in the rest of the tree is not its consumer's.
func (l *links) reachOf(v *follow.View) []model.Path {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if reach, known := l.reaches[v.ID]; known {
		return reach
	}
	return []model.Path{v.Root}
}

// reach is at and below which paths patterns select something that is seen from a root.
func reach(root model.Path, patterns []model.Pattern) (paths []model.Path) {
	for _, p := range patterns {
		switch prefix := p.Prefix(); {
		case root.Contains(prefix):
			paths = append(paths, prefix)
		case prefix.Contains(root):
			paths = append(paths, root)
		}
	}
	return paths
}

// paceOf is the pace that a mount is set to.
func paceOf(mount *tree.Context) follow.Pace {
	interval, err := readInterval(mount.SettingNamed(settingInterval).Text())
	if err != nil || interval < 0 {
		return follow.Pace{Interval: interval}
	}
	return follow.Pace{Interval: interval, Deadband: mount.SettingNamed(settingDeadband).Float64()}
}

// readInterval reads an interval as a setting has it: 0 for live, below 0 for never.
func readInterval(text string) (time.Duration, error) {
	switch text {
	case "", "0", intervalLive:
		return 0, nil
	case intervalNever:
		return follow.Never.Interval, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < leastInterval || d > mostInterval {
		return 0, &model.Error{
			Kind: model.KindInvalid, Name: settingInterval, Detail: "the interval is neither live nor never nor a time of 100ms to 8784h",
			Remedy: "write it like 30s or 10m",
		}
	}
	return d, nil
}

// writeInterval writes an interval as a setting has it.
func writeInterval(d time.Duration) string {
	switch {
	case d < 0:
		return intervalNever
	case d == 0:
		return intervalLive
	}
	return model.Duration(d).String()
}

// wantedText says at which intervals samples of a mount are asked for.
func wantedText(rules []follow.InterestRule) string {
	if len(rules) == 0 {
		return intervalLive
	}
	rest := rules
	text := intervalLive
	if rules[0].Pattern.Equal(model.Everything) {
		text, rest = writeInterval(rules[0].Pace.Interval), rules[1:]
	}
	const most = 3
	for n, r := range rest {
		if n == most {
			return text + fmt.Sprintf(" and %d more", len(rest)-most)
		}
		text += fmt.Sprintf(", %s at %s", writeInterval(r.Pace.Interval), r.Pattern)
	}
	return text
}

// checkPace refuses a pace that is none.
func checkPace(p *Proposal) error {
	return CheckPace(p.After(settingInterval).Text(), p.After(settingDeadband).Float64())
}

// CheckPace refuses what the settings interval and deadband of a mount cannot be.
func CheckPace(interval string, deadband float64) error {
	if _, err := readInterval(interval); err != nil {
		return err
	}
	if !(deadband >= 0 && deadband < 1e300) {
		return &model.Error{Kind: model.KindInvalid, Name: settingDeadband, Detail: "a deadband is 0 or more"}
	}
	return nil
}
