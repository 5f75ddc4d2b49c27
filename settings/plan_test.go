package settings

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/model"
	"banyan/yamlfile"

	"go.yaml.in/yaml/v4"
)

// pumps is a template with a thousand instances in a CSV file.
const pumps = `templates:
  pump:
    kind: simulator
    label: $${raw} ${name}, ${hall}
    settings: {points: "${points}", mode: "${mode}", key: {secret: "keys/${hall}"}}
instances:
  - {template: pump, path: "/devices/${hall}/${name}", from: pumps.csv}
  - template: pump
    path: /devices/${name}
    with:
      - {name: last, hall: ~, points: 16, mode: "a: b"}
`

func pumpsCSV(count int) []byte {
	var file bytes.Buffer
	file.WriteString("\xEF\xBB\xBFname,hall,points,mode\r\n")
	for i := range count {
		fmt.Fprintf(&file, "p%d,h%d,%d,\"a \"\"b\"\",\nc\"\r\n", i, i%7, 2+i%5)
	}
	return file.Bytes()
}

func TestTemplatesMakeManyOfOne(t *testing.T) {
	open := func(string) ([]byte, error) { return pumpsCSV(1000), nil }
	source := strings.Replace(pumps, "points: 16", "points:", 1)
	file, err := Read("f.yaml", []byte(source), open)
	if err != nil {
		t.Fatal(err)
	}
	state := empty()
	plan, err := file.Plan(state, Options{Secret: func(name string) (string, bool) { return "of " + name, true }})
	if err != nil {
		t.Fatal(err)
	}
	state.do(t, plan)
	if plan.Edits() != 1001 {
		t.Fatalf("%d edits", plan.Edits())
	}
	c := state.Contexts[model.MustPath("/devices/h3/p10")]
	if c == nil || c.Label != "${raw} p10, h3" || c.Values["points"].Int64() != 2 || c.Values["mode"].Text() != "a \"b\",\nc" || !c.Secrets["key"] {
		t.Errorf("%+v", c)
	}
	last := state.Contexts[model.MustPath("/devices/last")]
	if _, set := last.Values["points"]; set || last.Values["mode"].Text() != "a: b" || last.Label != "${raw} last, " {
		t.Errorf("what is empty is not left out: %+v", last)
	}
	i := slices.IndexFunc(plan.Batches[0].Edits, func(e *Edit) bool { return e.Path == c.Path })
	e := plan.Batches[0].Edits[i]
	if at, _ := e.Place("nothing"); at.File != "pumps.csv" || at.Line != 2+2*10 {
		t.Errorf("it is said to stand at %v", at)
	}
	for _, a := range e.Settings {
		if a.Name == "key" && a.Value.Text() != "of keys/h3" {
			t.Errorf("the key is %q", a.Value.Text())
		}
	}
}

// TestSecretsAreKept tries who wins: what is there, what is given, and what is to be renewed.
func TestSecretsAreKept(t *testing.T) {
	const source = "contexts:\n  /users/a:\n    kind: user\n    settings: {password: {secret: %s}}\n"
	given := func(name string) (string, bool) { return "canary-secret", name == "known" }
	for _, test := range []struct {
		name       string
		there, new bool
		renew      bool
		edits      int
		refused    bool
	}{
		{name: "known", edits: 1}, {name: "unknown", refused: true}, {name: "keep", edits: 1},
		{name: "known", there: true}, {name: "unknown", there: true}, {name: "keep", there: true},
		{name: "known", there: true, renew: true, edits: 1}, {name: "unknown", there: true, renew: true}, {name: "~", there: true, edits: 1},
	} {
		state := empty()
		if test.there {
			state.put(&Context{Path: model.MustPath("/users/a"), Kind: state.Kinds["user"], Secrets: map[string]bool{"password": true}})
		}
		text := fmt.Sprintf(source, test.name)
		if test.name == "~" {
			text = strings.Replace(text, "{secret: ~}", "~", 1)
		}
		file, err := Read("f.yaml", []byte(text), readNothing)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := file.Plan(state, Options{Secret: given, RenewSecrets: test.renew})
		if (err != nil) != test.refused || err == nil && plan.Edits() != test.edits {
			t.Errorf("%+v: %v, %v", test, plan, err)
			continue
		}
		if err == nil && strings.Contains(fmt.Sprint(plan.Lines()), "canary") {
			t.Errorf("%+v: the secret is shown: %v", test, plan.Lines())
		}
	}
}

