package prometheus

import (
	"context"
	"io"
	"net/http"
	"time"

	"banyan/devices"
	"banyan/model"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	names "github.com/prometheus/common/model"
)

// device is one target. Its view says what becomes of a scrape.
type device struct {
	url, token, user, password string
	client                     *http.Client
	shape                      *model.Schema
	view                       view
}

// view makes contexts and readings of a scrape. It is used by one poll at a time.
type view interface {
	// take publishes the readings and returns those of the device itself, and how many series are not shown. Contexts that are new take their time;
	// what ctx leaves no time for is made by the next poll.
	take(
		ctx context.Context, publish devices.Publisher, families map[string]*dto.MetricFamily, now model.Time,
	) (own []devices.Update, leftOut int, err error)
}

var _ devices.Shaper = (*device)(nil)

// Shape is the schema with the profile's points.
func (d *device) Shape() *model.Schema { return d.shape }

// Poll scrapes once. The source time of what is read is that of the scrape.
func (d *device) Poll(ctx context.Context, publish devices.Publisher) error {
	began := time.Now()
	now := model.TimeOf(began)
	families, size, err := d.scrape(ctx)
	if err != nil {
		return err
	}
	series := 0
	for _, f := range families {
		series += len(f.GetMetric())
	}
	own, leftOut, err := d.view.take(ctx, publish, families, now)
	if err != nil {
		return err
	}
	publish.Publish(append(own,
		devices.Update{Variable: variableSeries, Value: model.Int64(int64(series)), Source: now},
		devices.Update{Variable: variableLeftOut, Value: model.Int64(int64(leftOut)), Source: now},
		devices.Update{Variable: variableBytes, Value: model.Int64(size), Source: now},
		devices.Update{Variable: variableDuration, Value: model.Duration(time.Since(began)), Source: now}))
	return nil
}

func (d *device) scrape(ctx context.Context) (map[string]*dto.MetricFamily, int64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return nil, 0, err
	}
	request.Header.Set("Accept", "text/plain;version=0.0.4")
	switch {
	case d.token != "":
		request.Header.Set("Authorization", "Bearer "+d.token)
	case d.user != "":
		request.SetBasicAuth(d.user, d.password)
	}
	response, err := d.client.Do(request)
	if err != nil {
		return nil, 0, silent(ctx, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, 0, model.Errorf(model.KindInvalid, "the server answers %s", response.Status)
	}
	body := &counted{from: response.Body, left: maxBody}
	parser := expfmt.NewTextParser(names.UTF8Validation)
	families, err := parser.TextToMetricFamilies(body)
	switch {
	case body.broken != nil:
		return nil, 0, silent(ctx, body.broken)
	case body.left < 0:
		return nil, 0, model.Errorf(model.KindExhausted, "the metrics are longer than %d bytes", maxBody)
	case err != nil:
		return nil, 0, model.Errorf(model.KindInvalid, "these are no metrics: %w", err)
	}
	return families, maxBody - body.left, nil
}

// silent is an error of a server that did not answer.
func silent(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return model.Errorf(model.KindUnavailable, "no answer: %w", err)
}

// counted bounds what is read, and tells an end that is none from one that is.
type counted struct {
	from   io.Reader
	left   int64
	broken error
}

// Read reads on.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF {
		c.broken = err
	}
	return n, err
}

// Call refuses: there are no functions but the common ones.
func (d *device) Call(context.Context, int, []model.Argument, devices.Publisher) ([]model.Argument, error) {
	return nil, model.Errorf(model.KindUnsupported, "there is no such function")
}

// Write refuses: metrics are read.
func (d *device) Write(context.Context, int, model.Value, devices.Publisher) error {
	return model.Errorf(model.KindUnsupported, "metrics cannot be written")
}

// Close ends idle connections.
func (d *device) Close() error {
	d.client.CloseIdleConnections()
	return nil
}
