package topologies

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"banyan/model"
	"banyan/proto"
	"banyan/proto/apiv1"
	"banyan/proto/apiv1/apiv1connect"
	"banyan/proto/modelv1"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/structpb"
)

// answerWithin bounds one request: what a node of a network is asked here is done at that node.
const answerWithin = 10 * time.Second

// Client speaks to the API of one node as one of its users.
type Client struct {
	Tree    apiv1connect.TreeServiceClient
	Session apiv1connect.SessionServiceClient
	Node    apiv1connect.NodeServiceClient

	name  string
	url   string
	http  *http.Client
	token atomic.Pointer[string]
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// newClient makes a client; it connects with the first request. ca is the PEM of who signs the node's certificate.
func newClient(name, address string, ca []byte, dial dialer) (*Client, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, model.Errorf(model.KindCorrupt, "the certificate of %s is damaged", name)
	}
	c := &Client{name: name, url: "https://" + address}
	c.http = &http.Client{Transport: bearer{c, &http.Transport{
		DialContext: dial, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots}, ForceAttemptHTTP2: true,
	}}}
	limit := connect.WithReadMaxBytes(64 << 20)
	c.Tree = apiv1connect.NewTreeServiceClient(c.http, c.url, limit)
	c.Session = apiv1connect.NewSessionServiceClient(c.http, c.url, limit)
	c.Node = apiv1connect.NewNodeServiceClient(c.http, c.url, limit)
	return c, nil
}

// bearer proves who asks.
type bearer struct {
	client *Client
	next   *http.Transport
}

// RoundTrip adds the token.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if token := b.client.token.Load(); token != nil {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+*token)
	}
	return b.next.RoundTrip(r)
}

// Close gives back idle connections.
func (c *Client) Close() { c.http.Transport.(bearer).next.CloseIdleConnections() }

// healthy asks whether the node serves.
func (c *Client) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/healthz", nil)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return model.Errorf(model.KindUnavailable, "%s answers %s", c.name, response.Status)
	}
	return nil
}

// Metrics are what the node counts and how its process is, in the text form of Prometheus.
func (c *Client) Metrics(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/metrics", nil)
	if err != nil {
		return "", err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", model.Errorf(model.KindUnavailable, "%s answers %s", c.name, response.Status)
	}
	const mostBytes = 16 << 20
	text, err := io.ReadAll(io.LimitReader(response.Body, mostBytes))
	return string(text), err
}

// login opens a session.
func (c *Client) login(ctx context.Context, user, password string) (string, error) {
	c.token.Store(nil)
	response, err := ask(ctx, c, c.Session.Login, &apiv1.LoginRequest{Name: user, Password: password})
	if err != nil {
		return "", err
	}
	token := response.GetToken()
	c.token.Store(&token)
	return token, nil
}

// resume goes on with a session that was opened before, if it still holds.
func (c *Client) resume(ctx context.Context, token string) bool {
	c.token.Store(&token)
	_, err := ask(ctx, c, c.Session.Who, &apiv1.WhoRequest{})
	return err == nil
}

// ask makes one request, in bounded time, and turns the error of the wire into the node's own.
func ask[Q, S any](ctx context.Context, c *Client, method func(context.Context, *Q) (*S, error), q *Q) (*S, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	s, err := method(ctx, q)
	if err != nil {
		return nil, told(c.name, err)
	}
	return s, nil
}

// told is the error that a node answered with.
func told(node string, err error) error {
	var sent *connect.Error
	if !errors.As(err, &sent) {
		return err
	}
	for _, detail := range sent.Details() {
		value, bad := detail.Value()
		if bad != nil {
			continue
		}
		var e *model.Error
		if wire, is := value.(*modelv1.Error); is && errors.As(proto.ToError(wire), &e) {
			return e
		}
	}
	switch sent.Code() {
	case connect.CodeDeadlineExceeded:
		return &model.Error{Kind: model.KindTimeout, Detail: node + " does not answer in time"}
	case connect.CodeCanceled:
		return model.Errorf(model.KindCanceled, "%s was not waited for: %w", node, context.Canceled)
	case connect.CodeUnauthenticated:
		return &model.Error{Kind: model.KindUnauthenticated, Detail: node + ": " + sent.Message()}
	}
	return &model.Error{Kind: model.KindUnavailable, Detail: node + ": " + sent.Message()}
}