func TestPruneLeavesWhatFilesDoNotHold(t *testing.T) {
	state := empty()
	for path, kind := range map[string]string{
		"/devices/a": "folder", "/devices/a/x": "simulator", "/devices/a/y": "simulator", "/devices/b": "folder", "/devices/b/z": "simulator", "/users/u": "user",
		"/links/hq": "link", "/roles/r": "role",
	} {
		state.put(&Context{Path: model.MustPath(path), Kind: state.Kinds[kind]})
	}
	state.put(&Context{Path: model.MustPath("/devices/b/z/disk"), Kind: &Kind{Name: "disk"}, Found: true})
	state.put(&Context{Path: model.MustPath("/sites/x/devices"), Kind: state.Kinds["folder"], Owner: "x"})
	for _, test := range []struct{ source, gone string }{
		{"path: /devices\ncontexts: {/devices/a/x: {kind: simulator}}\n", "/devices/b/z /devices/b /devices/a/y"},
		{"contexts: {/devices/a/x: {kind: simulator}, /users/u: {kind: user}}\n", "/devices/b/z /devices/b /devices/a/y /roles/r"},
		{"path: /users\ncontexts: {}\n", "/users/u"},
	} {
		var gone []string
		plan := planned(t, []byte(test.source), state, Options{Prune: true})
		for _, b := range plan.Batches {
			for _, e := range b.Edits {
				gone = append(gone, e.Path.String())
			}
		}
		if got := strings.Join(gone, " "); got != test.gone {
			t.Errorf("%s\nprunes %s, not %s", test.source, got, test.gone)
		}
	}
}

// TestOwnersGetTheirOwn: what several nodes own is a batch for each.
func TestOwnersGetTheirOwn(t *testing.T) {
	state := empty()
	state.put(&Context{Path: model.MustPath("/sites/x/devices"), Kind: state.Kinds["folder"], Owner: "x"})
	state.put(&Context{Path: model.MustPath("/sites/y/devices"), Kind: state.Kinds["folder"], Owner: "north > y"})
	plan := planned(t, []byte("contexts:\n  /sites/y/devices/a: {kind: simulator}\n  /sites/x/devices/a: {kind: simulator}\n  /devices/a: {kind: simulator}\n"), state, Options{})
	var owners []string
	for _, b := range plan.Batches {
		owners = append(owners, b.Owner)
	}
	if strings.Join(owners, ",") != ",north > y,x" {
		t.Errorf("%q", owners)
	}
	file := string(Write(state, model.MustPath("/sites/x")))
	if !strings.Contains(file, "/sites/x/devices:") || strings.Contains(file, "/sites/y") {
		t.Errorf("the file about a mounted node:\n%s", file)
	}
}

