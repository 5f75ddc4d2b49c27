package dns

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"banyan/devices"
	"banyan/model"
)

// The driver's variables, by their index in the schema.
const (
	variableRcode = iota
	variableLatency
	variableAnswers
	variableCount
	variableTTLMin
	variableAuthoritative
	variableSOASerial
	variableMatches
	variableTruncated
	variableAttemptsUsed
	variableServerAddress
	firstCertificate
)

var schema = &model.Schema{
	Kind:        Kind,
	Description: "A name server that has to answer a query.",
	Settings: slices.Concat([]model.Setting{
		configure("server", model.String(""), "Address or name of the name server, with a port where it is not 53, or 853 with TLS."),
		configure("name", model.String(""), "The name that is asked for; with the type PTR it can be an address."),
		configure("type", model.String("A"), "The type of records: A, AAAA, MX, TXT, NS, SOA, PTR, SRV, CNAME or CAA."),
		configure("transport", model.String(transportUDP), "How it is asked: udp (and tcp when the answer does not fit), tcp or tls."),
		configure("recursion", model.Bool(true), "Whether the server is to ask others; false for servers that answer for their own zones."),
		configure("attempts", model.Int64(2), "How often a query over udp is sent within the timeout, 1 to 10."),
		configure("expected_rcode", model.String("NOERROR"), "The code that is right: NOERROR, which means that there are records of the type, NODATA for NOERROR without any, NXDOMAIN, REFUSED or another one."),
		configure("expected_answers", model.String(""), "Records that have to be there, one in each line, written as answers shows them; empty for any."),
		configure("answers_exactly", model.Bool(false), "Whether there may be no other records than those."),
	}, devices.CertificateSettings()),
	Variables: slices.Concat([]model.Variable{
		variableRcode:         {Name: "rcode", Type: model.TypeString, Description: "The code of the answer, such as NOERROR, NXDOMAIN or SERVFAIL."},
		variableLatency:       {Name: "latency", Type: model.TypeDuration, Description: "Time from the query that was answered to its answer; over tcp and tls with connecting."},
		variableAnswers:       {Name: "answers", Type: model.TypeString, Description: "The records of the type that was asked for, sorted, one in each line."},
		variableCount:         {Name: "count", Type: model.TypeInt64, Description: "How many they are."},
		variableTTLMin:        {Name: "ttl_min", Type: model.TypeDuration, Description: "The shortest time to live among all records of the answer."},
		variableAuthoritative: {Name: "authoritative", Type: model.TypeBool, Description: "Whether the server answers for the zone itself."},
		variableSOASerial:     {Name: "soa_serial", Type: model.TypeInt64, Description: "The zone's serial number, with the type SOA."},
		variableMatches:       {Name: "matches", Type: model.TypeBool, Description: "Whether the records are those that are expected."},
		variableTruncated:     {Name: "truncated", Type: model.TypeBool, Description: "Whether the answer did not fit into udp, so that it was fetched over tcp."},
		variableAttemptsUsed:  {Name: "attempts_used", Type: model.TypeInt64, Description: "How many queries it took until one was answered."},
		variableServerAddress: {Name: "server_address", Type: model.TypeString, Description: "The address and port that were asked."},
	}, devices.CertificateVariables()),
}

func configure(name string, standard model.Value, description string) model.Setting {
	return model.Setting{Name: name, Type: standard.Type(), Description: description, Default: standard, Right: model.RightConfigure}
}

// The values of the setting transport.
const (
	transportUDP = "udp"
	transportTCP = "tcp"
	transportTLS = "tls"
)

// noData is what expected_rcode calls an answer without an error and without records.
const noData = "NODATA"

const maxExpected = 64 << 10

var types = []string{"A", "AAAA", "MX", "TXT", "NS", "SOA", "PTR", "SRV", "CNAME", "CAA"}

// options are the settings in Go's types.
type options struct {
	endpoint     devices.Endpoint
	name         string // with a dot at its end
	kind         uint16
	transport    string
	recursion    bool
	attempts     int
	rcode        string
	expected     []string // in the form that is compared
	exactly      bool
	verification devices.Verification
}

func parse(s devices.Settings) (options, error) {
	o := options{
		transport: s["transport"].Text(), recursion: s["recursion"].Bool(), attempts: int(min(s["attempts"].Int64(), 100)),
		rcode: s["expected_rcode"].Text(), exactly: s["answers_exactly"].Bool(),
	}
	port := map[string]uint16{transportUDP: 53, transportTCP: 53, transportTLS: 853}[o.transport]
	_, known := dns.StringToRcode[o.rcode]
	switch {
	case port == 0:
		return o, devices.BadSetting("transport", "%q is not a transport: use udp, tcp or tls", o.transport)
	case !slices.Contains(types, s["type"].Text()):
		return o, devices.BadSetting("type", "%q is not a type that can be asked for: use one of %s", s["type"].Text(), strings.Join(types, ", "))
	case o.attempts < 1 || o.attempts > 10:
		return o, devices.BadSetting("attempts", "%d is outside of 1 to 10", s["attempts"].Int64())
	case !known && o.rcode != noData:
		return o, devices.BadSetting("expected_rcode", "%q is not a code: use NOERROR, NODATA, NXDOMAIN, REFUSED, SERVFAIL or another one of DNS", o.rcode)
	case len(s["expected_answers"].Text()) > maxExpected:
		return o, devices.BadSetting("expected_answers", "it has more than %d bytes", maxExpected)
	}
	o.kind = dns.StringToType[s["type"].Text()]
	var err error
	if o.endpoint, err = devices.ParseEndpoint("server", s["server"].Text(), port); err != nil {
		return o, err
	}
	if o.name, err = nameOf(s["name"].Text(), o.kind); err != nil {
		return o, err
	}
	for line := range strings.Lines(s["expected_answers"].Text()) {
		if line = strings.TrimSpace(line); line != "" {
			o.expected = append(o.expected, sameForm(o.kind, line))
		}
	}
	switch {
	case o.exactly && len(o.expected) == 0:
		return o, devices.BadSetting("expected_answers", "it is empty, and answers_exactly is set")
	case len(o.expected) > 0 && o.rcode != "NOERROR":
		return o, devices.BadSetting("expected_answers", "there are none with %s", o.rcode)
	}
	o.verification, err = devices.NewVerification(s)
	return o, err
}

func nameOf(text string, kind uint16) (string, error) {
	if text == "" {
		return "", devices.BadSetting("name", "it is missing: give the name to ask for, or a dot for the root")
	}
	if at, err := netip.ParseAddr(text); err == nil && kind == dns.TypePTR {
		return dns.ReverseAddr(at.WithZone("").String())
	}
	if _, ok := dns.IsDomainName(text); !ok {
		return "", devices.BadSetting("name", "%q is not a name", text)
	}
	return dns.Fqdn(text), nil
}
