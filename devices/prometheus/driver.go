package prometheus

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"path"
	"strings"

	"banyan/devices"
	"banyan/model"
	"banyan/profiles"
)

// Kind is the driver's kind.
const Kind = "prometheus"

// Limits of one device.
const (
	maxSeries  = 20_000
	maxBody    = 64 << 20 // unpacked
	mostFilter = 100
)

// Profiles is where the driver finds device profiles.
type Profiles interface {
	Profile(kind, name string) (*profiles.Profile, error)
}

// Driver is the driver.
type Driver struct {
	Profiles Profiles
}

var _ devices.Driver = Driver{}

// Kind is "prometheus".
func (Driver) Kind() string { return Kind }

// Schema declares what all such devices have.
func (Driver) Schema() *model.Schema { return schema }

// SecretsGoBy names the settings by which secrets find their way.
func (Driver) SecretsGoBy() []string { return []string{"url", "ca", "server_name"} }

// The driver's variables.
const (
	variableSeries = iota
	variableLeftOut
	variableBytes
	variableDuration
	variablesOwn
)

var schema = &model.Schema{
	Kind:        Kind,
	Description: "Something that tells its metrics in the text format of Prometheus.",
	Settings: []model.Setting{
		{Name: "url", Type: model.TypeString, Right: model.RightConfigure, Description: "Where the metrics are, like http://host:9100/metrics."},
		{Name: "profile", Type: model.TypeString, Default: model.String(""), Right: model.RightConfigure,
			Description: "The device profile: which metrics are points. Without one each series is a context."},
		{Name: "metrics", Type: model.TypeString, Default: model.String("*"), Right: model.RightConfigure,
			Description: "Without a profile: names of the metrics that are shown, separated by commas; * stands for any letters, and ! before a name leaves it out."},
		{Name: "max_series", Type: model.TypeInt64, Default: model.Int64(2000), Right: model.RightConfigure,
			Description: "Without a profile: how many series are shown at most, 1 to 20000."},
		{Name: "token", Type: model.TypeString, Secret: true, Right: model.RightConfigure, Description: "Bearer token, where one is needed."},
		{Name: "user", Type: model.TypeString, Default: model.String(""), Right: model.RightConfigure, Description: "Name for basic authentication."},
		{Name: "password", Type: model.TypeString, Secret: true, Right: model.RightConfigure, Description: "Password for basic authentication."},
		{Name: "ca", Type: model.TypeString, Default: model.String(""), Right: model.RightConfigure,
			Description: "PEM certificates that the server's is verified with, in place of those of the system."},
		{Name: "server_name", Type: model.TypeString, Default: model.String(""), Right: model.RightConfigure,
			Description: "The name that the server's certificate is for, where it is not that of the url."},
	},
	Variables: []model.Variable{
		variableSeries:   {Name: "series", Type: model.TypeInt64, Description: "How many series the last scrape had."},
		variableLeftOut:  {Name: "left_out", Type: model.TypeInt64, Description: "How many of them are not shown since max_series is reached."},
		variableBytes:    {Name: "scrape_bytes", Type: model.TypeInt64, Unit: "B", Description: "Size of the last scrape, unpacked."},
		variableDuration: {Name: "scrape_duration", Type: model.TypeDuration, Description: "How long the last scrape took."},
	},
}

// Open makes a device.
func (d Driver) Open(s devices.Settings) (devices.Device, error) {
	target, err := url.Parse(s["url"].Text())
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return nil, devices.BadSetting("url", "write http://HOST:PORT/PATH or https://HOST:PORT/PATH")
	}
	if target.User != nil {
		return nil, devices.BadSetting("url", "user and password have settings of their own")
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s["server_name"].Text()}
	if pem := s["ca"].Text(); pem != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(pem)) {
			return nil, devices.BadSetting("ca", "it holds no certificate in PEM")
		}
	}
	made := &device{
		url: target.String(), token: s["token"].Text(), user: s["user"].Text(), password: s["password"].Text(), shape: schema,
		client: &http.Client{
			Transport: &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 1, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true},
			// A token or a password goes to whom it was set for, and to nobody else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if name := s["profile"].Text(); name != "" {
		return made, d.profiled(made, name)
	}
	return made, made.unprofiled(s)
}

func (d Driver) profiled(made *device, name string) error {
	if d.Profiles == nil {
		return devices.BadSetting("profile", "this node has no profiles")
	}
	p, err := d.Profiles.Profile(Kind, name)
	if err != nil {
		return &model.Error{Kind: model.KindInvalid, Name: "profile", Err: err}
	}
	plan, ok := p.Driver.(*plan)
	if !ok {
		return devices.BadSetting("profile", "the profile %s was not made for this driver", name)
	}
	made.shape, made.view = p.Schema(schema), newProfiled(plan)
	return nil
}

func (d *device) unprofiled(s devices.Settings) error {
	most := s["max_series"].Int64()
	if most < 1 || most > maxSeries {
		return devices.BadSetting("max_series", "%d is outside of 1 to %d", most, maxSeries)
	}
	f, err := parseFilter(s["metrics"].Text())
	if err != nil {
		return err
	}
	d.view = newEverything(f, int(most))
	return nil
}

// filter chooses metrics by name.
type filter struct{ take, leave []string }

func parseFilter(text string) (filter, error) {
	var f filter
	parts := strings.Split(text, ",")
	if len(parts) > mostFilter {
		return f, devices.BadSetting("metrics", "%d names are given, at most %d can be", len(parts), mostFilter)
	}
	for _, part := range parts {
		part = strings.TrimSpace(part)
		pattern, leave := strings.CutPrefix(part, "!")
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return f, devices.BadSetting("metrics", "%.80q is neither a name nor a name with *", part)
		}
		if leave {
			f.leave = append(f.leave, pattern)
		} else {
			f.take = append(f.take, pattern)
		}
	}
	if len(f.take) == 0 {
		f.take = []string{"*"}
	}
	return f, nil
}

func (f *filter) takes(name string) bool { return matches(f.take, name) && !matches(f.leave, name) }

func matches(patterns []string, name string) bool {
	for _, p := range patterns {
		if ok, _ := path.Match(p, name); ok { // patterns were checked
			return true
		}
	}
	return false
}