// TestLimits: what is too long is refused soon, and said so.
func TestLimits(t *testing.T) {
	long := func(line string, count int) []byte { return []byte("contexts:\n" + strings.Repeat(line, count)) }
	many := func(count int) []byte {
		var b bytes.Buffer
		b.WriteString("contexts:\n")
		for i := range count {
			fmt.Fprintf(&b, "  /d/%d: {kind: folder}\n", i)
		}
		return b.Bytes()
	}
	csv := func(rows int) Open { return func(string) ([]byte, error) { return pumpsCSV(rows), nil } }
	for name, test := range map[string]struct {
		source []byte
		open   Open
		says   string
	}{
		"bytes":    {long("# "+strings.Repeat("x", 1<<20)+"\n", 9), nil, "at most 8388608 are read"},
		"contexts": {many(MaxContexts + 1), nil, "more than 50000 contexts"},
		"rows":     {[]byte(pumps), csv(MaxContexts + 1), "more than 50000 rows"},
		"csv":      {[]byte(pumps), func(string) ([]byte, error) { return make([]byte, MaxFileBytes+1), nil }, "at most 8388608 are read"},
		"aliases":  {[]byte("a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\ncontexts: {/a: {kind: all, settings: {a_table: *c}}}\n"), nil, ""},
	} {
		began := time.Now()
		_, err := Read("f.yaml", test.source, test.open)
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %.300v", name, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
	began := time.Now()
	state := empty()
	file, err := Read("f.yaml", []byte(pumps), csv(10_000))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := file.Plan(state, Options{Secret: knowsAll, Prune: true})
	if err != nil || plan.Edits() != 10_001 {
		t.Fatal(plan, err)
	}
	t.Logf("10,000 contexts were read and planned in %s", time.Since(began))
}

func TestSecretsFile(t *testing.T) {
	open := func(name string) ([]byte, error) {
		if name == "pw.txt" {
			return []byte("from a file\r\n"), nil
		}
		return readNothing(name)
	}
	found, err := ReadSecrets("s.yaml", []byte("users/a/password: one\nusers: {b: {password: 12, key: {file: pw.txt}}}\n"), open)
	if err != nil || found["users/a/password"] != "one" || found["users/b/password"] != "12" || found["users/b/key"] != "from a file" {
		t.Errorf("%v, %v", found, err)
	}
	for _, source := range []string{"canary", "- canary", "a: [canary]", "a: {file: none}", "a: *canary", "a: {b: {c: ~}}", "a: canary: x"} {
		_, err := ReadSecrets("s.yaml", []byte(source), open)
		var problems yamlfile.Problems
		if !errors.As(err, &problems) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", source, err)
		}
	}
	if Variable("users/älice/pass-word") != "BANYAN_SECRET_USERS__LICE_PASS_WORD" {
		t.Error(Variable("users/älice/pass-word"))
	}
}

// FuzzRead: whatever stands in a file, it is read or refused with places, and nothing panics.
func FuzzRead(f *testing.F) {
	f.Add([]byte(pumps), []byte("name,hall,points,mode\na,b,1,c\n"))
	f.Add(Write(empty(), model.Root), []byte(""))
	f.Add([]byte("contexts: {/devices/a: &a {kind: all, settings: {a_table: [{b: true}], b_table: {columns: {x: int64}, rows: [[1]]}, key: {secret: x}}}, /b: *a}\n"), []byte("\"a\nb\""))
	f.Fuzz(func(t *testing.T, source, csv []byte) {
		file, err := Read("f.yaml", source, func(string) ([]byte, error) { return csv, nil })
		var plan *Plan
		state := empty()
		if err == nil {
			plan, err = file.Plan(state, Options{Secret: func(string) (string, bool) { return "canary-secret", true }, Prune: true})
		}
		if err != nil {
			var problems yamlfile.Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("refused without problems: %v", err)
			}
			for _, p := range problems {
				if p.Line < 1 || p.Column < 1 || p.Remedy == "" {
					t.Fatalf("%v", p)
				}
			}
			return
		}
		if strings.Contains(fmt.Sprint(plan.Lines()), "canary-secret") && !bytes.Contains(source, []byte("canary")) && !bytes.Contains(csv, []byte("canary")) {
			t.Fatal("a secret is shown")
		}
		state.do(t, plan)
		written := Write(state, file.Scope)
		if again, err := Read("g.yaml", written, nil); err != nil {
			t.Fatalf("what was written is not read: %v\n%s", err, written)
		} else if plan, err := again.Plan(state, Options{}); err != nil || !plan.Empty() {
			t.Fatalf("what was written differs: %v, %v\n%s", plan, err, written)
		}
	})
}

// FuzzText: any text comes back from YAML as it was, in a block and between braces.
func FuzzText(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = model.String(text).Text()
		for _, flow := range []bool{false, true} {
			source := "a: " + scalarText(text, flow) + "\n"
			if flow {
				source = "a: [" + scalarText(text, flow) + "]\n"
			}
			var document yaml.Node
			if err := yaml.Load([]byte(source), &document); err != nil {
				t.Fatalf("%q: %v", source, err)
			}
			n := document.Content[0].Content[1]
			if flow {
				n = n.Content[0]
			}
			if n.Value != text || n.Tag != "!!str" {
				t.Fatalf("%q came back as %q, %s from %s", text, n.Value, n.Tag, source)
			}
		}
	})
}
