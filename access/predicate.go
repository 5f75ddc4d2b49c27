package access

import (
	"maps"
	"slices"
	"strings"

	"banyan/model"
)

// Predicate is a condition for an SQL WHERE. It holds for every row that may be seen. Where Exact is true it holds for no other; where
// not, each row found must be decided once more, which counts and limits must wait for.
type Predicate struct {
	SQL   string // "1", "0" or an expression in parentheses, with ? for each argument
	Args  []any
	Exact bool
}

// Columns names what a predicate reads. They are part of the program and never come from outside.
type Columns struct {
	Path string // TEXT NOT NULL with the default BINARY collation, as model.Path.String writes it
	Kind string // TEXT NOT NULL, empty where there is none
}

// Predicate is what the principal may see, for SQLite. Settings and variables that an export hides are left to its derived schema.
func (d *Decider) Predicate(who Principal, columns Columns) Predicate {
	if policy := d.policyOf(&who); policy != nil {
		return policy.Predicate(columns, model.RightView)
	}
	var all []Predicate
	if grant := d.grantOf(&who); grant != nil {
		for _, s := range grant.Exports {
			all = append(all, s.Predicate(columns))
		}
	}
	return anyOf(all)
}

// Predicate is where the policy gives the right need or more.
func (p *Policy) Predicate(columns Columns, need model.Right) Predicate {
	out := Predicate{Exact: true}
	var sql strings.Builder
	last, verdicts := "0", [...]string{"0", "1"}
	for i := range p.rules {
		r := &p.rules[i]
		verdict := verdicts[0]
		if r.right >= need {
			verdict = verdicts[1]
		}
		where := r.predicate(columns.Path)
		if where.SQL == "1" && where.Exact {
			last = verdict
			break // no rule behind it is ever reached
		}
		out.Exact = out.Exact && where.Exact
		if !where.Exact && verdict == "0" {
			continue // a refusal that reaches too far would lose rows
		}
		sql.WriteString(" WHEN " + where.SQL + " THEN " + verdict)
		out.Args = append(out.Args, where.Args...)
	}
	if out.SQL = last; sql.Len() > 0 {
		out.SQL = "(CASE" + sql.String() + " ELSE " + last + " END)"
	}
	return out
}

// Predicate is what the selection selects.
func (s *Selection) Predicate(columns Columns) Predicate {
	var all []Predicate
	for _, p := range s.parts {
		paths := make([]Predicate, len(p.matchers))
		for i := range p.matchers {
			paths[i] = p.matchers[i].predicate(columns.Path)
		}
		all = append(all, anyOf(paths))
		if len(p.kinds) > 0 {
			all = append(all, oneOf(columns.Kind, " IN ", p.kinds))
		}
		if len(p.except) > 0 {
			all = append(all, oneOf(columns.Kind, " NOT IN ", p.except))
		}
		if p.people != nil {
			all = append(all, p.people.outside(columns)...)
		}
	}
	return joined(all, " AND ", "1", "0")
}

// outside is what does not lie in the area. A pattern that cannot be said exactly is left out: nothing may be lost.
func (a *area) outside(columns Columns) []Predicate {
	var all []Predicate
	for i := range a.matchers {
		inside := a.matchers[i].predicate(columns.Path)
		if inside.Exact {
			inside.SQL = "NOT " + inside.SQL
		} else {
			inside = Predicate{SQL: "1"}
		}
		all = append(all, inside)
	}
	if len(a.kinds) > 0 {
		all = append(all, oneOf(columns.Kind, " NOT IN ", a.kinds))
	}
	return all
}

// predicate says the pattern about a column. Neither LIKE, which takes a for A, nor GLOB, whose star takes slashes, is a pattern: a
// subtree is a range of text ('0' is the byte behind '/'), and stars for single segments are a GLOB with the right count of slashes.
// Of other patterns only the prefix is said, which is not exact. Segments hold nothing that GLOB could misread.
func (m *matcher) predicate(column string) Predicate {
	switch {
	case len(m.tail) == 0:
		return Predicate{"(" + column + " = ?)", []any{m.pattern.String()}, true}
	case slices.Contains(m.tail, "**"):
		exact := m.isSubtree()
		if m.prefix == "" {
			return Predicate{SQL: "1", Exact: exact}
		}
		sql := "(" + column + " = ? OR (" + column + " > ? AND " + column + " < ?))"
		return Predicate{sql, []any{m.prefix, m.prefix + "/", m.prefix + "0"}, exact}
	}
	glob := m.pattern.String()
	sql := "(" + column + " > ? AND " + column + " < ? AND " + column + " GLOB ? AND length(" + column + ") - length(replace(" + column + ", '/', '')) = ?)"
	return Predicate{sql, []any{m.prefix + "/", m.prefix + "0", glob, strings.Count(glob, "/")}, true}
}

func oneOf(column, in string, names map[string]bool) Predicate {
	var args []any
	for _, name := range slices.Sorted(maps.Keys(names)) {
		args = append(args, name)
	}
	return Predicate{"(" + column + in + "(?" + strings.Repeat(", ?", len(args)-1) + "))", args, true}
}

func anyOf(all []Predicate) Predicate { return joined(all, " OR ", "0", "1") }

// joined joins predicates; neutral is what changes nothing, and what none of them amount to, decided what decides alone.
func joined(all []Predicate, operator, neutral, decided string) Predicate {
	out := Predicate{Exact: true}
	var parts []string
	for _, p := range all {
		if p.SQL == decided && p.Exact {
			return p
		}
		out.Exact = out.Exact && p.Exact
		if p.SQL != neutral {
			parts = append(parts, p.SQL)
			out.Args = append(out.Args, p.Args...)
		}
	}
	switch len(parts) {
	case 0:
		out.SQL = neutral
	case 1:
		out.SQL = parts[0]
	default:
		out.SQL = "(" + strings.Join(parts, operator) + ")"
	}
	return out
}
