package main

import (
	"strings"
	"unicode"
)

// wide are the letters and pictures that take two columns of a terminal, after the East Asian Width property of Unicode (UAX 11, W and F).
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x1100, 0x115F, 1}, {0x231A, 0x231B, 1}, {0x2E80, 0x303E, 1}, {0x3041, 0x33FF, 1}, {0x3400, 0x4DBF, 1}, {0x4E00, 0x9FFF, 1},
		{0xA000, 0xA4CF, 1}, {0xA960, 0xA97F, 1}, {0xAC00, 0xD7A3, 1}, {0xF900, 0xFAFF, 1}, {0xFE30, 0xFE6F, 1}, {0xFF00, 0xFF60, 1}, {0xFFE0, 0xFFE6, 1},
	},
	R32: []unicode.Range32{{0x16FE0, 0x18CFF, 1}, {0x1AFF0, 0x1B2FF, 1}, {0x1F300, 0x1F64F, 1}, {0x1F680, 0x1F6FF, 1}, {0x1F900, 0x1FAFF, 1}, {0x20000, 0x3FFFD, 1}},
}

// width is how many columns of a terminal a text takes.
func width(text string) int {
	columns := 0
	for _, r := range text {
		switch {
		case r < 0x300:
			columns++
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf): // they stand on the letter before
		case unicode.Is(wide, r):
			columns += 2
		default:
			columns++
		}
	}
	return columns
}

// pad fills a text up with spaces.
func pad(text string, to int) string { return text + strings.Repeat(" ", max(to-width(text), 0)) }

// cut shortens a text to so many columns.
func cut(text string, to int) string {
	if width(text) <= to {
		return text
	}
	columns := 0
	for at, r := range text {
		if columns += width(string(r)); columns > to-1 {
			return text[:at] + "…"
		}
	}
	return text
}
