package settings

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"banyan/model"
)

// header stands at the top of every file that is written.
const header = `# Settings of %s below %s, as of change %d.
#
#   banyan diff FILE     shows what would change
#   banyan apply FILE    makes the node be as this file says, all of it or nothing
#
# A context that stands here is as it stands here: settings that are not named have their defaults. Contexts that do not stand here are left
# as they are, or removed with --prune. Secrets do not stand here: {secret: NAME} takes NAME from --secrets FILE or the environment, and
# leaves the secret that a context has already.
`

// Write is a file that says what a node has at and below a path.
func Write(state *State, scope model.Path) []byte {
	w := &writer{state: state, scope: scope, owner: state.ownerOf(scope), left: map[string]int{}}
	for _, path := range state.paths() {
		c := state.Contexts[path]
		if reason := state.left(c, scope, w.owner); reason != "" {
			w.left[reason]++
			continue
		}
		w.context(c)
	}
	var file bytes.Buffer
	fmt.Fprintf(&file, header, state.Node, scope, state.Change)
	if len(w.left) > 0 || w.outside > 0 {
		file.WriteString("#\n# Left out:\n")
	}
	for _, reason := range slices.Sorted(maps.Keys(w.left)) {
		fmt.Fprintf(&file, "#   %d %s\n", w.left[reason], reason)
	}
	if w.outside > 0 {
		fmt.Fprintf(&file, "#   %d settings that refer to what you may not see\n", w.outside)
	}
	fmt.Fprintf(&file, "version: 1\npath: %s\n", scope)
	if w.body.Len() == 0 {
		file.WriteString("contexts: {}\n")
		return file.Bytes()
	}
	file.WriteString("contexts:\n")
	file.Write(w.body.Bytes())
	return file.Bytes()
}

type writer struct {
	state   *State
	scope   model.Path
	owner   string
	left    map[string]int
	outside int
	body    bytes.Buffer
}

func (w *writer) context(c *Context) {
	var settings strings.Builder
	for i := range c.Kind.Settings {
		w.setting(&settings, c, &c.Kind.Settings[i])
	}
	if c.Fixed && settings.Len() == 0 && c.Label == c.Usual {
		return // it is so on every node
	}
	fmt.Fprintf(&w.body, "  %s:\n    kind: %s\n", c.Path, scalarText(c.Kind.Name, false))
	if c.Label != c.Usual {
		fmt.Fprintf(&w.body, "    label: %s\n", scalarText(c.Label, false))
	}
	if settings.Len() > 0 {
		w.body.WriteString("    settings:\n" + settings.String())
	}
}

func (w *writer) setting(to *strings.Builder, c *Context, s *Setting) {
	if s.Secret {
		if c.Secrets[s.Name] {
			fmt.Fprintf(to, "      %s: {secret: %s}\n", s.Name, scalarText(SecretName(c.Path, s.Name), true))
		}
		return
	}
	v := c.value(s)
	if v.IsNone() || v.Equal(s.Default) {
		return
	}
	if holdsOutside(v) {
		w.outside++
		return
	}
	text := strings.ReplaceAll(valueText(v, s), "\n", "\n      ")
	if !strings.HasPrefix(text, "\n") {
		text = " " + text
	}
	fmt.Fprintf(to, "      %s:%s\n", s.Name, text)
}

// SecretName is what a secret setting of a context is called in files that are written.
func SecretName(path model.Path, setting string) string {
	return strings.TrimPrefix(path.String(), "/") + "/" + setting
}

// holdsOutside reports whether a value refers to what cannot be named.
func holdsOutside(v model.Value) bool {
	if _, inside := v.Ref(); v.Type() == model.TypeRef {
		return !inside
	}
	if t := v.Table(); t != nil {
		for _, row := range t.Rows {
			if slices.ContainsFunc(row, holdsOutside) {
				return true
			}
		}
	}
	return false
}
