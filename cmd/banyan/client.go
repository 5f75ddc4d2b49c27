package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"banyan/model"
	"banyan/proto"
	"banyan/proto/apiv1"
	"banyan/proto/apiv1/apiv1connect"
	"banyan/proto/modelv1"

	"connectrpc.com/connect"
)

const (
	// grace is how long after --timeout the node's own error is waited for, which says more than "no answer": the node ends the work at
	// --timeout, and the command ends this much later in any case.
	grace = 300 * time.Millisecond
	// maxAnswerBytes bounds one message from a node.
	maxAnswerBytes = 64 << 20
)

// target is a node to speak to, and how to prove there who asks.
type target struct {
	what   string // for messages: "node hq of D", "profile default"
	url    string
	ca     []byte // PEM of who signs the node's certificate; nil: whom this machine trusts
	caFrom string // where that stands, for messages
	hint   string // what to do when the node does not answer
	logins logins
}

// logins keeps the token with which somebody is logged in at a node.
type logins interface {
	// token is the one that is kept, "" when there is none.
	token() string
	// renew logs in anew, or says how a person does.
	renew(ctx context.Context, at *client) (string, error)
}

// client speaks to one node.
type client struct {
	target  *target
	over    *http.Client
	trees   apiv1connect.TreeServiceClient
	session apiv1connect.SessionServiceClient
	nodes   apiv1connect.NodeServiceClient
	until   time.Time // when the node is to have answered; zero: whenever
	limit   time.Duration
	bearer  string
}

var errOverdue = errors.New("no answer in time")

// connect finds the node that the flags mean. The context that it returns ends a little after --timeout; call stop when all is done.
func (c *cli) connect(ctx context.Context) (context.Context, *client, func(), error) {
	to, err := c.resolve()
	if err != nil {
		return ctx, nil, nil, err
	}
	at, err := c.dial(to)
	if err != nil {
		return ctx, nil, nil, err
	}
	ctx, stop := at.bound(ctx)
	return ctx, at, stop, nil
}

// dial makes a client; it connects with the first request.
func (c *cli) dial(to *target) (*client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS13}
	if to.ca != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(to.ca) {
			return nil, model.Errorf(model.KindInvalid, "%s holds no certificate", to.caFrom)
		}
	}
	over := &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig: config, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true,
		// A watch may be silent for long: pings tell a silent node from one that is gone.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}}
	limit := connect.WithClientOptions(connect.WithReadMaxBytes(maxAnswerBytes), connect.WithInterceptors(patience{}))
	at := &client{
		target: to, over: over, trees: apiv1connect.NewTreeServiceClient(over, to.url, limit),
		session: apiv1connect.NewSessionServiceClient(over, to.url, limit), nodes: apiv1connect.NewNodeServiceClient(over, to.url, limit),
	}
	if c.timeout > 0 {
		at.limit, at.until = c.timeout, c.began.Add(c.timeout)
	}
	return at, nil
}

// bound ends ctx a little after the time for the answer.
func (at *client) bound(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	if at.until.IsZero() {
		return ctx, func() { cancel(nil) }
	}
	timer := time.AfterFunc(time.Until(at.until)+grace, func() { cancel(errOverdue) })
	return patient{ctx, at.until}, func() { timer.Stop(); cancel(nil) }
}

// patient is a context that tells an earlier deadline than it keeps. The deadline is what the node is told: were it kept here to the instant,
// both would give up at once, and the node's error would come too late.
type patient struct {
	context.Context //nolint:containedctx // it is a context
	until           time.Time
}

// Deadline is when the node is to have answered.
func (p patient) Deadline() (time.Time, bool) { return p.until, true }

// ask makes a request that proves who asks, after a new login where the session has ended. op and address stand in the error.
func ask[Q, S any](
	ctx context.Context, at *client, op string, address model.Address,
	method func(context.Context, *Q) (*S, error), q *Q,
) (*S, error) {
	if err := at.authenticate(ctx, false); err != nil {
		return nil, onTheWay(op, address, err)
	}
	response, err := method(at.prove(ctx), q)
	if connect.CodeOf(err) == connect.CodeUnauthenticated && err != nil {
		// Who is not known is refused before anything is done, so that asking again does nothing twice.
		if err := at.authenticate(ctx, true); err != nil {
			return nil, onTheWay(op, address, err)
		}
		response, err = method(at.prove(ctx), q)
	}
	if err != nil {
		return nil, at.failure(ctx, op, address, err)
	}
	return response, nil
}

// onTheWay is an error of the login that a request needed. That the node does not answer concerns the request; that the login is refused, the login.
func onTheWay(op string, address model.Address, err error) error {
	var e *model.Error
	if errors.As(err, &e) && (e.Kind == model.KindUnavailable || e.Kind == model.KindTimeout) {
		e.Op, e.Path, e.Name = op, address.Path, address.Name
	}
	return err
}

// prove puts into a request who asks.
func (at *client) prove(ctx context.Context) context.Context {
	ctx, call := connect.NewClientContext(ctx)
	if at.bearer != "" {
		call.RequestHeader().Set("Authorization", "Bearer "+at.bearer)
	}
	return ctx
}

