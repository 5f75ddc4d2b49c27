package settings

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"banyan/model"
)

// scalarText is text as a YAML scalar: as it is where nothing could take it for something else, else in double quotes. Within { } and [ ] more is
// quoted.
func scalarText(text string, flow bool) string {
	if isPlain(text, flow) {
		return text
	}
	return strconv.Quote(text) // of Go's escapes YAML has all
}

func isPlain(text string, flow bool) bool {
	if text == "" || strings.HasSuffix(text, ":") || text[len(text)-1] == ' ' || strings.Contains(text, ": ") || strings.Contains(text, " #") {
		return false
	}
	for i, r := range text {
		letter := unicode.IsLetter(r) && r != '\uFEFF' || r == '/' || r == '_'
		inside := r >= '0' && r <= '9' || strings.ContainsRune(" .:@+*=()-;", r) || !flow && r == ','
		if !letter && (!inside || i == 0 && (r < '0' || r > '9')) {
			return false
		}
	}
	switch strings.ToLower(text) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
		return false
	}
	return strings.ContainsFunc(text, func(r rune) bool { return unicode.IsLetter(r) || r == '/' }) && !isNumber(text)
}

// isNumber reports whether some reader of YAML could take text for a number.
func isNumber(text string) bool {
	_, whole := strconv.ParseInt(text, 0, 64)
	_, broken := strconv.ParseFloat(text, 64)
	digits := text[0] >= '0' && text[0] <= '9' && strings.Trim(text, "0123456789_.:+-xoabcdefABCDEF") == "" // 12:30, 1_000, 0o17
	return whole == nil || broken == nil || digits
}

// valueText is a value as it stands in a file: on one line, but for a table with rows, which has a line for each.
func valueText(v model.Value, s *Setting) string {
	if v.Type() == model.TypeTable {
		return tableText(v.Table(), s)
	}
	return cellText(v, false)
}

func cellText(v model.Value, flow bool) string {
	switch v.Type() {
	case model.TypeNone:
		return "~"
	case model.TypeString:
		return scalarText(v.Text(), flow)
	case model.TypeRef:
		to, inside := v.Ref()
		if !inside {
			return "~"
		}
		return scalarText(to.String(), flow)
	case model.TypeFloat64:
		switch f := v.Float64(); {
		case math.IsNaN(f):
			return ".nan"
		case math.IsInf(f, 1):
			return ".inf"
		case math.IsInf(f, -1):
			return "-.inf"
		}
		return v.String()
	case model.TypeDuration:
		text := v.String() // 1h0m0s
		if strings.HasSuffix(text, "m0s") {
			text = strings.TrimSuffix(text, "0s")
		}
		if strings.HasSuffix(text, "h0m") {
			text = strings.TrimSuffix(text, "0m")
		}
		return text
	case model.TypeTime, model.TypeBool, model.TypeInt64:
		if text := v.String(); text != "" {
			return text
		}
		return `""`
	default:
		return strconv.Quote(v.String()) // base64
	}
}

func tableText(t *model.Table, s *Setting) string {
	if usual := s.Default.Table(); usual == nil || !slices.Equal(usual.Columns, t.Columns) {
		return explicitText(t)
	}
	if len(t.Rows) == 0 {
		return "[]"
	}
	var text strings.Builder
	for _, row := range t.Rows {
		text.WriteString("\n  - {")
		first := true
		for i, cell := range row {
			if cell.IsNone() {
				continue
			}
			if !first {
				text.WriteString(", ")
			}
			first = false
			text.WriteString(scalarText(t.Columns[i].Name, true) + ": " + cellText(cell, true))
		}
		text.WriteString("}")
	}
	return text.String()
}

// explicitText is a table that brings its columns.
func explicitText(t *model.Table) string {
	var columns, rows []string
	for _, c := range t.Columns {
		columns = append(columns, scalarText(c.Name, true)+": "+c.Type.String())
	}
	for _, row := range t.Rows {
		var cells []string
		for _, cell := range row {
			cells = append(cells, cellText(cell, true))
		}
		rows = append(rows, "\n    - ["+strings.Join(cells, ", ")+"]")
	}
	text := "\n  columns: {" + strings.Join(columns, ", ") + "}"
	if len(rows) == 0 {
		return text + "\n  rows: []"
	}
	return text + "\n  rows:" + strings.Join(rows, "")
}
