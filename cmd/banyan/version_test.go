package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestCommandLine(t *testing.T) {
	tests := []struct {
		name           string
		args           []string
		code           int
		stdout, stderr string // wanted parts; "" means that nothing at all is printed
	}{
		{"no command shows help", []string{}, 0, "version", ""},
		{"version", []string{"version"}, 0, "banyan devel (go", ""},
		{"version takes no argument", []string{"version", "x"}, 2, "", `unknown command "x"`},
		{"unknown command", []string{"frobnicate"}, 2, "", `banyan: unknown command "frobnicate"`},
		{"too few arguments", []string{"create", "/devices/x"}, 2, "", "banyan: it is: banyan create PATH KIND [NAME=VALUE]... [flags]"},
		{"too many arguments", []string{"remove", "/a", "/b"}, 2, "", "banyan: it is: banyan remove PATH [flags]"},
		{"no operation of the log", []string{"audit", "--operation", "sett"}, 2, "", `nothing is told as "sett" (did you mean set?)`},
		{"no instant", []string{"audit", "--since", "yesterday"}, 2, "", `--since: "yesterday" is neither an instant like`},
		{"no length of time", []string{"tokens", "add", "x", "--expires", "1x"}, 2, "", `--expires: "1x" is not a length of time: write one like 12h or 30d`},
		{"unknown flag", []string{"version", "--nope"}, 2, "", "banyan: unknown flag: --nope"},
		{"an error says what to do next", []string{"frobnicate"}, 2, "", "Run 'banyan --help'"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := runIn(t, test.args, "", &stdout, &stderr); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			checkOutput(t, "stdout", stdout.String(), test.stdout)
			checkOutput(t, "stderr", stderr.String(), test.stderr)
		})
	}
}

// runIn runs one command line away from the profiles and the environment of who runs the tests.
func runIn(t *testing.T, args []string, in string, stdout, stderr io.Writer) int {
	t.Helper()
	t.Setenv("BANYAN_CONFIG", t.TempDir())
	for _, name := range []string{"BANYAN_NET", "BANYAN_NODE", "BANYAN_USER", "BANYAN_PROFILE"} {
		t.Setenv(name, "")
	}
	return run(t.Context(), args, strings.NewReader(in), stdout, stderr)
}

func checkOutput(t *testing.T, name, got, want string) {
	t.Helper()
	if want == "" && got != "" {
		t.Errorf("%s is %q, want nothing", name, got)
	}
	if !strings.Contains(got, want) {
		t.Errorf("%s is %q, want it to contain %q", name, got, want)
	}
}

func TestVersionJSON(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := runIn(t, []string{"version", "--json"}, "", &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	var info versionInfo
	decoder := json.NewDecoder(&stdout)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&info); err != nil {
		t.Fatal(err)
	}
	if info.Version != "devel" || info.Go == "" || !strings.Contains(info.Platform, "/") {
		t.Errorf("got %+v", info)
	}
}

// A result that could not be written must not end in exit code 0: a script
// would take the cut output for the whole.
func TestWriteErrorFails(t *testing.T) {
	var stderr bytes.Buffer
	if code := runIn(t, []string{"version"}, "", brokenPipe{}, &stderr); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }
