package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"banyan/proto/apiv1"
	"banyan/proto/apiv1/apiv1connect"
	"connectrpc.com/connect"

	"banyan/access"
	"banyan/model"
)

// TestInfo: a stranger learns which node it is, and nothing of how it is.
func TestInfo(t *testing.T) {
	n := startNode(t)
	n.user("bob", rule("/devices", model.RightView))
	for name, test := range map[string]struct {
		token string
		all   bool
	}{
		"a stranger": {"", false}, "a token that has ended": {sessionPrefix + "x", false}, "somebody who may not see the node": {n.login("bob", "correct horse"), false},
		"the administrator": {n.token, true},
	} {
		info, err := apiv1connect.NewNodeServiceClient(n.client, n.url(), connect.WithInterceptors(bearer(test.token))).Info(t.Context(), &apiv1.InfoRequest{})
		if err != nil || info.Name != "berlin" || info.Id != n.ID().String() {
			t.Fatalf("%s: %v, %v", name, info, err)
		}
		if all := info.Version != "" && info.Epoch != "" && info.ProcessId != 0; all != test.all {
			t.Errorf("%s gets %v", name, info)
		}
	}
}

// TestOldHTTP: a stream over HTTP/1.1 works, as through an old proxy.
func TestOldHTTP(t *testing.T) {
	n := startNode(t)
	old := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: n.roots, NextProtos: []string{"http/1.1"}}}}
	defer old.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream, err := apiv1connect.NewTreeServiceClient(old, n.url(), connect.WithInterceptors(bearer(n.token))).Watch(
		ctx, &apiv1.WatchRequest{Addresses: []string{"/users/admin:roles"}})
	if err != nil || !stream.Receive() {
		t.Fatal(err, stream.Err())
	}
	n.must(Request{Op: OpCreate, Path: model.MustPath("/roles/r"), Kind: KindRole, Arguments: []model.Argument{
		{Name: settingRules, Value: RulesValue([]access.Rule{rule("/x", model.RightView)})},
	}})
	n.must(setRequest("/users/admin", settingRoles, model.String("r")))
	if !stream.Receive() || stream.Msg().Readings[0].Value.GetStringValue() != "r" {
		t.Errorf("%v, %v", stream.Msg(), stream.Err())
	}
}

// slowBody sends a byte a second, so many of them.
type slowBody struct{ left int }

func (s *slowBody) Read(p []byte) (int, error) {
	if s.left--; s.left < 0 {
		return 0, io.EOF
	}
	time.Sleep(time.Second)
	p[0] = ' '
	return 1, nil
}

// TestSlowBodyIsCutOff, while an answer may take its time.
func TestSlowBodyIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := newPipes()
		var read error
		server := &http.Server{Handler: limitBody(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, read = io.ReadAll(r.Body)
			if read == nil {
				time.Sleep(10 * time.Minute)
				read = r.Context().Err()
			}
		}))}
		go func() { _ = server.Serve(listener) }()
		client := &http.Client{Transport: &http.Transport{DialContext: listener.dial}}
		response, err := client.Post("http://node/", "", strings.NewReader("{}"))
		if err != nil || read != nil {
			t.Errorf("a quick request with a slow answer: %v, %v", err, read)
		} else {
			_ = response.Body.Close()
		}
		began := time.Now()
		response, err = client.Post("http://node/", "", &slowBody{300})
		if err == nil {
			_ = response.Body.Close()
		}
		if took := time.Since(began); read == nil || took > requestWithin+5*time.Second {
			t.Errorf("a slow body: %v after %s", read, took)
		}
		client.CloseIdleConnections()
		if err := server.Close(); err != nil && !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		time.Sleep(10 * time.Minute) // until the body has nothing left to send
	})
}

// TestLargeBodyIsRefused before it is decoded.
func TestLargeBodyIsRefused(t *testing.T) {
	n := startNode(t)
	status, raw := n.post(apiv1connect.TreeServiceSetProcedure, n.token, `{"address":"/users/admin:roles","text":"`+strings.Repeat("x", maxBodyBytes)+`"}`)
	if status == http.StatusOK || len(raw) > 4096 {
		t.Errorf("%d, %d bytes", status, len(raw))
	}
}
