// Package http is the driver of pages and services that have to answer over HTTP: status, time by phase, what is in the body, and for
// how long the certificate is good.
//
// It owns one request for each poll, with the redirects that it leads to. It does not read
// values out of a body: that is for other drivers.
package http

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"banyan/devices"
	"banyan/model"
)

// Kind is the driver's kind.
const Kind = "http"

// Driver is the driver.
type Driver struct{}

var _ devices.Discoverer = Driver{}

// Kind is "http".
func (Driver) Kind() string { return Kind }

// Schema declares the device.
func (Driver) Schema() *model.Schema { return schema }

// SecretsGoBy names the settings by which secrets find their way.
func (Driver) SecretsGoBy() []string {
	return []string{"url", "headers", "proxy", devices.SettingCA, devices.SettingServerName, devices.SettingInsecureSkipVerify}
}

// Open makes the device. Nothing is connected before the first poll.
func (Driver) Open(settings devices.Settings) (devices.Device, error) {
	o, err := parse(settings)
	if err != nil {
		return nil, err
	}
	return &device{options: o}, nil
}

type device struct {
	options options

	mu         sync.Mutex // held during a poll; guards what is below
	connection *http.Transport
	kept       devices.Certificate // that the kept connection's server showed

	current atomic.Pointer[phases] // of the poll that uses the kept connection
}

// Poll does one exchange and publishes as much of it as there was.
func (d *device) Poll(ctx context.Context, publish devices.Publisher) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	x := exchange{device: d}
	err := x.run(ctx)
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	publish.Publish(x.updates(err == nil))
	return err
}

// transport is for one request to a server; done is called when its answer was read. The name in the certificate depends on the server, so each
// one has a transport of its own. With keep_alive that of the device's URL is kept.
func (d *device) transport(to *url.URL, p *phases) (t *http.Transport, done func()) {
	own := d.options.keepAlive && sameOrigin(to, d.options.url)
	see := p.see
	if own {
		d.current.Store(p)
		see = func(c devices.Certificate) { d.current.Load().see(c) }
	}
	if own && d.connection != nil {
		return d.connection, func() {}
	}
	t = &http.Transport{
		Proxy:                  d.options.proxy,
		TLSClientConfig:        d.options.verification.Config(to.Hostname(), see),
		DisableKeepAlives:      !own,
		DisableCompression:     true, // what is counted and searched is what was sent
		ForceAttemptHTTP2:      d.options.http2,
		MaxResponseHeaderBytes: maxHeaderBytes,
		MaxConnsPerHost:        1,
	}
	if !d.options.http2 {
		t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	if own {
		d.connection = t
		return t, func() {}
	}
	return t, t.CloseIdleConnections
}

// updates are what the exchange was like. After a success every variable is there; what there was none of is said not to be set.
func (x *exchange) updates(all bool) []devices.Update {
	now := model.TimeOf(time.Now())
	var batch []devices.Update
	add := func(variable int, known bool, v model.Value) {
		switch {
		case known:
			batch = append(batch, devices.Update{Variable: variable, Value: v, Source: now})
		case all:
			none := model.Quality{Level: model.Uncertain, Reason: model.ReasonNotSet}
			batch = append(batch, devices.Update{Variable: variable, Quality: none, Source: now})
		}
	}
	p := &x.phases
	certificate := p.seen()
	p.mu.Lock()
	defer p.mu.Unlock()
	add(variableStatus, x.answered, model.Int64(int64(x.status)))
	add(variableLatency, x.read, model.Duration(x.latency))
	add(variableDNSTime, x.answered, model.Duration(p.dns))
	add(variableConnectTime, x.answered, model.Duration(p.connect))
	add(variableTLSTime, x.secured, model.Duration(p.tls))
	add(variableFirstByteTime, x.answered, model.Duration(p.firstByte))
	add(variableBodyTime, x.read, model.Duration(p.body))
	add(variableSize, x.answered, model.Int64(x.size))
	add(variableBodyComplete, x.answered, model.Bool(x.complete))
	add(variableBodyMatches, x.judged, model.Bool(x.matches))
	add(variableProtocol, x.answered, model.String(x.protocol))
	add(variableRedirects, x.answered, model.Int64(int64(x.redirects)))
	add(variableFinalURL, x.answered, model.String(x.final))
	add(variableServerAddress, p.server != "", model.String(p.server))
	if all || certificate.Leaf != nil {
		batch = append(batch, devices.CertificateUpdates(firstCertificate, certificate, now)...)
	}
	return batch
}

// Call refuses: there are no functions but the common ones.
func (d *device) Call(context.Context, int, []model.Argument, devices.Publisher) ([]model.Argument, error) {
	return nil, model.Errorf(model.KindUnsupported, "an http has no such function")
}

// Write refuses: nothing is writable.
func (d *device) Write(context.Context, int, model.Value, devices.Publisher) error {
	return model.Errorf(model.KindUnsupported, "an http has no writable variable")
}

// Close ends the connection that may have been kept.
func (d *device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.connection != nil {
		d.connection.CloseIdleConnections()
		d.connection = nil
	}
	return nil
}
