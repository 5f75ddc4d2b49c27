package http

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"banyan/devices"
	"banyan/model"
)

// exchange is what one poll asks and gets, redirects included.
type exchange struct {
	device *device

	phases    phases
	latency   time.Duration
	secured   bool
	answered  bool
	status    int
	protocol  string
	redirects int
	final     string
	read      bool
	size      int64
	complete  bool
	judged    bool
	matches   bool
}

// run asks, follows redirects, reads the body and judges.
func (x *exchange) run(ctx context.Context) error {
	o := &x.device.options
	began := time.Now()
	defer func() { x.latency = time.Since(began) }()
	to, method, body := o.url, o.method, o.body
	for {
		answer, done, err := x.ask(ctx, to, method, body)
		if err != nil {
			return x.problem(err)
		}
		next, err := x.redirected(answer, to)
		if next == nil && err == nil {
			err = x.finish(answer)
			done()
			return err
		}
		_ = answer.Body.Close()
		done()
		if err != nil {
			return err
		}
		if x.redirects++; x.redirects > o.maxRedirects {
			return fmt.Errorf("there are more than %d redirects, the last one to %s", o.maxRedirects, shown(next))
		}
		if method, body = again(answer.StatusCode, method, body); ctx.Err() != nil {
			return x.problem(ctx.Err())
		}
		to = next
	}
}

// ask sends one request. Done is called when its answer was read.
func (x *exchange) ask(ctx context.Context, to *url.URL, method, body string) (answer *http.Response, done func(), err error) {
	o := &x.device.options
	host := endpointOf(to)
	ctx = httptrace.WithClientTrace(ctx, x.phases.trace(host))
	request, err := http.NewRequestWithContext(ctx, method, to.String(), strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if body == "" {
		request.Body, request.ContentLength, request.GetBody = http.NoBody, 0, nil
	}
	request.Header.Set("User-Agent", "banyan")
	for name, values := range o.headers {
		request.Header[name] = values
	}
	if sameOrigin(to, o.url) {
		for name, values := range o.secretHeaders {
			request.Header[name] = values
		}
		if o.username != "" {
			request.SetBasicAuth(o.username, o.password)
		}
		if name := request.Header.Get("Host"); name != "" {
			request.Host = name
		}
	}
	request.Header.Del("Host")
	transport, done := x.device.transport(to, &x.phases)
	x.answered = false
	x.phases.see(devices.Certificate{})
	answer, err = transport.RoundTrip(request)
	if err != nil {
		done()
		return nil, nil, err
	}
	x.answered, x.status, x.protocol, x.final = true, answer.StatusCode, answer.Proto, shown(to)
	x.secured = answer.TLS != nil
	if o.keepAlive && sameOrigin(to, o.url) {
		if shown := x.phases.seen(); shown.Leaf != nil {
			x.device.kept = shown
		}
		x.phases.see(x.device.kept) // which an earlier poll has seen, where the connection is an earlier one's
	}
	return answer, done, nil
}

// redirected is where an answer sends us, or nil.
func (x *exchange) redirected(answer *http.Response, from *url.URL) (*url.URL, error) {
	switch answer.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	location := answer.Header.Get("Location")
	if x.device.options.maxRedirects == 0 || location == "" {
		return nil, nil
	}
	next, err := from.Parse(location)
	if err != nil || len(location) > maxURL || next.Scheme != "http" && next.Scheme != "https" || next.Hostname() == "" {
		return nil, fmt.Errorf("%s redirects to something that is no address for HTTP", shown(from))
	}
	next.User, next.Fragment = nil, ""
	return next, nil
}

// again is the request after a redirect: RFC 9110, 15.4. As in browsers, POST becomes GET but for 307 and 308.
func again(status int, method, body string) (string, string) {
	switch {
	case status == http.StatusTemporaryRedirect || status == http.StatusPermanentRedirect || method == "GET" || method == "HEAD":
		return method, body
	case status == http.StatusSeeOther || method == "POST":
		return "GET", ""
	}
	return method, body
}

// sameOrigin reports whether secrets for one may be sent to the other.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(endpointOf(a), endpointOf(b))
}

// shown is a URL without what may be meant for its receiver alone.
func shown(u *url.URL) string {
	bare := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	text := bare.String()
	return text[:min(len(text), 1024)]
}

// finish reads the body, as much as is to be read, and judges the answer.
func (x *exchange) finish(answer *http.Response) error {
	o := &x.device.options
	defer answer.Body.Close()
	var body bytes.Buffer
	to := io.Discard
	if o.judges() {
		to = &body
	}
	size, err := io.Copy(to, io.LimitReader(answer.Body, o.maxBody))
	x.size = size
	// Whether anything comes behind max_body is not waited for.
	x.complete = err == nil && (size < o.maxBody || answer.ContentLength == size || answer.Request.Method == "HEAD")
	x.phases.read()
	if err != nil {
		return x.problem(err)
	}
	x.read = true
	if o.judges() {
		x.judged = true
		x.matches = bytes.Contains(body.Bytes(), []byte(o.contains)) && (o.pattern == nil || o.pattern.Match(body.Bytes()))
	}
	switch {
	case !o.isExpected(x.status):
		return fmt.Errorf("the status is %d %s", x.status, http.StatusText(x.status))
	case x.judged && !x.matches && !x.complete:
		return fmt.Errorf("what is expected is not in the first %d bytes of the body", size)
	case x.judged && !x.matches:
		return fmt.Errorf("what is expected is not in the body of %d bytes", size)
	}
	return nil
}

// problem says what was being done when an exchange broke off.
func (x *exchange) problem(err error) error {
	what := x.phases.now()
	var timeout net.Error
	if x.answered && errors.As(err, &timeout) && timeout.Timeout() {
		return model.Errorf(model.KindTimeout, "%s: after the status %d and %d bytes of the body there came no more in time", what, x.status, x.size)
	}
	if x.answered && errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: the connection was cut after %d bytes of the body", what, x.size)
	}
	err = devices.NetworkError(what, err)
	if text := err.Error(); len(text) > maxErrorText && model.KindOf(err) == model.KindInternal {
		return errors.New(strings.ToValidUTF8(text[:maxErrorText], "") + "...") // it quotes what the server sent
	}
	return err
}
