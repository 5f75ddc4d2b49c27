package logging

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"banyan/model"

	"github.com/hashicorp/go-hclog"
)

type output struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(p)
}

// take is what was written since the last time.
func (o *output) take() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.all.Reset()
	return o.all.String()
}

func levels(t *testing.T, text string) Levels {
	t.Helper()
	l, err := ParseLevels(text, hclog.Info)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestLevelsChange: loggers that were made before follow, each by the nearest name.
func TestLevelsChange(t *testing.T) {
	out := &output{}
	l := New(Config{Name: "hq", Levels: levels(t, "info"), Output: out})
	peering, mirror := l.Named("peering"), l.Named("store").Named("mirror").With("mount", 7)
	speak := func() string {
		for name, to := range map[string]hclog.Logger{"top": l, "peering": peering, "mirror": mirror} {
			to.Trace("says trace", "who", name)
			to.Debug("says debug", "who", name)
			to.Error("says error", "who", name)
		}
		var said []string
		for line := range strings.Lines(out.take()) {
			for _, who := range []string{"top", "peering", "mirror"} {
				for _, level := range []string{"trace", "debug", "error"} {
					if strings.Contains(line, "says "+level) && strings.Contains(line, "who="+who) {
						said = append(said, who+" "+level)
					}
				}
			}
		}
		return strings.Join(said, ", ")
	}
	for text, want := range map[string][]string{
		"info":                          {"top error", "peering error", "mirror error"},
		"debug":                         {"top debug", "peering debug", "mirror debug"},
		"info,peering=trace":            {"peering trace", "peering debug", "top error"},
		"store=debug":                   {"mirror debug", "top error"},
		"store=trace, store.mirror=off": {"top error", "peering error"},
		"off,peering=error":             {"peering error"},
	} {
		l.Set(levels(t, text), Text)
		said := speak()
		for _, one := range want {
			if !strings.Contains(said, one) {
				t.Errorf("%s: %q is missing: %s", text, one, said)
			}
		}
		for _, one := range []string{"top trace", "mirror trace"} {
			if strings.Contains(said, one) {
				t.Errorf("%s: %q was said", text, one)
			}
		}
		if off := strings.Contains(text, "off"); off && strings.Contains(said, map[bool]string{true: "top", false: "mirror"}[strings.HasPrefix(text, "off")]+" ") {
			t.Errorf("%s: %s", text, said)
		}
	}
}

// TestFormatChanges: the next line has the other form, also of a logger with pairs of its own.
func TestFormatChanges(t *testing.T) {
	out := &output{}
	l := New(Config{Name: "hq", Levels: levels(t, "info"), Output: out})
	device := l.Named("devices").With("device", "/devices/ups 1")
	device.Warn("it is silent", "for", 7)
	if line := out.take(); !strings.Contains(line, `[WARN]  hq.devices: it is silent: device="/devices/ups 1" for=7`) {
		t.Error(line)
	}
	l.Set(levels(t, "info"), JSON)
	device.Warn("it is silent", "for", 7)
	var line map[string]any
	if err := json.Unmarshal([]byte(out.take()), &line); err != nil || line["@message"] != "it is silent" || line["device"] != "/devices/ups 1" || line["@module"] != "hq.devices" {
		t.Error(line, err)
	}
	l.StandardLogger(nil).Print("from a library")
	if text := out.take(); !strings.Contains(text, "from a library") || !strings.HasPrefix(text, "{") {
		t.Error(text)
	}
}

func TestParseLevels(t *testing.T) {
	for _, text := range []string{"info", "debug,peering=trace", "warn,a=debug,b.c=off"} {
		if got := levels(t, text).String(); got != text {
			t.Errorf("%s is read as %s", text, got)
		}
	}
	if got := levels(t, " peering = debug ,").String(); got != "info,peering=debug" {
		t.Error(got)
	}
	many := strings.Repeat("x", 40)
	for i := range maxComponents + 1 {
		many += fmt.Sprintf(",c%d=debug", i)
	}
	for _, bad := range []string{"loud", "peering=", "=debug", "a b=debug", "peering=debug=x", strings.TrimPrefix(many, strings.Repeat("x", 40))} {
		if _, err := ParseLevels(bad, hclog.Info); model.KindOf(err) != model.KindInvalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if CheckFormat("xml") == nil || CheckFormat("") != nil || CheckFormat(JSON) != nil {
		t.Error("formats")
	}
}

// TestChangesAtOnce: changing beside writers is no race.
func TestChangesAtOnce(t *testing.T) {
	l := New(Config{Name: "hq", Levels: levels(t, "info"), Output: &output{}})
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			component := l.Named("a").Named("b")
			for range 1000 {
				component.Debug("x")
				component.With("k", 1).Info("y")
			}
		})
	}
	for i := range 1000 {
		l.Set(levels(t, []string{"info", "a=debug"}[i%2]), []string{Text, JSON}[i%2])
	}
	work.Wait()
}

func BenchmarkNotWritten(b *testing.B) {
	l := New(Config{Name: "hq", Levels: Levels{All: hclog.Info}, Output: &output{}}).Named("peering")
	for b.Loop() {
		l.Debug("nobody reads it")
	}
}
