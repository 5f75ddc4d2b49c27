package settings

import (
	"fmt"
	"strings"
)

// difference is one line of what an edit changes; before or after is empty where there is nothing.
type difference struct{ name, before, after string }

// Line is a line of a unified difference.
type Line struct {
	Sign rune // ' ' for text, '@' for a heading, '-' for what goes, '+' for what comes
	Text string
}

// Lines are what the plan changes, as a unified difference: of a secret only that it is set.
func (p *Plan) Lines() []Line {
	if p.Empty() {
		return nil
	}
	lines := p.Heading()
	for i := range p.Batches {
		lines = append(lines, p.Batches[i].Lines()...)
	}
	return lines
}

// Heading says what is compared with what.
func (p *Plan) Heading() []Line { return []Line{{' ', "--- " + p.node}, {' ', "+++ " + p.file}} }

// Lines are what the batch changes.
func (b *Batch) Lines() []Line {
	var lines []Line
	for _, e := range b.Edits {
		heading := fmt.Sprintf("@@ %s %s @@", e.Op, e.Path)
		if b.Owner != "" {
			heading += " at " + b.Owner
		}
		lines = append(lines, Line{'@', heading})
		lines = append(lines, e.Lines()...)
	}
	return lines
}

// Lines are what the edit changes.
func (e *Edit) Lines() []Line {
	var lines []Line
	for _, c := range e.changes {
		if c.before != "" {
			lines = append(lines, signed('-', c.name, c.before)...)
		}
		if c.after != "" {
			lines = append(lines, signed('+', c.name, c.after)...)
		}
	}
	return lines
}

func signed(sign rune, name, value string) []Line {
	var lines []Line
	for line := range strings.SplitSeq(name+": "+value, "\n") {
		lines = append(lines, Line{sign, strings.TrimRight(line, " ")})
	}
	return lines
}
