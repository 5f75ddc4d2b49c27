package structure

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// promiseIDs are all promises, in the order of docs/promises.md. One is added
// here first; none goes away silently.
var promiseIDs = strings.Fields(`
	D1 D2 D3 D4 D5 D6 D7 D8 D9 D10 D11 D12
	E1 E2 E3 E4 E5 E6 E7 E8 E9 E11 E12
	X1 X2 X3 X4 X5 X6 X7 X8 X9
	A1 A2 A3 A4 A5
	T1 T2 T3 T4 T5 T6 T7 T9
	U1 U2 U3 U4 U5 U6
	R1 R2 R3 R4 R6 R7
	S1`)

// promise is one row of docs/promises.md.
type promise struct {
	id, text string
	tests    []string // as written there: "store.TestName"
	notYet   bool
}

var (
	promiseRow = regexp.MustCompile(`^\| ([A-Z][0-9]+) \| (.*?) \| (.*) \|$`)
	testName   = regexp.MustCompile("`([a-z0-9_/.]+\\.(?:Test|Fuzz)[A-Za-z0-9_]+)`")
)

func parsePromises(document []byte) []promise {
	var promises []promise
	for line := range bytes.Lines(document) {
		row := promiseRow.FindStringSubmatch(strings.TrimSpace(string(line)))
		if row == nil {
			continue
		}
		p := promise{id: row[1], text: row[2], notYet: strings.Contains(row[3], "not yet")}
		for _, match := range testName.FindAllStringSubmatch(row[3], -1) {
			p.tests = append(p.tests, match[1])
		}
		promises = append(promises, p)
	}
	return promises
}

// promiseProblems compares the table with the promises that there are to be
// and the tests that there are.
func promiseProblems(promises []promise, wantIDs []string, tests map[string]bool) []string {
	var problems []string
	var ids []string
	for _, p := range promises {
		ids = append(ids, p.id)
		if len(p.text) < 10 {
			problems = append(problems, fmt.Sprintf("%s promises nothing", p.id))
		}
		if len(p.tests) == 0 && !p.notYet {
			problems = append(problems, fmt.Sprintf("%s names no test and does not say \"not yet\"", p.id))
		}
		for _, name := range p.tests {
			if !tests[name] {
				problems = append(problems, fmt.Sprintf("%s names the test %s, which does not exist", p.id, name))
			}
		}
	}
	if !slices.Equal(ids, wantIDs) {
		problems = append(problems, fmt.Sprintf("the table has the promises %v, wanted are %v", ids, wantIDs))
	}
	return problems
}

// TestPromises: the table of promises cannot name a test that is not there,
// and no promise is missing from it.
func TestPromises(t *testing.T) {
	document, err := os.ReadFile(filepath.Join(root, "docs", "promises.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, file := range readModule(t) {
		if !file.test {
			continue
		}
		for _, function := range file.functions {
			tests[file.dir+"."+function] = true
		}
	}
	for _, problem := range promiseProblems(parsePromises(document), promiseIDs, tests) {
		t.Errorf("docs/promises.md: %s", problem)
	}
}

func TestPromiseProblems(t *testing.T) {
	there := map[string]bool{"store.TestKill": true, "model.FuzzPath": true}
	const good = "| D1 | Nothing confirmed is lost. | `store.TestKill` (20 kills), `model.FuzzPath`; power loss not yet |\n"
	tests := []struct {
		name, document string
		problems       int
	}{
		{"a good row", good, 0},
		{"not yet", "| D1 | Nothing confirmed is lost. | not yet |\n", 0},
		{"a test that is not there", "| D1 | Nothing confirmed is lost. | `store.TestKilled` |\n", 1},
		{"a test of another folder", "| D1 | Nothing confirmed is lost. | `tree.TestKill` |\n", 1},
		{"a name without marks is no name", "| D1 | Nothing confirmed is lost. | store.TestKill |\n", 1},
		{"no test at all", "| D1 | Nothing confirmed is lost. |  |\n", 1},
		{"no promise", "| D1 |  | not yet |\n", 1},
		{"a row twice", good + good, 1},
		{"a row too many", good + strings.Replace(good, "D1", "D2", 1), 1},
		{"an empty table", "", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			problems := promiseProblems(parsePromises([]byte(test.document)), []string{"D1"}, there)
			if len(problems) != test.problems {
				t.Errorf("got %d problems, want %d: %q", len(problems), test.problems, problems)
			}
		})
	}
}
