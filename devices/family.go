package devices

import (
	"fmt"
	"sync"
	"time"

	"banyan/model"
)

// family knows which device hangs on which, and tells the children when their parent falls silent and when it answers again.
type family struct {
	mu       sync.Mutex // guards the rest; no other lock is taken under it
	members  map[model.ContextID]*member
	children map[model.ContextID][]*member
}

// member is what a family knows of one device.
type member struct {
	life   *life
	parent *member
	state  string
	since  model.Time
}

// kinship finds the parent of each device that names one. The errors are of those that cannot have the parent that they name.
func kinship(wanted []Spec) (parents map[model.ContextID]model.ContextID, errs map[model.ContextID]error) {
	byPath := make(map[model.Path]*Spec, len(wanted))
	for i := range wanted {
		byPath[wanted[i].Path] = &wanted[i]
	}
	up := make(map[*Spec]*Spec)
	parents, errs = map[model.ContextID]model.ContextID{}, map[model.ContextID]error{}
	for i := range wanted {
		spec := &wanted[i]
		path, named, err := parentOf(spec.Settings)
		if err != nil || !named {
			continue // what is wrong with the setting by itself is found where settings are resolved
		}
		parent := byPath[path]
		if parent == nil {
			errs[spec.ID] = BadSetting(SettingParent, "the device that it names is not there")
			continue
		}
		up[spec], parents[spec.ID] = parent, parent.ID
	}
	for spec := range up {
		if circle := circleOf(spec, up); circle != "" {
			errs[spec.ID] = BadSetting(SettingParent, "%s", circle)
			delete(parents, spec.ID)
		}
	}
	return parents, errs
}

// circleOf says that a device is above itself; empty where it is in no circle. Whoever reads it may be shown none of the others.
func circleOf(spec *Spec, up map[*Spec]*Spec) string {
	at := up[spec]
	for range up {
		switch at {
		case nil:
			return ""
		case spec:
			if up[spec] == spec {
				return "the device is its own parent"
			}
			return "the device is its own parent, by way of others"
		}
		at = up[at]
	}
	return ""
}

// parentOf is the path that the setting parent names.
func parentOf(s Settings) (path model.Path, named bool, err error) {
	v := s[SettingParent]
	if v.IsNone() {
		return path, false, nil
	}
	to, inside := v.Ref()
	if !inside || to.Name != "" || to.Path.IsRoot() {
		return path, false, BadSetting(SettingParent, "it names a device of this node by its path, as /devices/gateway")
	}
	return to.Path, true, nil
}

// arrange takes over who there is and who hangs on whom. What is known of those that stay is kept.
func (f *family) arrange(lives map[model.ContextID]*life, parents map[model.ContextID]model.ContextID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	members := make(map[model.ContextID]*member, len(lives))
	for id, l := range lives {
		m := f.members[id]
		if m == nil {
			m = &member{}
		}
		m.life = l
		members[id] = m
	}
	f.members, f.children = members, map[model.ContextID][]*member{}
	for id, m := range members {
		var parent *member
		if up, named := parents[id]; named && members[up] != nil {
			parent = members[up]
			f.children[up] = append(f.children[up], m)
		}
		if parent != m.parent {
			m.parent = parent
			wake(m.life.wake)
		}
	}
}

// silent are the states in which nothing behind a device can be reached.
func silent(state string) bool { return state == StateNoResponse || state == StateSuspended }

// tell says what a device's state is now. One that was silent and is started anew stays silent for its children until it was polled.
func (f *family) tell(id model.ContextID, state string, since model.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.members[id]
	if m == nil || state == StateStarting && silent(m.state) {
		return
	}
	before := m.state
	m.state, m.since = state, since
	if !silent(before) && !silent(state) {
		return
	}
	for _, child := range f.children[id] {
		if silent(state) {
			child.life.interrupt()
		}
		wake(child.life.wake)
	}
}

// above says why the device is to rest: its parent is silent. The zero fault means that it is not.
func (f *family) above(id model.ContextID) fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.members[id]
	if m == nil || m.parent == nil || !silent(m.parent.state) {
		return fault{}
	}
	since := m.parent.since.Std().UTC().Format(time.RFC3339)
	text := fmt.Sprintf("its parent is %s since %s", m.parent.state, since) // not which one: the text goes where that may be hidden
	return fault{class: faultSuspended, text: text, since: m.parent.since}
}
