package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"banyan/proto/apiv1"
	"banyan/proto/apiv1/apiv1connect"

	"connectrpc.com/connect"
	"github.com/hashicorp/go-hclog"
)

// running is a node in this process, with real files, real TLS on loopback, and the administrator logged in.
type running struct {
	*Node
	t        *testing.T
	dir      string
	password string
	roots    *x509.CertPool
	client   *http.Client
	token    string
	stop     func() error
}

// startNode makes and runs a node. It is stopped with the test.
func startNode(t *testing.T) *running {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "node")
	made, err := Init(t.Context(), dir, "berlin", nil)
	if err != nil {
		t.Fatal(err)
	}
	return runNode(t, dir, made.Password)
}

func testConfig(dir string) Config {
	cfg := Config{File: File{Name: "berlin", Data: dir, Listeners: Listeners{Links: "127.0.0.1:0", API: "127.0.0.1:0"}}, Version: "test"}
	if os.Getenv("BANYAN_TEST_LOG") != "" {
		cfg.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Debug})
	}
	return cfg
}

// runNode runs the node in dir.
func runNode(t *testing.T, dir, password string) *running {
	t.Helper()
	return runNodeWith(t, dir, password, func(*Config) {})
}

func runNodeWith(t *testing.T, dir, password string, change func(*Config)) *running {
	t.Helper()
	cfg := testConfig(dir)
	change(&cfg)
	n, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	stopped := false
	r := &running{Node: n, t: t, dir: dir, password: password}
	r.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(10 * time.Second):
			t.Fatal("the node did not stop within 10 s")
			return nil
		}
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	pem, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	r.roots = x509.NewCertPool()
	r.roots.AppendCertsFromPEM(pem)
	r.client = r.anotherClient()
	r.token = r.login(AdminName, password)
	return r
}

// anotherClient has connections of its own.
func (r *running) anotherClient() *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.roots}, ForceAttemptHTTP2: true}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (r *running) url() string { return "https://" + r.APIAddress() }

func (r *running) login(name, password string) string {
	r.t.Helper()
	answer, err := apiv1connect.NewSessionServiceClient(r.client, r.url()).Login(r.t.Context(), &apiv1.LoginRequest{Name: name, Password: password})
	if err != nil {
		r.t.Fatal(err)
	}
	return answer.Token
}

// post is a request as curl would make it.
func (r *running) post(procedure, token, body string) (int, []byte) {
	r.t.Helper()
	return r.postBy(r.client, procedure, token, body)
}

func (r *running) postBy(client *http.Client, procedure, token, body string) (int, []byte) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url()+procedure, bytes.NewBufferString(body))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, raw
}

// json posts as the administrator and returns the answer, which must be a good one.
func (r *running) json(procedure, body string) map[string]any {
	r.t.Helper()
	status, raw := r.post(procedure, r.token, body)
	if status != http.StatusOK {
		r.t.Fatalf("%s %s: %d %s", procedure, body, status, raw)
	}
	var answer map[string]any
	if err := json.Unmarshal(raw, &answer); err != nil {
		r.t.Fatalf("%s: %v", raw, err)
	}
	return answer
}

// bearer carries a token with each call of a client.
type bearer string

func (b bearer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		request.Header().Set("Authorization", "Bearer "+string(b))
		return next(ctx, request)
	}
}

func (b bearer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		conn.RequestHeader().Set("Authorization", "Bearer "+string(b))
		return conn
	}
}

func (b bearer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// client is the API for whoever has a token.
func (r *running) api(token string, options ...connect.ClientOption) apiv1connect.TreeServiceClient {
	return apiv1connect.NewTreeServiceClient(r.client, r.url(), append(options, connect.WithInterceptors(bearer(token)))...)
}

func TestFirstSteps(t *testing.T) {
	n := startNode(t)
	if status, raw := n.post(apiv1connect.TreeServiceGetProcedure, "", `{"address":"/system:name"}`); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d %s", status, raw)
	}
	answer := n.json(apiv1connect.TreeServiceGetProcedure, `{"address":"/system:api_hosts"}`)
	if answer["value"] != "localhost,127.0.0.1,::1" || answer["type"] != "string" {
		t.Errorf("get: %v", answer)
	}
	n.json(apiv1connect.TreeServiceCreateProcedure, `{"path":"/devices/sim","kind":"simulator","texts":{"poll_interval":"1h"}}`)
	result := n.json(apiv1connect.TreeServiceCallProcedure, `{"path":"/devices/sim","function":"poll_now"}`)
	if results, _ := result["results"].([]any); len(results) != 3 {
		t.Errorf("poll_now: %v", result)
	}
	answer = n.json(apiv1connect.TreeServiceGetProcedure, `{"address":"/devices/sim:all_int64"}`)
	if answer["value"] != "9007199254740993" || answer["quality"] != "good" {
		t.Errorf("get: %v", answer)
	}
	if err := n.stop(); err != nil {
		t.Error(err)
	}
}