// authenticate takes the token that is kept, or a new one.
func (at *client) authenticate(ctx context.Context, anew bool) error {
	if at.bearer != "" && !anew {
		return nil
	}
	if at.bearer = at.target.logins.token(); at.bearer != "" && !anew {
		return nil
	}
	at.bearer = ""
	token, err := at.target.logins.renew(ctx, at)
	at.bearer = token
	return err
}

// login opens a session.
func (at *client) login(ctx context.Context, name, password string) (*apiv1.LoginResponse, error) {
	response, err := at.session.Login(at.prove(ctx), &apiv1.LoginRequest{Name: name, Password: password})
	if err != nil {
		return nil, at.failure(ctx, "login", model.Address{}, err)
	}
	return response, nil
}

// failure is the error behind what a request returned: the node's own where it answered, else what kept it from answering.
func (at *client) failure(ctx context.Context, op string, address model.Address, err error) error {
	var e *model.Error
	var sent *connect.Error
	switch {
	case errors.As(err, &sent) && connect.IsWireError(err):
		e = told(sent)
	case errors.Is(context.Cause(ctx), errOverdue):
		e = &model.Error{
			Kind: model.KindTimeout, Detail: fmt.Sprintf("no answer from %s within %s", at.target.what, at.limit), Remedy: "it may still have been done",
		}
		if op == "get" || op == "ls" || op == "watch" || op == "login" {
			e.Remedy = at.target.hint
		}
	case ctx.Err() != nil:
		e = &model.Error{Kind: model.KindCanceled, Detail: "interrupted"}
	default:
		e = at.unreachable(err)
	}
	if e.Op == "" {
		e.Op = op
	}
	if e.Path.IsRoot() && e.Name == "" {
		e.Path, e.Name = address.Path, address.Name
	}
	return e
}

// told is the error that a node sent.
func told(sent *connect.Error) *model.Error {
	for _, detail := range sent.Details() {
		value, err := detail.Value()
		if err != nil {
			continue
		}
		var e *model.Error
		if wire, is := value.(*modelv1.Error); is && errors.As(proto.ToError(wire), &e) {
			return e
		}
	}
	e := &model.Error{Kind: model.KindInternal, Detail: sent.Message()}
	if kind, known := kindOf[sent.Code()]; known {
		e.Kind = kind
	}
	return e
}

// kindOf is for answers of a node, or of something before it, that carry a code and nothing more.
var kindOf = map[connect.Code]model.ErrorKind{
	connect.CodeCanceled: model.KindCanceled, connect.CodeInvalidArgument: model.KindInvalid, connect.CodeDeadlineExceeded: model.KindTimeout,
	connect.CodeNotFound: model.KindNotFound, connect.CodeAlreadyExists: model.KindExists, connect.CodePermissionDenied: model.KindDenied,
	connect.CodeResourceExhausted: model.KindExhausted, connect.CodeAborted: model.KindConflict, connect.CodeUnimplemented: model.KindUnsupported,
	connect.CodeUnavailable: model.KindUnavailable, connect.CodeDataLoss: model.KindCorrupt, connect.CodeUnauthenticated: model.KindUnauthenticated,
}

// unreachable says what kept a request from being answered, and what to do.
func (at *client) unreachable(err error) *model.Error {
	e := &model.Error{Kind: model.KindUnavailable, Detail: at.target.what + " does not answer at " + at.target.url, Remedy: at.target.hint}
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var certificate x509.CertificateInvalidError
	var name *net.DNSError
	switch {
	case errors.As(err, &authority):
		e.Detail = fmt.Sprintf("the certificate of %s is not signed by %s", at.target.url, at.trusted())
		e.Remedy = "the node's directory holds its ca.pem, which is another one some weeks after its root was succeeded; give it with `banyan login URL --ca FILE`"
	case errors.As(err, &host):
		e.Detail = fmt.Sprintf("the certificate of %s is for other names: %v", at.target.url, host)
		e.Remedy = "the node's certificate is for the hosts in /system:api_hosts, and takes them at its next start"
	case errors.As(err, &certificate):
		e.Detail = fmt.Sprintf("the certificate of %s is not valid: %v", at.target.url, certificate)
		e.Remedy = "compare the clocks of this machine and the node's"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Detail += ": nothing listens there"
	case errors.As(err, &name):
		e.Detail += ": " + name.Error()
		e.Remedy = "is the name right?"
	default:
		var sent *connect.Error
		var inner *url.Error
		cause := err
		if errors.As(err, &sent) {
			cause = sent.Unwrap()
		}
		if errors.As(cause, &inner) {
			cause = inner.Err
		}
		e.Detail += ": " + cause.Error()
	}
	return e
}

func (at *client) trusted() string {
	if at.target.ca == nil {
		return "anybody whom this machine trusts"
	}
	return at.target.caFrom
}

// apiURL makes the URL of an API from what a person or a file says: https://HOST:PORT, or HOST:PORT.
func apiURL(text string) (string, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%q is not the address of a node: write https://HOST:PORT", text)
	}
	if u.Scheme != "https" {
		return "", fmt.Errorf("%q is not protected: a node speaks https only", text)
	}
	return strings.TrimRight(u.String(), "/"), nil
}
