package follow

import (
	"banyan/fault"
	"banyan/model"
	"banyan/tree"
)

// Entry is a context as it is told.
type Entry struct {
	Context tree.Context
	Path    model.Path    // below the view's root
	Schema  *model.Schema // as shown
	Setting []Setting     // those that are set and shown
	Defined uint64        // change number that gave it this identity and schema
	Extra   string        // of the context; none where a part of the context is hidden, since nobody here can say what it tells
}

// Setting is the value of the setting at an index of the shown schema.
type Setting struct {
	Index int
	Value model.Value
}

// Shown is the context as every follower of the view is told it, and false where they are not.
func (v *View) Shown(c *tree.Context) (Entry, bool) {
	v.refresh()
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.entry(c)
}

// entry is the context as it is told, and false where the view does not know it as it was read. View.mu is held.
func (v *View) entry(c *tree.Context) (Entry, bool) {
	if int(c.Index) >= len(v.members) {
		return Entry{}, false
	}
	m := &v.members[c.Index]
	if m.schema == nil || m.id != c.ID || m.full.Hash != c.Schema.Hash {
		return Entry{}, false
	}
	below, _ := v.Root.Below(c.Path)
	entry := Entry{Context: *c, Path: below, Schema: m.schema, Defined: m.definedAt}
	if m.schema == m.full {
		entry.Extra = c.Extra
	}
	for i := range c.Settings {
		definition := &m.full.Settings[i]
		if c.Settings[i].IsNone() || definition.Secret && !fault.Planted(fault.SecretTold) {
			continue
		}
		if at := shownIndex(m, i); at >= 0 {
			entry.Setting = append(entry.Setting, Setting{at, v.Relative(c.Settings[i])})
		}
	}
	return entry, true
}

func shownIndex(m *member, i int) int {
	if m.schema == m.full {
		return i
	}
	return m.schema.SettingIndex(m.full.Settings[i].Name)
}
