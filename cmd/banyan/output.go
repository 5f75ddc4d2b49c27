package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"banyan/model"
)

// clean makes text from far away harmless in a terminal: what moves the cursor, changes colours, rings, reverses the direction of writing or
// begins a line is shown as an escape like \x1b.
func clean(text string) string {
	if plain(text) {
		return text
	}
	var to strings.Builder
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRuneInString(text[at:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&to, `\x%02x`, text[at])
		case harmless(r):
			to.WriteRune(r)
		default:
			to.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
		at += size
	}
	return to.String()
}

func plain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// harmless reports whether a terminal shows r and does nothing else. Joiners shape letters of some scripts and stay.
func harmless(r rune) bool { return unicode.IsGraphic(r) || r == 0x200C || r == 0x200D }

// table is rows of text whose columns are aligned when they are printed. The cells of a row are made harmless when it is added.
type table struct{ rows [][]string }

func (t *table) add(cells ...string) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = clean(cell)
	}
	t.rows = append(t.rows, row)
}

// write prints the table, with two spaces between columns and none at the end of a line.
func (t *table) write(to io.Writer) error {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], width(cell))
		}
	}
	var out bytes.Buffer
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(pad(cell, widths[i]+2))
		}
		out.WriteString(strings.TrimRight(line.String(), " "))
		out.WriteByte('\n')
	}
	_, err := to.Write(out.Bytes())
	return err
}

// printf prints a line of a result. Foreign text in it has to be clean.
func (c *cli) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(c.out, format, args...)
	return err
}

// note tells people what is not part of the result.
func (c *cli) note(format string, args ...any) { _, _ = fmt.Fprintf(c.errs, format+"\n", args...) }

// printJSON prints v as JSON on one line. Characters that could act on a terminal are escaped, which JSON allows for each of them.
func (c *cli) printJSON(v any) error {
	encoded, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = c.out.Write(append(quietJSON(encoded), '\n'))
	return err
}

// quietJSON escapes what clean would escape; in JSON that stands in strings only.
func quietJSON(encoded []byte) []byte {
	if plain(string(encoded)) {
		return encoded
	}
	to := make([]byte, 0, len(encoded)+16)
	for at := 0; at < len(encoded); {
		r, size := utf8.DecodeRune(encoded[at:])
		switch {
		case harmless(r):
			to = append(to, encoded[at:at+size]...)
		case r > 0xFFFF:
			high, low := (r-0x10000)>>10+0xD800, (r-0x10000)&0x3FF+0xDC00
			to = fmt.Appendf(to, `\u%04x\u%04x`, high, low)
		default:
			to = fmt.Appendf(to, `\u%04x`, r)
		}
		at += size
	}
	return to
}

// age is how long ago an instant was that the API tells, "" when it tells none.
func age(instant string, now time.Time) string {
	at, err := model.ParseTime(instant)
	if err != nil || at == 0 {
		return ""
	}
	return span(now.Sub(at.Std()))
}

// span is a length of time in few characters. The clocks of two machines differ, so that what is a little ahead counts as now.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < -2*time.Second:
		return "-" + span(-d)
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", max(d, 0).Truncate(100*time.Millisecond).Seconds())
	case d < 100*time.Second:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < 100*time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/day)
}

// orDash stands in for what is empty, so that columns can be counted.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// route names the nodes between here and the owner.
func route(via []string) string { return strings.Join(via, " > ") }
