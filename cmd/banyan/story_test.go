package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"banyan/pki"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"banyan": main})
}

// TestStories tells what people do, in processes of their own: those in testdata/fake with a node that misbehaves on purpose, those in
// testdata/real with real ones.
func TestStories(t *testing.T) {
	commands := map[string]func(*testscript.TestScript, bool, []string){
		"code": expectCode, "until": untilDone, "mode": expectMode, "keep": keepOutput, "within": within, "terminate": terminate, "agree": agree,
	}
	t.Run("fake", func(t *testing.T) {
		testscript.Run(t, testscript.Params{Dir: "testdata/fake", Cmds: commands, Setup: func(e *testscript.Env) error {
			f := startFake(e.T().(testing.TB))
			e.Setenv("API", f.server.URL)
			return errors.Join(
				surroundings(e), writeNetwork(e.Getenv("WORK"), f),
				os.WriteFile(filepath.Join(e.WorkDir, "ca.pem"), f.ca(), 0o600), os.WriteFile(filepath.Join(e.WorkDir, "other.pem"), strangersCA(e), 0o600),
				os.WriteFile(filepath.Join(e.WorkDir, "password"), []byte(fakePassword+"\n"), 0o600),
			)
		}})
	})
	t.Run("real", func(t *testing.T) {
		testscript.Run(t, testscript.Params{Dir: "testdata/real", Cmds: commands, Setup: func(e *testscript.Env) error {
			for _, name := range []string{"API_A", "LINKS_A", "API_B", "LINKS_B"} {
				free, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					return err
				}
				defer free.Close() // so that no port is drawn twice
				e.Setenv(name, free.Addr().String())
			}
			e.Defer(func() { // a story that failed in the middle leaves a network that outlives its commands
				down := exec.Command("banyan", "topology", "down", "--dir", filepath.Join(e.WorkDir, "D"))
				_ = down.Run() // mostly there is none
			})
			return surroundings(e)
		}})
	})
}

// strangersCA is the root of a node that is none of the test's.
func strangersCA(e *testscript.Env) []byte {
	dir := filepath.Join(e.WorkDir, "stranger")
	_, made := pki.Create(dir, "stranger", time.Now())
	pem, read := os.ReadFile(filepath.Join(dir, pki.CAFile))
	if err := errors.Join(made, read); err != nil {
		e.T().Fatal(err)
	}
	return pem
}

// surroundings keep the environment of who runs the tests out.
func surroundings(e *testscript.Env) error {
	e.Setenv("BANYAN_CONFIG", filepath.Join(e.WorkDir, "config"))
	for _, name := range []string{"BANYAN_NET", "BANYAN_NODE", "BANYAN_USER", "BANYAN_PROFILE", "HTTPS_PROXY", "https_proxy"} {
		e.Setenv(name, "")
	}
	return nil
}

// writeNetwork makes the folder of a network with two nodes, of which one runs.
func writeNetwork(work string, f *fakeNode) error {
	dir := filepath.Join(work, "net")
	nodes := map[string]map[string]string{"hq": {"api": f.server.Listener.Addr().String()}, "down": {"api": "127.0.0.1:1"}}
	state, err := json.Marshal(map[string]any{"network": "fake", "nodes": nodes})
	if err != nil {
		return err
	}
	var problems []error
	for _, sub := range []string{"secrets", "nodes/hq", "nodes/down"} {
		problems = append(problems, os.MkdirAll(filepath.Join(dir, sub), 0o700))
	}
	for name, content := range map[string][]byte{
		"network.json": state, "nodes/hq/ca.pem": f.ca(), "nodes/down/ca.pem": f.ca(), "secrets/hq": []byte(fakePassword + "\n"), "secrets/down": []byte("x"),
		"secrets/hq.mallory": []byte("guess"),
	} {
		problems = append(problems, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	return errors.Join(problems...)
}

// expectCode is `code N PROGRAM ARGS...`: the program ends with exit code N.
func expectCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N PROGRAM ARGS...")
	}
	got := 0
	var ended *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &ended) {
		got = ended.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s\nstdout: %s\nstderr: %s", got, args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// untilDone is `until login FILE ARGS...`: banyan login with the password in FILE, or `until matches PATTERN PROGRAM ARGS...`: the program
// prints a line that matches. Either comes true within a minute: another process can only be asked again, and `within` is for what has to be soon.
func untilDone(ts *testscript.TestScript, _ bool, args []string) {
	try := func() error {
		login := exec.Command("banyan", append([]string{"login"}, args[2:]...)...)
		login.Dir, login.Stdin = ts.MkAbs("."), strings.NewReader(ts.ReadFile(args[1]))
		login.Env = append(os.Environ(), "BANYAN_CONFIG="+ts.Getenv("BANYAN_CONFIG"))
		if said, err := login.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, said)
		}
		return nil
	}
	if args[0] == "matches" {
		pattern := regexp.MustCompile("(?m)" + args[1])
		try = func() error {
			err := ts.Exec(args[2], args[3:]...)
			if err == nil && !pattern.MatchString(ts.ReadFile("stdout")) {
				err = errors.New("no line matches " + args[1])
			}
			return err
		}
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("it does not come true: %v", err)
		}
	}
}

// terminate is `terminate`: SIGTERM to everything in the background.
func terminate(ts *testscript.TestScript, _ bool, _ []string) {
	for _, background := range ts.BackgroundCmds() {
		ts.Check(background.Process.Signal(syscall.SIGTERM))
	}
}

// agree is `agree PROFILE ADDRESS...`: what banyan prints and what a plain JSON client is told are the same, field by field.
func agree(ts *testscript.TestScript, _ bool, args []string) {
	var p profile
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(filepath.Join("config", args[0]+".json"))), &p))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(p.CA))
	plain := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer plain.CloseIdleConnections()
	for _, address := range args[1:] {
		ts.Check(ts.Exec("banyan", "--profile", args[0], "get", address, "--json"))
		request, err := http.NewRequest(http.MethodPost, p.URL+"/banyan.api.v1.TreeService/Get", strings.NewReader(`{"address":"`+address+`"}`))
		ts.Check(err)
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+p.Token)
		response, err := plain.Do(request)
		ts.Check(err)
		var printed, told map[string]any
		ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &printed))
		ts.Check(json.NewDecoder(response.Body).Decode(&told))
		ts.Check(response.Body.Close())
		if difference := cmp.Diff(told, printed); difference != "" {
			ts.Fatalf("%s: the API (-) and banyan (+) differ:\n%s", address, difference)
		}
	}
}

// expectMode is `mode 600 FILE`.
func expectMode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := strconv.FormatUint(uint64(info.Mode().Perm()), 8); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

// keepOutput is `keep stdout FILE`.
func keepOutput(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(ts.ReadFile(args[0])), 0o600))
}

// within is `within DURATION CODE PROGRAM ARGS...`: code, and it takes no longer.
func within(ts *testscript.TestScript, neg bool, args []string) {
	most, err := time.ParseDuration(args[0])
	ts.Check(err)
	began := time.Now()
	expectCode(ts, neg, args[1:])
	if took := time.Since(began); took > most {
		ts.Fatalf("it took %s, at most %s is allowed", took, most)
	}
}
