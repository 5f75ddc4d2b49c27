package http

import (
	"slices"

	"banyan/devices"
	"banyan/model"
)

// The driver's variables, by their index in the schema.
const (
	variableStatus = iota
	variableLatency
	variableDNSTime
	variableConnectTime
	variableTLSTime
	variableFirstByteTime
	variableBodyTime
	variableSize
	variableBodyComplete
	variableBodyMatches
	variableProtocol
	variableRedirects
	variableFinalURL
	variableServerAddress
	firstCertificate
)

// Limits of what is sent and read.
const (
	maxURL         = 8 << 10
	maxText        = 64 << 10 // headers, the body that is sent, what is looked for
	maxBody        = 4 << 20
	maxHeaderBytes = 64 << 10 // of an answer
	maxRedirects   = 20
	maxErrorText   = 300
)

var schema = &model.Schema{
	Kind:        Kind,
	Description: "A page or service that has to answer over HTTP.",
	Settings: slices.Concat([]model.Setting{
		configure("url", model.String(""), "", "What is asked for, beginning with http:// or https://, without a user name or password."),
		configure("method", model.String("GET"), "", "GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS."),
		configure("body", model.String(""), "", "What is sent along, 64 KiB at most."),
		configure("headers", model.String(""), "", "Header fields to send, one \"Name: value\" in each line; those with secrets belong into secret_headers."),
		secret("secret_headers", "Header fields with secrets, such as \"Authorization: Bearer ...\", one in each line."),
		configure("username", model.String(""), "", "User name for basic authentication; empty for none."),
		secret("password", "Password for it."),
		configure("expected_status", model.String("200-399"), "", "Statuses that are right: numbers and ranges with commas between them, like 200,204,300-399."),
		configure("body_contains", model.String(""), "", "Text that has to be in the body."),
		configure("body_pattern", model.String(""), "", "RE2 regular expression that has to match the body."),
		configure("max_body", model.Int64(1<<20), "B", "How much of the body is read, 0 to 4194304; what is behind that is neither waited for nor looked at."),
		configure("max_redirects", model.Int64(5), "", "How many redirects are followed, 0 to 20; with 0 the redirect itself is the answer."),
		configure("http2", model.Bool(true), "", "Whether HTTP/2 is offered, over TLS."),
		configure("keep_alive", model.Bool(false), "", "Whether the connection is kept for the next poll, which then has no connect and TLS times of its own."),
		configure("proxy", model.String(""), "", "Proxy to go through, like http://proxy.example.org:3128; the word environment takes the node's environment variables; empty for none."),
		configure("proxy_username", model.String(""), "", "User name for the proxy; empty for none."),
		secret("proxy_password", "Password for the proxy."),
	}, devices.CertificateSettings()),
	Variables: slices.Concat([]model.Variable{
		variableStatus:        {Name: "status", Type: model.TypeInt64, Description: "The status of the answer, of the last one where redirects were followed."},
		variableLatency:       {Name: "latency", Type: model.TypeDuration, Description: "Time from the beginning until the body was read, redirects included."},
		variableDNSTime:       {Name: "dns_time", Type: model.TypeDuration, Description: "Time for resolving names; 0 for addresses."},
		variableConnectTime:   {Name: "connect_time", Type: model.TypeDuration, Description: "Time for connecting; 0 when a connection was kept."},
		variableTLSTime:       {Name: "tls_time", Type: model.TypeDuration, Description: "Time for TLS handshakes."},
		variableFirstByteTime: {Name: "first_byte_time", Type: model.TypeDuration, Description: "Time from the request until the answer began."},
		variableBodyTime:      {Name: "body_time", Type: model.TypeDuration, Description: "Time from there until the body was read."},
		variableSize:          {Name: "size", Type: model.TypeInt64, Unit: "B", Description: "How much of the body was read."},
		variableBodyComplete:  {Name: "body_complete", Type: model.TypeBool, Description: "Whether that was all of it; false when it is longer than max_body."},
		variableBodyMatches:   {Name: "body_matches", Type: model.TypeBool, Description: "Whether the body is as expected."},
		variableProtocol:      {Name: "protocol", Type: model.TypeString, Description: "HTTP/1.1, HTTP/2.0 or another version that the server chose."},
		variableRedirects:     {Name: "redirects", Type: model.TypeInt64, Description: "How many redirects were followed."},
		variableFinalURL:      {Name: "final_url", Type: model.TypeString, Description: "Where the answer came from, without what stands behind a question mark."},
		variableServerAddress: {Name: "server_address", Type: model.TypeString, Description: "The address and port that were connected to last; with a proxy, the proxy's."},
	}, devices.CertificateVariables()),
}

func configure(name string, standard model.Value, unit, description string) model.Setting {
	return model.Setting{Name: name, Type: standard.Type(), Unit: unit, Description: description, Default: standard, Right: model.RightConfigure}
}

func secret(name, description string) model.Setting {
	return model.Setting{Name: name, Type: model.TypeString, Description: description, Secret: true, Right: model.RightConfigure}
}
