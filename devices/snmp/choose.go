package snmp

import (
	"cmp"
	"context"
	"slices"
	"time"

	"banyan/devices"
	"banyan/profiles"
)

// fallbackProfile is for devices that no other profile fits.
const fallbackProfile = "generic-snmp"

// identity is what a device says about itself.
type identity struct {
	description string
	objectID    string
	name        string
}

const oidName oid = ".1.3.6.1.2.1.1.5.0"

// identify asks a device who it is.
func identify(ctx context.Context, s *session) (identity, error) {
	answers := make([]reading, 3)
	if err := s.get(ctx, []oid{oidDescr, oidObject, oidName}, answers); err != nil {
		return identity{}, err
	}
	text := func(r reading) string {
		if r.form != octets {
			return ""
		}
		shown, _ := show(r.text, asText)
		return shown
	}
	id := identity{description: text(answers[0]), name: text(answers[2])}
	if answers[1].form == objectID {
		id.objectID = answers[1].text
	}
	return id, nil
}

// presence collects which subtrees a device has anything in.
type presence []bool

func (presence) stamp(reading, time.Time) {}

func (p presence) take(column int, _ string, _ reading) bool {
	p[column] = true
	return false
}

// choose finds the profile that fits a device best: of those whose conditions all hold, the one with the highest priority, then the one that names
// the most of the device's object identifier, then the one with the most conditions, then the first by name. Nil means that there is none.
func choose(ctx context.Context, s *session, id identity, all []*profiles.Profile) (*profiles.Profile, error) {
	var subtrees []oid
	for _, p := range all {
		for _, o := range p.Driver.(*extras).match.has {
			enlist(o, &subtrees)
		}
	}
	has := make(presence, len(subtrees))
	if _, err := s.walkColumns(ctx, subtrees, "", has); err != nil {
		return nil, err
	}
	var best, fallback *profiles.Profile
	var bestScore score
	for _, p := range all {
		if p.Name == fallbackProfile {
			fallback = p
		}
		m := &p.Driver.(*extras).match
		there := !slices.ContainsFunc(m.has, func(o oid) bool { return !has[slices.Index(subtrees, o)] })
		got, fits := m.fits(id)
		if fits && there && (best == nil || got.compare(bestScore) > 0) {
			best, bestScore = p, got
		}
	}
	if best == nil {
		best = fallback
	}
	return best, nil
}

// score says how well a profile fits: the first difference decides.
type score struct{ priority, objectID, conditions int }

func (a score) compare(b score) int {
	return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.objectID, b.objectID), cmp.Compare(a.conditions, b.conditions))
}

// fits reports whether one of the object identifiers or one of the descriptions is the device's, where there are any. A profile without any condition
// fits nothing by itself.
func (m *match) fits(id identity) (score, bool) {
	got := score{priority: m.priority, conditions: len(m.has)}
	named := false
	for _, o := range m.objectIDs {
		device := oid("." + id.objectID)
		if _, below := device.below(o); below || device == o {
			got.objectID, named = max(got.objectID, len(arcs(string(o)))), true
		}
	}
	for _, d := range m.descriptions {
		if d.MatchString(id.description) {
			got.conditions++
			named = true
		}
	}
	if len(m.objectIDs)+len(m.descriptions) == 0 {
		return got, len(m.has) > 0
	}
	return got, named
}

// learn asks the device which profile fits it.
func (d *device) learn(ctx context.Context) error {
	id, err := identify(ctx, d.session)
	if err != nil {
		return err
	}
	p, err := d.driver.choose(ctx, d.session, id)
	if err != nil {
		return err
	}
	made, err := newPlan(p, d.driver.named)
	if err != nil {
		return err
	}
	d.objectID = cmp.Or(id.objectID, "none")
	d.use(made)
	return devices.ErrReshaped
}

func (dr Driver) choose(ctx context.Context, s *session, id identity) (*profiles.Profile, error) {
	if dr.Profiles == nil {
		return nil, nil
	}
	return choose(ctx, s, id, dr.Profiles.All(Kind))
}

// relearn asks again after a restart: another device may be there now.
func (d *device) relearn(ctx context.Context) (reshaped bool, err error) {
	if d.fixed || d.objectID != "" {
		return false, nil
	}
	before := d.planned()
	id, err := identify(ctx, d.session)
	if err != nil {
		return false, err
	}
	p, err := d.driver.choose(ctx, d.session, id)
	if err != nil {
		return false, err
	}
	d.objectID = cmp.Or(id.objectID, "none")
	if p == before.profile {
		return false, nil
	}
	made, err := newPlan(p, d.driver.named)
	if err != nil {
		return false, err
	}
	d.use(made)
	return true, devices.ErrReshaped
}
