package devices

import (
	"errors"
	"fmt"
	"maps"

	"banyan/model"
)

// Reconcile makes what runs the same as what is wanted, by difference: devices that are not wanted any more are stopped, new ones
// started, and those with other settings started anew, once everything of their former life has returned. A change
// of poll_interval or timeout alone, or of the path, goes into the running device. It does not wait for any of that. Specs that cannot be
// run at all (unknown kind, ID given twice) are named in the error and do not hold up the others; a device whose
// settings are wrong is wanted and running in this sense, with the state misconfigured.
func (m *Manager) Reconcile(wanted []Spec) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over {
		return model.Errorf(model.KindUnavailable, "devices: the manager has stopped")
	}
	var errs []error
	seen := make(map[model.ContextID]bool, len(wanted))
	parents, unkind := kinship(wanted)
	for _, spec := range wanted {
		k, known := m.kinds[spec.Kind]
		err := unknownKind(spec.Kind)
		if seen[spec.ID] {
			known, err = false, model.Errorf(model.KindInvalid, "device %s is wanted twice", spec.ID)
		}
		if !known {
			errs = append(errs, &model.Error{Kind: model.KindOf(err), Op: "device", Path: spec.Path, Err: err})
			continue
		}
		seen[spec.ID] = true
		spec.Settings = maps.Clone(spec.Settings)
		m.want(spec, k, unkind[spec.ID])
	}
	for id, l := range m.lives {
		if !seen[id] {
			delete(m.lives, id)
			m.end(l)
			if _, runs := m.started[l]; runs {
				m.leaving[id] = l
			}
		}
	}
	m.parents = parents
	m.polling.family.arrange(m.lives, parents)
	wake(m.wake)
	return errors.Join(errs...)
}

// Renew starts those devices anew, with their settings as they are, of which affected says that something else that they depend on has
// changed. It does not wait for that.
func (m *Manager) Renew(affected func(kind string, settings Settings) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over {
		return
	}
	for _, old := range m.lives {
		old.mu.Lock()
		spec := old.spec
		old.mu.Unlock()
		if affected(spec.Kind, spec.Settings) {
			k := m.kinds[spec.Kind]
			settings, t, err := k.resolve(spec.Settings)
			if err == nil {
				err = old.kin
			}
			m.begin(&life{kind: k, kin: old.kin, settings: settings, spec: spec, timing: t, refused: err}, old)
		}
	}
	m.polling.family.arrange(m.lives, m.parents)
	wake(m.wake)
}

// want leaves the running life as it is, changes its timing, or puts a new one in its place.
func (m *Manager) want(spec Spec, k kind, kin error) {
	settings, t, err := k.resolve(spec.Settings)
	if err == nil {
		err = kin
	}
	old := m.lives[spec.ID]
	if old != nil && err == nil && old.takes(spec) {
		old.retime(spec, t)
		return
	}
	if old != nil && old.same(spec) && fmt.Sprint(old.kin) == fmt.Sprint(kin) {
		return
	}
	m.begin(&life{kind: k, kin: kin, settings: settings, spec: spec, timing: t, refused: err}, old)
}

// begin puts a life in the place of an old one, or of none. It starts when what was before has ended.
func (m *Manager) begin(l, old *life) {
	l.id, l.sink = l.spec.ID, m.config.Sink(l.spec.ID)
	l.log, l.polling, l.pollPipe = m.config.Log, m.polling, &valve{}
	l.ready, l.done, l.wake = make(chan struct{}), make(chan struct{}), make(chan struct{}, 1)
	l.errands = map[*errand]struct{}{}
	path := l.spec.Path
	l.path.Store(&path)
	if leaving := m.leaving[l.id]; leaving != nil {
		l.after = leaving.done
		delete(m.leaving, l.id)
	}
	if old != nil {
		if _, runs := m.started[old]; runs {
			l.after = old.done
		} else {
			l.after = old.after
		}
		m.end(old)
	}
	m.lives[l.id] = l
	m.waiting = append(m.waiting, l)
}

// end stops a life that runs and strikes out one that has not begun.
func (m *Manager) end(l *life) {
	if cancel, runs := m.started[l]; runs {
		cancel()
		return
	}
	for i, w := range m.waiting {
		if w == l {
			m.waiting = append(m.waiting[:i], m.waiting[i+1:]...)
			close(l.done)
			return
		}
	}
}

// same reports whether spec is what the life was started with.
func (l *life) same(spec Spec) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.spec.Path == spec.Path && l.spec.Kind == spec.Kind && equalSettings(l.spec.Settings, spec.Settings)
}

// takes reports whether the life can go on with spec: it differs in path and timing at most, and the life is not refused.
func (l *life) takes(spec Spec) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	without := func(s Settings) Settings {
		s = maps.Clone(s)
		delete(s, SettingPollInterval)
		delete(s, SettingTimeout)
		return s
	}
	return l.refused == nil && l.spec.Kind == spec.Kind && equalSettings(without(l.spec.Settings), without(spec.Settings))
}
