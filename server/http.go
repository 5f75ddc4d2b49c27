package server

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"banyan/pki"

	"github.com/hashicorp/go-hclog"
)

// Limits of the listener for people.
const (
	requestWithin   = 30 * time.Second // for the header and the body of one request
	headerWithin    = 10 * time.Second
	idleConnection  = 2 * time.Minute
	streamsOfOne    = 100 // concurrent requests of one connection; each that waits takes some 50 KiB
	shutdownGrace   = 2 * time.Second
	pingIdle        = 15 * time.Second // an idle HTTP/2 connection is asked whether it is there
	pingTimeout     = 10 * time.Second
	writeStallLimit = 20 * time.Second // a peer that takes nothing for so long is cut off
)

// serveAPI listens for people and programs until ctx ends.
func (n *Node) serveAPI(ctx context.Context) error {
	certificate, err := n.apiCertificate()
	if err != nil {
		return err
	}
	n.certifier.Store(&certificate)
	parts, partsCtx := newTasks(ctx)
	server := n.httpServer(partsCtx)
	listener := n.doors[DoorAPI].Secure(pki.APIConfig(certificate), n.frames)
	parts.start(partsCtx, "certificate", certificate.Run)
	parts.start(partsCtx, "requests", func(context.Context) error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	<-partsCtx.Done()
	// Streams have ended with the context that is theirs, too; what does not end is cut off.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if server.Shutdown(grace) != nil {
		if err := server.Close(); err != nil {
			n.log.Debug("some connections were not closed cleanly", "error", err)
		}
	}
	<-parts.ended()
	return parts.err()
}

// apiCertificate is the administrator's own where there is one, else one that the node's root signs.
func (n *Node) apiCertificate() (pki.Certifier, error) {
	files := n.cfg.API
	if files.Certificate != "" {
		return pki.LoadFiles(files.Certificate, files.Key, n.cfg.Now, n.log.Named("pki"))
	}
	return n.authority.APILeaf(apiHosts(n.tree), pki.LeafConfig{Clock: n.cfg.Now, Logger: n.log.Named("pki")})
}

func (n *Node) httpServer(ctx context.Context) *http.Server {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // TLS is below, on the doorstep
	return &http.Server{
		Handler: forStrangers(limitBody(n.counts.counted(n.routes()))), Protocols: protocols, MaxHeaderBytes: maxHeaderBytes, ReadHeaderTimeout: headerWithin, IdleTimeout: idleConnection,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: streamsOfOne, SendPingTimeout: pingIdle, PingTimeout: pingTimeout, WriteByteTimeout: writeStallLimit,
			MaxReceiveBufferPerConnection: 1 << 20, MaxReceiveBufferPerStream: 256 << 10,
		},
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: withStep,
		ErrorLog:    log.New(quietLog{n.log.Named("http")}, "", 0),
	}
}

// routes are all ways in, each behind its line of a table.
func (n *Node) routes() *routes {
	all := newRoutes(n, Routes)
	all.methods(n.api.handler())
	all.resources(n.restHandler())
	all.HandleFunc("GET /healthz", n.healthz)
	all.Handle("GET /metrics", n.metricsHandler())
	all.HandleFunc("GET /backup", n.backups.serveBackup)
	return all
}

// limitBody bounds what one request may send, and how long it may take to send it.
func limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Requests are small; reflection alone keeps its request open, as long as something comes. Once the body has come, net/http takes the
		// deadline away, so that it does not end a stream that is answered long after.
		// A request without a body has none to wait for, and its deadline would end the stream that answers it.
		if !strings.HasPrefix(r.URL.Path, "/grpc.reflection.") && r.Body != http.NoBody {
			if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(requestWithin)); err != nil {
				http.Error(w, "the request cannot be read", http.StatusInternalServerError)
				return
			}
		}
		r.Body = http.MaxBytesReader(w, r.Body, bodyLimit(r))
		next.ServeHTTP(w, withCut(w, r))
	})
}

// quietLog takes what net/http says about connections: mostly strangers who leave, which is no news to an operator.
type quietLog struct{ log hclog.Logger }

// Write logs a line.
func (q quietLog) Write(line []byte) (int, error) {
	q.log.Debug("connection", "message", strings.TrimSpace(string(line)))
	return len(line), nil
}

// healthz says whether the node is well: to strangers in one word.
func (n *Node) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if n.healthy() {
		_, _ = w.Write([]byte("ok\n"))
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte("not ok\n"))
}

// healthy reports whether the node can confirm something.
func (n *Node) healthy() bool {
	select {
	case <-n.solo.Failed():
		return false
	default:
		return true
	}
}

// Alive reports whether the node does its work: it can confirm something, and gives its tree and its commits out when asked. It answers before ctx ends.
func (n *Node) Alive(ctx context.Context) bool {
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		n.tree.Lookup(systemPath)
		n.commits.tell()
	}()
	select {
	case <-answered:
		return n.healthy()
	case <-ctx.Done():
		return false
	}
}
