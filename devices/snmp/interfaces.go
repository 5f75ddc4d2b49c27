package snmp

import (
	"path"
	"strings"

	"banyan/devices"
	"banyan/model"
	"banyan/profiles"
)

// usage is where the columns of the table of interfaces stand that are made from others.
var usage struct {
	name, inRate, outRate, ifSpeed, highSpeed, discontinuity int // columns of the file
	speed, in, out                                           int // behind them
}

// withUse adds the columns that no file can describe: the speed, which two objects tell, and how much of it is used.
func withUse(p *profiles.Profile) *profiles.Profile {
	t := &p.Tables[0]
	at := func(name string) int { return t.Schema(Kind).VariableIndex(name) }
	usage.name, usage.inRate, usage.outRate = at("name"), at("in_rate"), at("out_rate")
	usage.ifSpeed, usage.highSpeed, usage.discontinuity = at("if_speed"), at("if_high_speed"), at("discontinuity")
	kept := t.Driver.(*table)
	usage.speed = len(kept.schema.Variables)
	usage.in, usage.out = usage.speed+1, usage.speed+2
	kept.schema.Variables = append(kept.schema.Variables,
		model.Variable{Name: "speed", Type: model.TypeInt64, Unit: "bit/s", Description: "Its speed, also beyond what ifSpeed can say."},
		model.Variable{Name: "in_utilization", Type: model.TypeFloat64, Unit: "%", Description: "Share of its speed that is received."},
		model.Variable{Name: "out_utilization", Type: model.TypeFloat64, Unit: "%", Description: "Share of its speed that is sent."},
	)
	return p
}

// speedOf is an interface's speed in bit/s; 0 where nobody knows. ifSpeed ends at 2^32-1, and some agents leave it 0 beyond that; ifHighSpeed
// rounds to Mbit/s, so that it is 0 for slow lines.
func speedOf(ifSpeed, high reading) int64 {
	slow, fast := uint64(0), uint64(0)
	if ifSpeed.numeric() {
		slow = ifSpeed.number
	}
	if high.numeric() && high.number < 1<<40 {
		fast = high.number * 1_000_000
	}
	if slow > 0 && slow < 1<<32-1 {
		return int64(slow)
	}
	return int64(max(fast, min(slow, 1<<32-1)))
}

// addUsage adds speed and utilisation to what a row publishes.
func addUsage(batch []devices.Update, speed int64, at model.Time) []devices.Update {
	known := model.QualityGood
	if speed == 0 {
		known = qualityUnsupported
	}
	add := func(variable int, v model.Value, q model.Quality) {
		if q.Level != model.Good && q.Reason != model.ReasonRange {
			v = model.Value{}
		}
		batch = append(batch, devices.Update{Variable: variable, Value: v, Quality: q, Source: at})
	}
	add(usage.speed, model.Int64(speed), known)
	for variable, rate := range [...]devices.Update{batch[usage.inRate], batch[usage.outRate]} {
		share := rate.Value.Float64() * 8 / float64(max(speed, 1)) * 100
		add(usage.in+variable, model.Float64(share), rate.Quality.Worse(known))
	}
	return batch
}

// filter chooses interfaces by their names.
type filter struct {
	with, without []string
}

// parseFilter reads patterns like "Gi*,Te*,!*.4094".
func parseFilter(text string) (filter, error) {
	var f filter
	for pattern := range strings.SplitSeq(text, ",") {
		pattern = strings.TrimSpace(pattern)
		if pattern == "" {
			continue
		}
		excludes := strings.HasPrefix(pattern, "!")
		pattern = strings.TrimPrefix(pattern, "!")
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return f, devices.BadSetting("interfaces", "%.80q is not a pattern like Gi*", pattern)
		}
		if excludes {
			f.without = append(f.without, pattern)
		} else {
			f.with = append(f.with, pattern)
		}
	}
	if len(f.with) == 0 && len(f.without) > 0 {
		f.with = []string{"*"}
	}
	return f, nil
}

func (f *filter) none() bool { return len(f.with) == 0 }

func (f *filter) shows(name string) bool { return matches(f.with, name) && !matches(f.without, name) }

// matches reports whether one of the patterns fits. A slash is a character like others in the name of an interface.
func matches(patterns []string, name string) bool {
	name = strings.ReplaceAll(name, "/", "\x01")
	for _, pattern := range patterns {
		if ok, _ := path.Match(strings.ReplaceAll(pattern, "/", "\x01"), name); ok {
			return true
		}
	}
	return false
}