// describe is a context with its settings and variables; the kind of its error is not-found when there is none.
func (c *Client) describe(ctx context.Context, path model.Path) (*apiv1.ContextInfo, error) {
	return ask(ctx, c, c.Tree.Describe, &apiv1.DescribeRequest{Path: path.String()})
}

// there reports whether a context is there.
func (c *Client) there(ctx context.Context, path model.Path) (*apiv1.ContextInfo, bool, error) {
	info, err := c.describe(ctx, path)
	if model.KindOf(err) == model.KindNotFound {
		return nil, false, nil
	}
	return info, err == nil, err
}

func (c *Client) create(ctx context.Context, path model.Path, kind, label string, settings map[string]model.Value) error {
	q := &apiv1.CreateRequest{Path: path.String(), Kind: kind, Label: label, Settings: map[string]*structpb.Value{}}
	for name, v := range settings {
		q.Settings[name] = toWire(v)
	}
	_, err := ask(ctx, c, c.Tree.Create, q)
	return err
}

func (c *Client) set(ctx context.Context, path model.Path, name string, v model.Value) error {
	_, err := ask(ctx, c, c.Tree.Set, &apiv1.SetRequest{Address: model.Address{Path: path, Name: name}.String(), Value: toWire(v)})
	return err
}

// toWire is a value in the one JSON form.
func toWire(v model.Value) *structpb.Value {
	var wire structpb.Value
	if err := wire.UnmarshalJSON(v.JSON()); err != nil {
		return structpb.NewNullValue() // cannot be: a value's JSON is JSON
	}
	return &wire
}

// remove removes a context and all below it; one that is not there is removed already.
func (c *Client) remove(ctx context.Context, path model.Path) error {
	_, err := ask(ctx, c, c.Tree.Remove, &apiv1.RemoveRequest{Path: path.String(), Below: true})
	if model.KindOf(err) == model.KindNotFound {
		return nil
	}
	return err
}

// call calls a function and returns its results as text.
func (c *Client) call(ctx context.Context, path model.Path, function string, arguments map[string]string) (map[string]string, error) {
	response, err := ask(ctx, c, c.Tree.Call, &apiv1.CallRequest{Path: path.String(), Function: function, Texts: arguments})
	if err != nil {
		return nil, err
	}
	results := map[string]string{}
	for _, r := range response.GetResults() {
		results[r.GetName()] = r.GetValue().GetStringValue()
	}
	return results, nil
}

// valueOf is the value of a reading; no value where it has none.
func valueOf(r *apiv1.Reading) model.Value {
	t, err := model.ParseType(r.GetType())
	if _, none := r.GetValue().GetKind().(*structpb.Value_NullValue); err != nil || none || r.GetValue() == nil {
		return model.Value{}
	}
	raw, err := r.GetValue().MarshalJSON()
	if err != nil {
		return model.Value{}
	}
	v, err := model.DecodeJSON(t, raw)
	if err != nil {
		return model.Value{}
	}
	return v
}

// settingOf is a setting of a context.
func settingOf(info *apiv1.ContextInfo, name string) (*apiv1.Reading, bool) {
	for _, s := range info.GetSettings() {
		if s.GetReading().GetName() == name {
			return s.GetReading(), true
		}
	}
	return nil, false
}

// variableOf is the value of a variable of a context, no value where it has none.
func variableOf(info *apiv1.ContextInfo, name string) model.Value {
	for _, v := range info.GetVariables() {
		if v.GetReading().GetName() == name {
			return valueOf(v.GetReading())
		}
	}
	return model.Value{}
}
