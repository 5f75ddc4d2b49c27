package yamlfile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"banyan/model"

	"go.yaml.in/yaml/v4"
)

// Problem is one thing that is wrong in a file.
type Problem struct {
	File         string
	Line, Column int // from 1
	Text         string
	Remedy       string // what to do about it
}

// String is "FILE:LINE:COLUMN: text (remedy)", on which editors can jump.
func (p Problem) String() string {
	return fmt.Sprintf("%s:%d:%d: %s (%s)", p.File, p.Line, p.Column, p.Text, p.Remedy)
}

// Problems are all that is wrong in a file, in the order of the file. Reader.Err returns them inside a *model.Error.
type Problems []Problem

// Error is a line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// Mark is a place in the file, from line 1 and column 1.
type Mark struct{ Line, Column int }

// MarkOf is where a node begins.
func MarkOf(n *yaml.Node) Mark { return Mark{n.Line, n.Column} }

// Start is the beginning of a file, where what is missing in all of it is reported.
var Start = Mark{1, 1}

// String is how a text names the place of something else.
func (m Mark) String() string { return fmt.Sprintf("line %d", m.Line) }

// Add notes a problem. What an anchor holds is read at each alias; its problems count once.
func (r *Reader) Add(at Mark, remedy, format string, args ...any) {
	p := Problem{File: r.File, Line: at.Line, Column: at.Column, Text: fmt.Sprintf(format, args...), Remedy: remedy}
	if len(r.problems) < maxProblems && !slices.Contains(r.problems, p) {
		r.problems = append(r.problems, p)
	}
}

// Fault notes that something was not understood.
func (r *Reader) Fault(at Mark, remedy string, err error) { r.Add(at, remedy, "%s", err.Error()) }

// Good reports whether nothing was wrong so far.
func (r *Reader) Good() bool { return len(r.problems) == 0 }

// Err is all that is wrong, in the order of the file: a *model.Error of the kind invalid with Problems inside; nil where nothing is.
func (r *Reader) Err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
	return &model.Error{Kind: model.KindInvalid, Err: r.problems}
}

// DidYouMean is a remedy for a name that is none of those that there are.
func DidYouMean(name string, there []string) string {
	best, least := "", max(2, len(name)/3)+1
	for _, candidate := range there {
		if d := distance(strings.ToLower(name), strings.ToLower(candidate)); d < least {
			best, least = candidate, d
		}
	}
	const most = 12
	switch {
	case best != "":
		return "did you mean " + best + "?"
	case len(there) == 0:
		return "there is none at all"
	case len(there) > most:
		return fmt.Sprintf("there are %s and %d more", strings.Join(there[:most], ", "), len(there)-most)
	case len(there) == 1:
		return "there is only " + there[0]
	}
	return "there are " + strings.Join(there, ", ")
}

// distance is how many letters must be put in, left out or changed, or swapped with the next one, to make one word from another.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
