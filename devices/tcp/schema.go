package tcp

import (
	"regexp"
	"slices"

	"banyan/devices"
	"banyan/model"
)

// The driver's variables, by their index in the schema.
const (
	variableOpen = iota
	variableConnectTime
	variableServerAddress
	variableTLSTime
	variableResponseTime
	variableBanner
	variableMatches
	firstCertificate
)

// The values of the setting wanted.
const (
	wantedOpen   = "open"
	wantedClosed = "closed"
)

// maxText bounds what is sent and what is read: a greeting, not a file.
const maxText = 64 << 10

// maxBanner bounds what is shown of what was read.
const maxBanner = 1024

var schema = &model.Schema{
	Kind:        Kind,
	Description: "A TCP port that has to take connections.",
	Settings: slices.Concat([]model.Setting{
		configure("address", model.String(""), "Host and port to connect to, like 192.0.2.1:25 or mail.example.org:25."),
		configure("wanted", model.String(wantedOpen), "What the port has to be: open, or closed, which means refused; the other one is a failure."),
		configure("tls", model.Bool(false), "Whether TLS begins as soon as there is a connection."),
		configure("send", model.String(""), "Text to send once connected, 64 KiB at most."),
		configure("expect", model.String(""), "Text that has to be in what comes back within its first 64 KiB."),
		configure("expect_pattern", model.String(""), "RE2 regular expression that has to match what comes back."),
		configure("read_banner", model.Bool(false), "Whether the other side has to say something, whatever it is, when nothing is expected of it."),
	}, devices.CertificateSettings()),
	Variables: slices.Concat([]model.Variable{
		variableOpen: {Name: "open", Type: model.TypeBool,
			Description: "Whether a connection was taken; false when it was refused or nobody answered, which state and last_error tell apart."},
		variableConnectTime:   {Name: "connect_time", Type: model.TypeDuration, Description: "Time from the first packet until the connection was there."},
		variableServerAddress: {Name: "server_address", Type: model.TypeString, Description: "The address and port that were connected to."},
		variableTLSTime:       {Name: "tls_time", Type: model.TypeDuration, Description: "Time for the TLS handshake."},
		variableResponseTime: {Name: "response_time", Type: model.TypeDuration,
			Description: "Time from the connection, TLS included, until what is expected was there."},
		variableBanner:  {Name: "banner", Type: model.TypeString, Description: "The beginning of what came back, 1024 bytes at most."},
		variableMatches: {Name: "matches", Type: model.TypeBool, Description: "Whether what came back is what is expected."},
	}, devices.CertificateVariables()),
}

func configure(name string, standard model.Value, description string) model.Setting {
	return model.Setting{Name: name, Type: standard.Type(), Description: description, Default: standard, Right: model.RightConfigure}
}

// options are the settings in Go's types.
type options struct {
	endpoint     devices.Endpoint
	wanted       string
	tls          bool
	verification devices.Verification
	send         string
	expect       string
	pattern      *regexp.Regexp // nil for none
	listen       bool           // something has to come back
}

func parse(s devices.Settings) (options, error) {
	o := options{
		wanted: s["wanted"].Text(), tls: s["tls"].Bool(), send: s["send"].Text(), expect: s["expect"].Text(), listen: s["read_banner"].Bool(),
	}
	var err error
	if o.endpoint, err = devices.ParseEndpoint("address", s["address"].Text(), 0); err != nil {
		return o, err
	}
	if o.verification, err = devices.NewVerification(s); err != nil {
		return o, err
	}
	if text := s["expect_pattern"].Text(); text != "" {
		if len(text) > maxText {
			return o, devices.BadSetting("expect_pattern", "it has more than %d bytes", maxText)
		}
		if o.pattern, err = regexp.Compile(text); err != nil {
			return o, devices.BadSetting("expect_pattern", "it is not a regular expression of RE2: %v", err)
		}
	}
	o.listen = o.listen || o.expects()
	switch {
	case o.wanted != wantedOpen && o.wanted != wantedClosed:
		return o, devices.BadSetting("wanted", "%q is neither open nor closed", o.wanted)
	case len(o.send) > maxText:
		return o, devices.BadSetting("send", "it has %d bytes, at most %d are allowed", len(o.send), maxText)
	case len(o.expect) > maxText:
		return o, devices.BadSetting("expect", "it has %d bytes, at most %d are read", len(o.expect), maxText)
	case o.wanted == wantedClosed && (o.listen || o.tls || o.send != ""):
		return o, devices.BadSetting("wanted", "a port that has to be closed takes no send, expect or tls")
	}
	return o, nil
}

// expects reports whether what comes back is judged.
func (o *options) expects() bool { return o.expect != "" || o.pattern != nil }

// met reports whether text is all that is expected.
func (o *options) met(text []byte) bool {
	return contains(text, o.expect) && (o.pattern == nil || o.pattern.Match(text))
}
