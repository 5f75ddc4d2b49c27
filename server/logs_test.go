package server

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"banyan/logging"
	"banyan/model"

	"github.com/hashicorp/go-hclog"
)

type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.all.Reset()
	return l.all.String()
}

// TestLogChangesWhileRunning: what is set holds from the next line on and after a restart, and without it what the file says.
func TestLogChangesWhileRunning(t *testing.T) {
	dir := t.TempDir()
	made, err := Init(t.Context(), dir, "berlin", nil)
	if err != nil {
		t.Fatal(err)
	}
	out := &lines{}
	start := func() *running {
		return runNodeWith(t, dir, made.Password, func(c *Config) {
			c.Log = LogOptions{Level: "warn"}
			c.Logger = logging.New(logging.Config{Name: "berlin", Levels: logging.Levels{All: hclog.Warn}, Output: out})
		})
	}
	says := func(n *running, what, component string, level hclog.Level, want bool) {
		t.Helper()
		out.take()
		n.log.Named(component).Log(level, "a line")
		if said := out.take(); strings.Contains(said, "a line") != want {
			t.Errorf("%s: %s at %s said %q", what, component, level, said)
		}
	}
	n := start()
	says(n, "the file", "peering", hclog.Info, false)
	n.must(setRequest("/system", settingLogLevel, model.String("info,peering=debug")))
	says(n, "set", "peering", hclog.Debug, true)
	says(n, "set", "store", hclog.Debug, false)
	says(n, "set", "store", hclog.Info, true)
	n.must(setRequest("/system", settingLogFormat, model.String("json")))
	n.log.Info("a line")
	if said := out.take(); !strings.HasPrefix(said, "{") {
		t.Error(said)
	}
	for name, bad := range map[string]string{settingLogLevel: "loud", settingLogFormat: "xml"} {
		if _, err := n.execute(n.admin(), setRequest("/system", name, model.String(bad))); model.KindOf(err) != model.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	n = start()
	says(n, "after a restart", "peering", hclog.Debug, true)
	n.must(setRequest("/system", settingLogLevel, model.Value{}))
	says(n, "as in the file again", "peering", hclog.Info, false)
	says(n, "as in the file again", "peering", hclog.Warn, true)
}
