package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"banyan/backup"
)

// progress shows on a terminal how far something has come, on one line that is written over; elsewhere it shows nothing.
type progress struct {
	to    io.Writer // nil: nowhere
	shown int
}

func (c *cli) progress() *progress {
	if file, is := c.errs.(*os.File); is && term.IsTerminal(int(file.Fd())) {
		return &progress{to: file}
	}
	return &progress{}
}

// show writes the line over.
func (p *progress) show(text string) {
	if p.to == nil {
		return
	}
	text = clean(text)
	_, _ = fmt.Fprint(p.to, "\r", text, strings.Repeat(" ", max(0, p.shown-width(text))))
	p.shown = width(text)
}

// end takes the line away.
func (p *progress) end() {
	if p.to != nil && p.shown > 0 {
		_, _ = fmt.Fprint(p.to, "\r", strings.Repeat(" ", p.shown), "\r")
	}
	p.shown = 0
}

// of shows the progress of a backup or a restore.
func (p *progress) of(at backup.Progress) {
	text := at.Doing
	if at.Total > 0 {
		text = fmt.Sprintf("%s %s of %s", at.Doing, bytesText(at.Done), bytesText(at.Total))
	}
	p.show(text)
}

// bytesText is a number of bytes in few characters.
func bytesText(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, names := float64(n)/unit, "kMGTPE"
	for value >= unit && len(names) > 1 {
		value, names = value/unit, names[1:]
	}
	return fmt.Sprintf("%.1f %cB", value, names[0])
}
