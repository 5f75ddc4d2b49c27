package dialing

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"banyan/model"
)

const (
	// maxAnswer bounds what a proxy says before a connection is through, bytes.
	maxAnswer = 16 << 10
	// maxInterim is how many answers it may give that say nothing yet.
	maxInterim = 4
)

// through asks a proxy, over a connection to it, for one to address. The connection that it returns is that one; on an error it is closed.
func (d *Dialer) through(ctx context.Context, conn net.Conn, p *proxy, address string) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	through, err := d.ask(ctx, conn, p, address)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		if ctx.Err() != nil || isTimeout(err) {
			err = proxyError(p, "does not answer", "look whether it works and can reach "+address)
		}
		return nil, err
	}
	return through, nil
}

func (d *Dialer) ask(ctx context.Context, conn net.Conn, p *proxy, address string) (net.Conn, error) {
	if p.secured {
		secured := tls.Client(conn, &tls.Config{ServerName: p.host, RootCAs: d.cfg.Roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, tlsError(p, err)
		}
		conn = secured
	}
	request := "CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n"
	if p.asked {
		request += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(p.user+":"+p.word)) + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		return nil, brokenOff(p, err)
	}
	limited := &io.LimitedReader{R: conn, N: maxAnswer}
	answers := bufio.NewReaderSize(limited, 1<<10)
	for range maxInterim {
		if err := notTLS(p, answers); err != nil {
			return nil, err
		}
		answer, err := http.ReadResponse(answers, &http.Request{Method: http.MethodConnect}) //nolint:bodyclose // closing would wait for the rest of a refusal
		if err != nil {
			return nil, badAnswer(p, err, limited.N == 0)
		}
		if answer.ProtoMajor != 1 {
			return nil, badAnswer(p, errors.New(answer.Proto), false)
		}
		if answer.StatusCode >= 200 || answer.StatusCode == http.StatusSwitchingProtocols {
			return conn, verdict(p, address, answer, answers.Buffered())
		}
	}
	return nil, proxyError(p, "answers without ever saying anything", "")
}

// notTLS notices a proxy that wants to be spoken to over TLS: it answers with an alert.
func notTLS(p *proxy, answers *bufio.Reader) error {
	first, err := answers.Peek(1)
	if err != nil {
		return brokenOff(p, err)
	}
	if first[0] == 0x15 && !p.secured {
		return proxyError(p, "speaks TLS", "write https:// before its address")
	}
	return nil
}

// verdict is what an answer says, nil where the connection is through.
func verdict(p *proxy, address string, answer *http.Response, early int) error {
	status := fmt.Sprintf("%d %s", answer.StatusCode, http.StatusText(answer.StatusCode))
	switch {
	case answer.StatusCode/100 == 2 && early > 0:
		return proxyError(p, "is not through: something else than the other node speaks first", "")
	case answer.StatusCode/100 == 2:
		return nil
	case answer.StatusCode == http.StatusProxyAuthRequired:
		return unauthorised(p, answer)
	case answer.StatusCode == http.StatusForbidden:
		return proxyError(p, "does not let connections through to "+address+" ("+status+")", "have the address and its port allowed there, or use another proxy")
	case answer.StatusCode == http.StatusMethodNotAllowed, answer.StatusCode == http.StatusNotImplemented, answer.StatusCode == http.StatusBadRequest, answer.StatusCode == http.StatusNotFound:
		return proxyError(p, "does not know CONNECT ("+status+")", "look whether it is a proxy, and one for this")
	case answer.StatusCode/100 == 5:
		return proxyError(p, "cannot reach "+address+" ("+status+")", "look whether the other node runs, and whether the proxy knows its name")
	}
	return proxyError(p, "refuses a connection to "+address+" ("+status+")", "")
}

func unauthorised(p *proxy, answer *http.Response) error {
	basic := false
	for _, offered := range answer.Header.Values("Proxy-Authenticate") {
		scheme, _, _ := strings.Cut(strings.TrimSpace(offered), " ")
		basic = basic || strings.EqualFold(scheme, "Basic")
	}
	switch {
	case !basic:
		return proxyError(p, "wants to know who connects, and not by a password (407)", "have it accept Basic authentication from this node, or let it through unasked")
	case p.asked:
		return proxyError(p, "does not accept the user and the password of this link (407)", "set proxy_user and proxy_password again")
	}
	return proxyError(p, "asks for a user and a password (407)", "set proxy_user and proxy_password")
}

func badAnswer(p *proxy, err error, tooLong bool) error {
	if tooLong {
		return proxyError(p, fmt.Sprintf("answers with more than %d bytes", maxAnswer), "")
	}
	if isTimeout(err) {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return brokenOff(p, err)
	}
	return proxyError(p, "does not answer as a proxy for HTTP does", "look whether that is its address")
}

func brokenOff(p *proxy, err error) error {
	if isTimeout(err) {
		return err
	}
	return proxyError(p, "broke the connection off ("+reason(err)+")", "look whether that is its address, and what its log says")
}

func tlsError(p *proxy, err error) error {
	var record tls.RecordHeaderError
	switch {
	case isTimeout(err):
		return err
	case errors.As(err, &record):
		return proxyError(p, "does not speak TLS", "write http:// before its address")
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return proxyError(p, "breaks off when it is spoken to over TLS", "write http:// before its address if it does not speak TLS")
	}
	return proxyError(p, "cannot be trusted: "+err.Error(), "have its certificate signed by an authority that this machine trusts")
}

func proxyError(p *proxy, what, remedy string) error {
	return &model.Error{Kind: model.KindUnavailable, Detail: "the proxy " + p.String() + " " + what, Remedy: remedy}
}
