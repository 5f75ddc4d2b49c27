package topologies

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// screen is where a demonstration is shown.
type screen struct {
	out      io.Writer
	terminal bool // it can be redrawn
	colours  bool
	fd       int
	open     bool // the terminal's other page is shown
}

func newScreen(out io.Writer) *screen {
	s := &screen{out: out}
	if file, is := out.(*os.File); is {
		s.fd = int(file.Fd())
		s.terminal = term.IsTerminal(s.fd) && os.Getenv("TERM") != "dumb"
	}
	s.colours = s.terminal && os.Getenv("NO_COLOR") == "" // see no-color.org
	return s
}

// size is the terminal's, in characters.
func (s *screen) size() (width, height int) {
	const usualWidth, usualHeight = 100, 40
	if !s.terminal {
		return usualWidth, usualHeight
	}
	width, height, err := term.GetSize(s.fd)
	if err != nil || width < 1 || height < 1 {
		return usualWidth, usualHeight
	}
	return width, height
}

// Control sequences, see ECMA-48 and xterm's list.
const (
	otherPage = "\x1b[?1049h\x1b[?25l" // and no cursor
	firstPage = "\x1b[?25h\x1b[?1049l"
	home      = "\x1b[H"
	restLine  = "\x1b[K"
	restPage  = "\x1b[J"
	plain     = "\x1b[0m"

	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
)

func (s *screen) paint(colour, text string) string {
	if !s.colours || text == "" {
		return text
	}
	return colour + text + plain
}

// frame shows lines, in place of those before where that can be, in one write so that nothing flickers.
func (s *screen) frame(lines []string, width int) error {
	var text strings.Builder
	if s.terminal {
		if !s.open {
			s.open = true
			text.WriteString(otherPage)
		}
		text.WriteString(home)
	}
	for i, line := range lines {
		if s.terminal {
			if i > 0 {
				text.WriteString("\r\n")
			}
			text.WriteString(clip(line, width) + restLine)
		} else {
			text.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	if s.terminal {
		text.WriteString(restPage)
	} else {
		text.WriteString("\n")
	}
	_, err := io.WriteString(s.out, text.String())
	return err
}

// clip cuts a line at the width of the window; control sequences take no room.
func clip(line string, width int) string {
	shown, inside := 0, false
	for i, c := range line {
		switch {
		case c == '\x1b':
			inside = true
		case inside:
			inside = c != 'm'
		case shown == width:
			return line[:i] + plainAfter(line[:i])
		default:
			shown++
		}
	}
	return line
}

func plainAfter(line string) string {
	if strings.Contains(line, "\x1b") {
		return plain
	}
	return ""
}

// close shows the terminal's first page again. Where it is gone, so be it.
func (s *screen) close() {
	if s.open {
		s.open = false
		_, _ = io.WriteString(s.out, firstPage)
	}
}
