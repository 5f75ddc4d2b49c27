package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	banyan "banyan/clients/go"
	"banyan/rest"
)

// startNamed makes and runs a node of a name of its own.
func startNamed(t *testing.T, name string) *running {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	made, err := Init(t.Context(), dir, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return runNodeWith(t, dir, made.Password, func(c *Config) { c.Name, c.Beat = name, 300*time.Millisecond })
}

// TestTypeScriptClient compiles the client that is made from the document, and does every task of the README with it.
func TestTypeScriptClient(t *testing.T) {
	folder, err := filepath.Abs(filepath.Join("..", "clients", "typescript"))
	if err != nil {
		t.Fatal(err)
	}
	compiler := filepath.Join(folder, "node_modules", ".bin", "tsc")
	if _, err := os.Stat(compiler); err != nil {
		t.Fatalf("%v: `make clients/typescript/node_modules/.package-lock.json` installs it; it needs the Debian packages nodejs and npm", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, compiler, "-p", folder).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	hq, berlin := startNamed(t, "hq"), startNamed(t, "berlin")
	roots := filepath.Join(t.TempDir(), "roots.pem")
	var pem []byte
	for _, n := range []*running{hq, berlin} {
		one, err := os.ReadFile(filepath.Join(n.dir, "ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		pem = append(pem, one...)
	}
	if err := os.WriteFile(roots, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(ctx, "node", "--test", filepath.Join(folder, "dist", "test"))
	command.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+roots,
		"BANYAN_HQ="+hq.url(), "BANYAN_HQ_PASSWORD="+hq.password, "BANYAN_BERLIN="+berlin.url(), "BANYAN_BERLIN_PASSWORD="+berlin.password)
	out, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "# pass 3") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestDocumentIsValid to a validator that is not ours.
func TestDocumentIsValid(t *testing.T) {
	folder := filepath.Join("..", "clients", "typescript")
	validator := filepath.Join("node_modules", ".bin", "redocly")
	if _, err := os.Stat(filepath.Join(folder, validator)); err != nil {
		t.Fatalf("%v: `make clients/typescript/node_modules/.package-lock.json` installs it; it needs the Debian packages nodejs and npm", err)
	}
	n := startNode(t)
	document := filepath.Join(t.TempDir(), "openapi.json")
	if err := os.WriteFile(document, n.rest("", http.MethodGet, "/openapi.json", "").raw, 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), validator, "lint", "--format=json", document)
	command.Dir = folder
	command.Env = append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true")
	var told struct {
		Totals struct{ Errors, Warnings int }
	}
	out, err := command.Output()
	if bad := json.Unmarshal(out, &told); err != nil || bad != nil || told.Totals.Errors+told.Totals.Warnings > 0 {
		t.Errorf("%v, %v\n%s", err, bad, out)
	}
}

// goClient is the Go client that is made from the document.
func (r *running) goClient(token string) *banyan.ClientWithResponses {
	r.t.Helper()
	client, err := banyan.NewClientWithResponses(r.url()+rest.Prefix, banyan.WithHTTPClient(r.client), banyan.WithRequestEditorFn(banyan.Token(token)))
	if err != nil {
		r.t.Fatal(err)
	}
	return client
}

// TestGoClient reads, changes, watches, calls, creates and removes with the Go client, and the second of two who edit is told.
func TestGoClient(t *testing.T) {
	n := startNode(t)
	ctx := t.Context()
	session, err := n.goClient("").OpenSessionWithResponse(ctx, banyan.Credentials{Name: AdminName, Password: n.password})
	if err != nil || session.JSON201 == nil {
		t.Fatalf("%v, %s", err, session.Body)
	}
	client := n.goClient(session.JSON201.Token)
	const path, step = "/devices/go", "/devices/go:step"
	settings := map[string]banyan.Value{"poll_interval": banyan.Value(`"1h0m0s"`), "points": banyan.Value(`"3"`)}
	made, err := client.CreateContextWithResponse(ctx, nil, banyan.NewContext{Path: path, Kind: "simulator", Settings: &settings})
	if err != nil || made.JSON201 == nil {
		t.Fatalf("%v, %s", err, made.Body)
	}
	read, err := client.GetContextWithResponse(ctx, path)
	if err != nil || read.JSON200 == nil || len(read.JSON200.Functions) == 0 {
		t.Fatalf("%v, %s", err, read.Body)
	}
	tag := read.HTTPResponse.Header.Get("ETag")
	var statuses []int
	for _, value := range []string{"2.5", "3.5"} {
		raw := banyan.Value(value)
		done, err := client.SetValueWithResponse(ctx, step, &banyan.SetValueParams{IfMatch: &tag}, banyan.NewValue{Value: &raw})
		if err != nil {
			t.Fatal(err)
		}
		statuses = append(statuses, done.StatusCode())
		if done.ApplicationproblemJSONDefault != nil && (done.ApplicationproblemJSONDefault.Kind != banyan.Conflict || done.ApplicationproblemJSONDefault.Revision == nil) {
			t.Errorf("%s", done.Body)
		}
	}
	if !slices.Equal(statuses, []int{http.StatusOK, http.StatusPreconditionFailed}) {
		t.Errorf("two who edit get %v", statuses)
	}
	value, err := client.GetValueWithResponse(ctx, step)
	if err != nil || value.JSON200 == nil || string(value.JSON200.Value) != "2.5" || value.JSON200.Quality != banyan.Good {
		t.Errorf("%v, %s", err, value.Body)
	}
	called, err := client.CallFunctionWithResponse(ctx, path+":poll_now", nil, banyan.Arguments{})
	if err != nil || called.JSON200 == nil || len(called.JSON200.Results) == 0 {
		t.Errorf("%v, %s", err, called.Body)
	}
	n.watchWithGo(ctx, client, step)
	removed, err := client.RemoveContextWithResponse(ctx, path, nil)
	if err != nil || removed.StatusCode() != http.StatusOK {
		t.Errorf("%v, %s", err, removed.Body)
	}
	gone, err := client.GetContextWithResponse(ctx, path)
	if err != nil || gone.ApplicationproblemJSONDefault == nil || gone.ApplicationproblemJSONDefault.Kind != banyan.NotFound {
		t.Errorf("%v, %s", err, gone.Body)
	}
}

// watchWithGo sees a change, and at last why the stream ends.
func (r *running) watchWithGo(ctx context.Context, client *banyan.ClientWithResponses, address string) {
	r.t.Helper()
	response, err := client.Watch(ctx, &banyan.WatchParams{Address: []string{address}}) //nolint:bodyclose // Events closes it
	if err != nil {
		r.t.Fatal(err)
	}
	var seen []string
	enough := errors.New("enough")
	err = banyan.Events(response, func(event string, readings banyan.Readings) error {
		seen = append(seen, event+" "+string(readings.Readings[0].Value))
		if event == "change" {
			return enough
		}
		text := "8.5"
		_, err := client.SetValueWithResponse(ctx, address, nil, banyan.NewValue{Text: &text})
		return err
	})
	if !errors.Is(err, enough) || !slices.Equal(seen, []string{"snapshot 2.5", "change 8.5"}) {
		r.t.Errorf("%v, %v", seen, err)
	}
	refused, err := client.Watch(ctx, &banyan.WatchParams{Address: []string{"/devices/none"}}) //nolint:bodyclose // Events closes it
	if err != nil {
		r.t.Fatal(err)
	}
	var problem *banyan.Problem
	if err := banyan.Events(refused, nil); !errors.As(err, &problem) || problem.Kind != banyan.NotFound {
		r.t.Error(err)
	}
}
