package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"banyan/model"
)

func TestParseFile(t *testing.T) {
	for name, test := range map[string]struct{ text, says string }{
		"whole": {"name: berlin\ndata: /var/lib/banyan\nlisteners: {links: \"0.0.0.0:7443\", api: \"[::]:8443\"}\napi: {certificate: a.pem, key: b.pem}\nlog:\n  level: debug\n  format: json\n", ""},
		"least": {"name: berlin\ndata: d\n", ""},

		"empty":              {"", "f.yaml"},
		"no mapping":         {"- a\n", "1:1"},
		"two documents":      {"name: a\n---\nname: b\n", "f.yaml"},
		"no YAML":            {"name: [\n", "L2.C1"},
		"unknown key":        {"name: berlin\ndata: d\nnam: x\n", `3:1: the file has no key "nam"`},
		"unknown key inside": {"name: berlin\ndata: d\nlog:\n  lvl: info\n", `4:3: log has no key "lvl": there are format, level`},
		"twice":              {"name: berlin\nname: paris\ndata: d\n", "name"},
		"not a text":         {"name: berlin\ndata: [d]\n", "2:7: a text is expected here"},
		"null":               {"name:\ndata: d\n", "1:6"},
		"section as text":    {"name: berlin\ndata: d\nlog: debug\n", "3:6: log holds keys with values"},
		"no name":            {"data: d\n", "name is missing"},
		"no data":            {"name: berlin\n", "data is missing"},
		"bad name":           {"name: a b\ndata: d\n", "the node's name"},
		"bad address":        {"name: berlin\ndata: d\nlisteners: {api: \"8443\"}\n", "HOST:PORT"},
		"half a certificate": {"name: berlin\ndata: d\napi: {key: b.pem}\n", "both or not at all"},
		"bad level":          {"name: berlin\ndata: d\nlog: {level: loud}\n", "loud"},
		"bad format":         {"name: berlin\ndata: d\nlog: {format: xml}\n", "xml"},
		"huge":               {strings.Repeat("#", maxFileBytes+1), "at most"},
	} {
		f, err := ParseFile("f.yaml", []byte(test.text))
		switch {
		case test.says == "" && (err != nil || f.Name != "berlin" || f.Listeners.API == "" || f.Log.Level == ""):
			t.Errorf("%s: %v, %v", name, f, err)
		case test.says != "" && (model.KindOf(err) != model.KindInvalid || !strings.Contains(err.Error(), test.says)):
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseFile(f *testing.F) {
	f.Add([]byte("name: berlin\ndata: d\nlisteners: {links: \"0.0.0.0:7443\"}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if file, err := ParseFile("f.yaml", raw); err == nil && (file.Name == "" || file.Data == "") {
			t.Errorf("%q became %v", raw, file)
		}
	})
}

// TestLoadFile: relative paths are those of the file's folder, wherever the node is started.
func TestLoadFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "banyan.yaml")
	if err := os.WriteFile(path, []byte("name: berlin\ndata: node\napi: {certificate: a.pem, key: /b.pem}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := LoadFile(path)
	if err != nil || f.Data != filepath.Join(dir, "node") || f.API.Certificate != filepath.Join(dir, "a.pem") || f.API.Key != "/b.pem" {
		t.Errorf("%v, %v", f, err)
	}
	if _, err := LoadFile(filepath.Join(dir, "none.yaml")); model.KindOf(err) != model.KindNotFound {
		t.Error(err)
	}
}
