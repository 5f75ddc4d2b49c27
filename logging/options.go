package logging

import (
	"maps"
	"slices"
	"strings"

	"banyan/model"

	"github.com/hashicorp/go-hclog"
)

// maxComponents bounds how many components have a level of their own.
const maxComponents = 64

// Levels say which lines are written.
type Levels struct {
	All       hclog.Level            // of whatever has none of its own
	Component map[string]hclog.Level // by name, like "peering" or "store.mirror"; what lies below it has it as well
}

// ParseLevels reads "info", or "info,peering=debug,store.mirror=trace". The level of everything may be left out, and is otherwise then.
func ParseLevels(text string, otherwise hclog.Level) (Levels, error) {
	l := Levels{All: otherwise, Component: map[string]hclog.Level{}}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		component, name, is := strings.Cut(part, "=")
		if !is {
			component, name = "", part
		}
		level := hclog.LevelFromString(strings.TrimSpace(name))
		if level == hclog.NoLevel {
			return Levels{}, &model.Error{
				Kind: model.KindInvalid, Detail: "log level " + quoted(name) + " is none of trace, debug, info, warn, error, off",
				Remedy: "write one of them, and component=level behind commas, like info,peering=debug",
			}
		}
		component = strings.TrimSpace(component)
		switch {
		case !is:
			l.All = level
		case model.CheckName(component) != nil:
			return Levels{}, model.Errorf(model.KindInvalid, "%s names no component of the log", quoted(component))
		default:
			l.Component[component] = level
		}
	}
	if len(l.Component) > maxComponents {
		return Levels{}, model.Errorf(model.KindInvalid, "%d components have a level of their own, at most %d may", len(l.Component), maxComponents)
	}
	return l, nil
}

func quoted(text string) string {
	return "\"" + strings.ToValidUTF8(text[:min(len(text), 64)], "?") + "\""
}

// String is what ParseLevels reads.
func (l Levels) String() string {
	parts := []string{l.All.String()}
	for _, name := range slices.Sorted(maps.Keys(l.Component)) {
		parts = append(parts, name+"="+l.Component[name].String())
	}
	return strings.Join(parts, ",")
}

// of is the level of a component: its own, or that of the nearest one above it.
func (l *Levels) of(component string) hclog.Level {
	for name := component; name != ""; {
		if level, there := l.Component[name]; there {
			return level
		}
		at := strings.LastIndexByte(name, '.')
		name = name[:max(at, 0)]
	}
	return l.All
}
