package mqtt

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"net"
	"net/url"
	"strings"

	"banyan/devices"
	"banyan/model"
	"banyan/profiles"
)

// Kind is the driver's kind.
const Kind = "mqtt"

// Limits of one device.
const (
	maxTopics    = 20_000
	maxFilters   = 100
	maxPayload   = 1 << 20
	maxTextBytes = 16 << 10 // of a payload that is shown as it is
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

// Kind is "mqtt".
func (Driver) Kind() string { return Kind }

// Schema declares what all such devices have.
func (Driver) Schema() *model.Schema { return schema }

// SecretsGoBy names the settings by which secrets find their way.
func (Driver) SecretsGoBy() []string { return []string{"url", "ca"} }

// The driver's variables.
const (
	variableConnected = iota
	variableMessages
	variableRefused
	variableLeftOut
	variablesOwn
)

const (
	functionPublish = iota
	functionForget
)

var schema = &model.Schema{
	Kind:        Kind,
	Description: "What is told over an MQTT broker.",
	Settings: []model.Setting{
		{Name: "url", Type: model.TypeString, Right: model.RightConfigure, Description: "The broker: mqtt://HOST:PORT, or mqtts:// for TLS; the ports are 1883 and 8883 where none is given."},
		{Name: "client_id", Type: model.TypeString, Default: model.String(""), Right: model.RightConfigure,
			Description: "By which the broker knows this device; one is drawn where none is given."},
		{Name: "user", Type: model.TypeString, Default: model.String(""), Right: model.RightConfigure, Description: "Name at the broker, where one is needed."},
		{Name: "password", Type: model.TypeString, Secret: true, Right: model.RightConfigure, Description: "Password at the broker."},
		{Name: "ca", Type: model.TypeString, Default: model.String(""), Right: model.RightConfigure,
			Description: "PEM certificates that the broker's is verified with, in place of those of the system."},
		{Name: "profile", Type: model.TypeString, Default: model.String(""), Right: model.RightConfigure, Description: "The device profile: which topics are points."},
		{Name: "topics", Type: model.TypeString, Default: model.String(""), Right: model.RightConfigure,
			Description: "Without a profile: filters, separated by commas, with + and # as MQTT has them; each topic is a context."},
		{Name: "max_topics", Type: model.TypeInt64, Default: model.Int64(1000), Right: model.RightConfigure, Description: "How many topics or rows are shown at most, 1 to 20000."},
		{Name: "sparkplug", Type: model.TypeString, Default: model.String(""), Right: model.RightConfigure,
			Description: "GROUP/EDGE-NODE of a Sparkplug B edge node, in place of a profile and topics."},
		{Name: "host_id", Type: model.TypeString, Default: model.String(""), Right: model.RightConfigure,
			Description: "Sparkplug host application ID that this device is to announce, where edge nodes wait for one."},
	},
	Variables: []model.Variable{
		variableConnected: {Name: "connected", Type: model.TypeBool, Description: "Whether the broker is there and messages come as they are told."},
		variableMessages:  {Name: "messages", Type: model.TypeInt64, Description: "Messages that came since the device was started."},
		variableRefused:   {Name: "refused", Type: model.TypeInt64, Description: "How many of them could not be understood."},
		variableLeftOut:   {Name: "left_out", Type: model.TypeInt64, Description: "How many were left out since max_topics is reached."},
	},
	Functions: []model.Function{
		functionPublish: {
			Name: "publish", Right: model.RightConfigure, Description: "Publishes a message.",
			Parameters: []model.Field{
				{Name: "topic", Type: model.TypeString, Description: "Where to."},
				{Name: "payload", Type: model.TypeString, Optional: true, Description: "The text; empty where none is given."},
				{Name: "retain", Type: model.TypeBool, Optional: true, Description: "Whether the broker keeps it for those who come later."},
			},
		},
		functionForget: {Name: "forget", Right: model.RightConfigure, Idempotent: true,
			Description: "Removes the contexts of topics, rows and Sparkplug devices that were not heard of since the device was started."},
	},
}

// Open makes a device.
func (d Driver) Open(s devices.Settings) (devices.Device, error) {
	b, err := brokerOf(s)
	if err != nil {
		return nil, err
	}
	made := &device{broker: b, shape: schema}
	most := s["max_topics"].Int64()
	if most < 1 || most > maxTopics {
		return nil, devices.BadSetting("max_topics", "%d is outside of 1 to %d", most, maxTopics)
	}
	made.view, made.shape, err = d.viewOf(s, int(most))
	if sparkplug, ok := made.view.(*sparkplug); ok && err == nil {
		b.state = sparkplug.state()
	}
	return made, err
}

// viewOf is what is to become of messages: exactly one of profile, topics and sparkplug says it.
func (d Driver) viewOf(s devices.Settings, most int) (view, *model.Schema, error) {
	profile, topics, edge := s["profile"].Text(), s["topics"].Text(), s["sparkplug"].Text()
	given := 0
	for _, text := range []string{profile, topics, edge} {
		if text != "" {
			given++
		}
	}
	switch {
	case given == 0:
		return nil, nil, devices.BadSetting("topics", "give one of profile, topics and sparkplug; the filter # takes all topics")
	case given > 1:
		return nil, nil, devices.BadSetting("topics", "give only one of profile, topics and sparkplug")
	case edge != "":
		v, err := newSparkplug(edge, s["host_id"].Text(), most)
		return v, schema, err
	case topics != "":
		v, err := newTopics(topics, most)
		return v, schema, err
	}
	if d.Profiles == nil {
		return nil, nil, devices.BadSetting("profile", "this node has no profiles")
	}
	p, err := d.Profiles.Profile(Kind, profile)
	if err != nil {
		return nil, nil, &model.Error{Kind: model.KindInvalid, Name: "profile", Err: err}
	}
	l, ok := p.Driver.(*layout)
	if !ok {
		return nil, nil, devices.BadSetting("profile", "the profile %s was not made for this driver", profile)
	}
	return newProfiled(l, most), p.Schema(schema), nil
}

// brokerOf reads where the broker is.
func brokerOf(s devices.Settings) (*broker, error) {
	u, err := url.Parse(s["url"].Text())
	if err != nil || u.Hostname() == "" || u.Scheme != "mqtt" && u.Scheme != "mqtts" || strings.Trim(u.Path, "/") != "" {
		return nil, devices.BadSetting("url", "write mqtt://HOST:PORT or mqtts://HOST:PORT")
	}
	if u.User != nil {
		return nil, devices.BadSetting("url", "user and password have settings of their own")
	}
	b := &broker{
		clientID: s["client_id"].Text(), user: s["user"].Text(), password: s["password"].Text(), room: make(chan struct{}, 1),
		address: net.JoinHostPort(u.Hostname(), portOf(u)),
	}
	if b.clientID == "" {
		b.clientID = drawClientID()
	}
	if u.Scheme == "mqtts" {
		b.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
	}
	if pem := s["ca"].Text(); pem != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(pem)) {
			return nil, devices.BadSetting("ca", "it holds no certificate in PEM")
		}
		if b.tls == nil {
			return nil, devices.BadSetting("ca", "certificates are for mqtts:// only")
		}
		b.tls.RootCAs = pool
	}
	return b, nil
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "mqtts":
		return "8883"
	}
	return "1883"
}

func drawClientID() string {
	var seed [16]byte
	_, _ = rand.Read(seed[:]) // it never fails
	sum := sha256.Sum256(seed[:])
	return "banyan-" + hex.EncodeToString(sum[:8])
}
