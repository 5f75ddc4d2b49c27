package mqtt

import (
	"strings"
	"unicode/utf8"

	"banyan/model"
)

const maxTopicBytes = 1024

// checkTopic says whether one can publish to a topic.
func checkTopic(topic string) error {
	if topic == "" || len(topic) > maxTopicBytes || strings.ContainsAny(topic, "+#\x00") || !utf8.ValidString(topic) {
		return model.Errorf(model.KindInvalid, "%.80q is no topic: 1 to %d bytes without + and #", topic, maxTopicBytes)
	}
	return nil
}

// checkFilter says whether one can subscribe to a filter: + is a whole level, # a whole one and the last.
func checkFilter(filter string) error {
	if filter == "" || len(filter) > maxTopicBytes || strings.ContainsRune(filter, 0) || !utf8.ValidString(filter) {
		return model.Errorf(model.KindInvalid, "%.80q is no filter", filter)
	}
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		switch {
		case level == "+", level == "#" && i == len(levels)-1:
		case strings.ContainsAny(level, "+#"):
			return model.Errorf(model.KindInvalid, "%.80q is no filter: + stands for a whole level, # for all that follow", filter)
		}
	}
	return nil
}

// pattern is a topic in which levels can be open: {name} stands for one. It says which topic belongs to which row.
type pattern struct {
	levels []string // "" where it is open
	open   int
}

func parsePattern(text string) (pattern, error) {
	p := pattern{}
	for level := range strings.SplitSeq(text, "/") {
		if strings.HasPrefix(level, "{") && strings.HasSuffix(level, "}") {
			p.levels, p.open = append(p.levels, ""), p.open+1
			continue
		}
		p.levels = append(p.levels, level)
	}
	return p, checkFilter(p.filter())
}

// filter is what is subscribed to.
func (p *pattern) filter() string {
	levels := make([]string, len(p.levels))
	for i, level := range p.levels {
		if levels[i] = level; p.isOpen(i) {
			levels[i] = "+"
		}
	}
	return strings.Join(levels, "/")
}

func (p *pattern) isOpen(i int) bool { return p.levels[i] == "" && p.open > 0 }

// match is the name of the row that a topic belongs to: what stands in the open levels.
func (p *pattern) match(topic string) (row string, ok bool) {
	i := 0
	var names []string
	for level := range strings.SplitSeq(topic, "/") {
		switch {
		case i >= len(p.levels):
			return "", false
		case p.isOpen(i):
			names = append(names, level)
		case p.levels[i] != level:
			return "", false
		}
		i++
	}
	return strings.Join(names, "/"), i == len(p.levels)
}
