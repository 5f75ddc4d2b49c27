package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"syscall"
	"time"

	"banyan/proto/apiv1"
	"banyan/proto/apiv1/apiv1connect"
	"banyan/server"

	"connectrpc.com/connect"
)

// listening is what a node's process says when it serves.
type listening struct{ API, Links string }

// runNode runs the node in dir.
func runNode(o *options) error {
	name := o.name
	stopProfile, err := profileTo(o.profile, name)
	if err != nil {
		return err
	}
	defer stopProfile()
	file := server.File{Name: name, Data: o.dir}
	file.Listeners.API, file.Listeners.Links = o.address, o.links
	file.Ceilings.KeepMemory()
	node, err := server.New(context.Background(), server.Config{File: file, Logger: server.NewLogger(server.LogOptions{Level: "warn"}, name)})
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(listening{node.APIAddress(), node.LinksAddress()}); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if o.profile != "" {
		go standing(ctx, o.profile, name)
	}
	thrifty, enough := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.KeepThrift(thrifty)
	}()
	err = node.Run(ctx)
	enough()
	<-done
	return err
}

// profileTo writes what the processor is used for into a directory, nothing where there is none, until it is stopped; and then what stands in memory.
func profileTo(dir, name string) (stop func(), err error) {
	if dir == "" {
		return func() {}, nil
	}
	file, err := os.Create(filepath.Join(dir, name+".pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = file.Close()
		if heap, err := os.Create(filepath.Join(dir, name+".heap")); err == nil {
			_ = pprof.WriteHeapProfile(heap)
			_ = heap.Close()
		}
	}, nil
}

// node is a node's process with a session of its administrator.
type node struct {
	*process
	name           string
	dir            string
	user, password string
	at             listening
	trees          apiv1connect.TreeServiceClient
	program        string // that runs it in place of this one, with its configuration file: the product as people get it
}

func startNode(ctx context.Context, parent, name, profile string) (*node, error) {
	return startNodeAt(ctx, anywhere, parent, name, profile)
}

func startNodeAt(ctx context.Context, on place, parent, name, profile string) (*node, error) {
	n := &node{name: name, dir: filepath.Join(parent, name)}
	made, err := server.Init(ctx, n.dir, name, nil)
	if err != nil {
		return nil, err
	}
	if err := n.begin(append(on.arguments(), "-profile", profile)...); err != nil {
		return nil, err
	}
	if err := n.serving(); err != nil {
		return nil, err
	}
	n.user, n.password = made.AdminName, made.Password
	return n, n.login(ctx)
}

// login begins a session of the administrator.
func (n *node) login(ctx context.Context) error {
	client, err := httpClient(filepath.Join(n.dir, "ca.pem"))
	if err != nil {
		return err
	}
	session, err := apiv1connect.NewSessionServiceClient(client, "https://"+n.at.API).Login(ctx, &apiv1.LoginRequest{Name: n.user, Password: n.password})
	if err != nil {
		return err
	}
	return n.asks(session.GetToken())
}

// asks lets the node be asked with a token from now on.
func (n *node) asks(token string) error {
	client, err := httpClient(filepath.Join(n.dir, "ca.pem"))
	if err != nil {
		return err
	}
	n.trees = apiv1connect.NewTreeServiceClient(client, "https://"+n.at.API, bearerOf(token))
	return os.WriteFile(filepath.Join(n.dir, "token"), []byte(token), 0o600)
}

// begin starts the node's process.
func (n *node) begin(arguments ...string) (err error) {
	if n.program != "" {
		n.process, err = startProgram(os.Stderr, n.program, "serve", "--config", filepath.Join(n.dir, "node.yaml"))
		return err
	}
	n.process, err = start("node", append(arguments, "-dir", n.dir, "-name", n.name)...)
	return err
}

// serving waits until the node answers.
func (n *node) serving() error {
	if n.program == "" {
		if err := n.result(&n.at); err != nil {
			n.stop()
			return err
		}
	}
	if err := reachable(n.at.API); err != nil {
		n.stop()
		return err
	}
	return nil
}

// restart kills the node and starts it again where it was, and says how long it is from there until it answers.
func (n *node) restart(ctx context.Context, profile string) (time.Duration, error) {
	if profile != "" {
		n.stop() // else there is none
		profile = filepath.Join(profile, "again")
		if err := os.MkdirAll(profile, 0o700); err != nil {
			return 0, err
		}
	} else {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait()
	}
	began := time.Now()
	if err := n.begin("-address", n.at.API, "-links", n.at.Links, "-profile", profile); err != nil {
		return 0, err
	}
	if err := n.serving(); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, n.login(ctx)
}

// httpClient trusts one root.
func httpClient(caFile string) (*http.Client, error) {
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}, ForceAttemptHTTP2: true,
	}}, nil
}

// bearer proves who asks, on single requests and on streams.
type bearer string

func bearerOf(token string) connect.ClientOption { return connect.WithInterceptors(bearer(token)) }

// WrapUnary adds the token.
func (b bearer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		request.Header().Set("Authorization", "Bearer "+string(b))
		return next(ctx, request)
	}
}

// WrapStreamingClient adds the token.
func (b bearer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		conn.RequestHeader().Set("Authorization", "Bearer "+string(b))
		return conn
	}
}

// WrapStreamingHandler does nothing: this is a client.
func (bearer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

func (n *node) call(ctx context.Context, path, function string, texts map[string]string) (map[string]string, error) {
	response, err := n.trees.Call(ctx, &apiv1.CallRequest{Path: path, Function: function, Texts: texts})
	if err != nil {
		return nil, fmt.Errorf("%s: call %s:%s: %w", n.name, path, function, err)
	}
	results := make(map[string]string)
	for _, r := range response.GetResults() {
		results[r.GetName()] = r.GetValue().GetStringValue()
	}
	return results, nil
}
