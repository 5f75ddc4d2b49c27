package rehearsal

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"banyan/model"
)

// Plan is what is done to a line, and when. It is a pure function of the time since its begin.
type Plan struct {
	Base  Effects // all the time
	Steps []Step  // one after the other, each over the base
	For   time.Duration
	Seed  uint64 // of what is left to chance
}

// Step waits, does something for a while, and does both again.
type Step struct {
	After  time.Duration // since the end of the step before
	For    time.Duration
	What   Effects
	Repeat int // how often in all, at least 1
}

// Bounds of a plan.
const (
	MostFor    = time.Hour
	mostSteps  = 64
	mostRepeat = 10_000
	leastStep  = 100 * time.Millisecond
)

// At is what is done at a time since the begin, and how long until that may change.
func (p *Plan) At(since time.Duration) (Effects, time.Duration) {
	left := p.For - since
	for i := range p.Steps {
		s := &p.Steps[i]
		cycle := s.After + s.For
		if whole := cycle * time.Duration(s.Repeat); since >= whole {
			since -= whole
			continue
		}
		within := since % cycle
		if within < s.After {
			return p.Base, min(left, s.After-within)
		}
		return s.What.over(p.Base), min(left, cycle-within)
	}
	return p.Base, left
}

// String is the plan in one line.
func (p *Plan) String() string {
	var parts []string
	if !p.Base.none() {
		parts = append(parts, p.Base.String())
	}
	for _, s := range p.Steps {
		text := ""
		if s.After > 0 {
			text = "after=" + s.After.String() + " "
		}
		text += "for=" + s.For.String() + " " + s.What.String()
		if s.Repeat > 1 {
			text += fmt.Sprintf(" repeat=%d", s.Repeat)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// ParsePlan reads what is done all the time and a schedule, either of which may be empty. The schedule has a step a line, or behind a semicolon: the
// words of ParseEffects with for=, and perhaps after= and repeat=. What stands behind a # is a remark.
func ParsePlan(what, schedule string, lasts time.Duration) (Plan, error) {
	p := Plan{For: lasts}
	if lasts < time.Second || lasts > MostFor {
		return p, invalidPlan("for is between 1s and %s, not %s", MostFor, lasts)
	}
	var err error
	if p.Base, err = ParseEffects(what); err != nil {
		return p, err
	}
	for line := range strings.SplitSeq(strings.ReplaceAll(schedule, ";", "\n"), "\n") {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		s, err := parseStep(line)
		if err != nil {
			return p, err
		}
		if p.Steps = append(p.Steps, s); len(p.Steps) > mostSteps {
			return p, invalidPlan("a schedule has at most %d steps", mostSteps)
		}
	}
	if p.Base.none() && len(p.Steps) == 0 {
		return p, invalid("nothing is to be done")
	}
	return p, nil
}

func parseStep(line string) (Step, error) {
	s := Step{Repeat: 1}
	for _, word := range wordsOf(line) {
		name, value, _ := strings.Cut(word, "=")
		var err error
		switch name {
		case "after":
			s.After, err = time.ParseDuration(value)
		case "for":
			s.For, err = time.ParseDuration(value)
		case "repeat":
			s.Repeat, err = strconv.Atoi(value)
		default:
			if err := s.What.take(word); err != nil {
				return s, err
			}
		}
		if err != nil {
			return s, invalidPlan("%s=%q cannot be read", name, value)
		}
	}
	switch {
	case s.For < leastStep || s.For > MostFor:
		return s, invalidPlan("for of a step is between %s and %s: %q", leastStep, MostFor, strings.TrimSpace(line))
	case s.After < 0 || s.After > MostFor:
		return s, invalidPlan("after of a step is between 0s and %s: %q", MostFor, strings.TrimSpace(line))
	case s.Repeat < 1 || s.Repeat > mostRepeat:
		return s, invalidPlan("repeat of a step is between 1 and %d: %q", mostRepeat, strings.TrimSpace(line))
	}
	return s, s.What.check()
}

func invalidPlan(format string, args ...any) error {
	err := model.Errorf(model.KindInvalid, format, args...)
	err.Remedy = "write steps like: after=10s for=5s cut repeat=3"
	return err
}
