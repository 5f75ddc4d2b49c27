package ping

import (
	"net/netip"
	"time"

	"banyan/devices"
	"banyan/model"
)

// The driver's variables, by their index in the schema.
const (
	variableLoss = iota
	variableLast
	variableLeast
	variableAverage
	variableMost
	variableJitter
	variableSent
	variableReceived
	variableTTL
	variableDuplicates
	variableLate
	variableUnreachable
	variableAddress
)

// Bounds of the settings.
const (
	maxProbes  = 100
	minSpacing = 5 * time.Millisecond
	maxSize    = 8972 // what fits into a jumbo frame of 9000 bytes
)

var schema = &model.Schema{
	Kind:        Kind,
	Description: "A host that has to answer pings.",
	Settings: []model.Setting{
		configure("host", model.String(""), "", "The host's address or name."),
		configure("family", model.String(familyAny), "", "Which addresses of a name are pinged: ipv4, ipv6, or any, which is the first that the resolver gives."),
		configure("probes", model.Int64(5), "", "How many pings each poll sends, 1 to 100."),
		configure("spacing", model.Duration(50*time.Millisecond), "", "Time between them, 5ms or more."),
		configure("reply_wait", model.Duration(time.Second), "", "How long each answer is waited for; what comes later counts as lost."),
		configure("size", model.Int64(56), "B", "Bytes of data in each ping, 16 to 8972."),
	},
	Variables: []model.Variable{
		variableLoss:        {Name: "loss", Type: model.TypeFloat64, Unit: "%", Description: "Share of the last poll's pings that were not answered."},
		variableLast:        {Name: "rtt_last", Type: model.TypeDuration, Description: "Round trip of the last answer."},
		variableLeast:       {Name: "rtt_min", Type: model.TypeDuration, Description: "Shortest round trip of the last poll."},
		variableAverage:     {Name: "rtt_avg", Type: model.TypeDuration, Description: "Mean round trip of the last poll."},
		variableMost:        {Name: "rtt_max", Type: model.TypeDuration, Description: "Longest round trip of the last poll."},
		variableJitter:      {Name: "jitter", Type: model.TypeDuration, Description: "Mean difference between round trips that follow each other, in the last poll."},
		variableSent:        {Name: "sent", Type: model.TypeInt64, Description: "How many pings the last poll sent."},
		variableReceived:    {Name: "received", Type: model.TypeInt64, Description: "How many of them were answered in time."},
		variableTTL:         {Name: "ttl", Type: model.TypeInt64, Description: "Time to live, or hop limit, of the last answer as it came in."},
		variableDuplicates:  {Name: "duplicates", Type: model.TypeInt64, Description: "Answers that came more than once, since the device was started."},
		variableLate:        {Name: "late", Type: model.TypeInt64, Description: "Answers that came after reply_wait, since the device was started."},
		variableUnreachable: {Name: "unreachable", Type: model.TypeString, Description: "What was reported instead of an answer in the last poll, and by whom; empty for nothing."},
		variableAddress:     {Name: "address", Type: model.TypeString, Description: "The address that was pinged."},
	},
}

func configure(name string, standard model.Value, unit, description string) model.Setting {
	return model.Setting{Name: name, Type: standard.Type(), Unit: unit, Description: description, Default: standard, Right: model.RightConfigure}
}

// The values of the setting family.
const (
	familyAny = "any"
	family4   = "ipv4"
	family6   = "ipv6"
)

// networks are what a resolver is asked for.
var networks = map[string]string{familyAny: "ip", family4: "ip4", family6: "ip6"}

// options are the settings in Go's types.
type options struct {
	host    string
	network string
	probes  int
	spacing time.Duration
	wait    time.Duration
	size    int
}

func parse(s devices.Settings) (options, error) {
	o := options{
		host: s["host"].Text(), network: networks[s["family"].Text()], spacing: s["spacing"].Duration(), wait: s["reply_wait"].Duration(),
	}
	probes, size := s["probes"].Int64(), s["size"].Int64()
	switch {
	case o.host == "":
		return o, devices.BadSetting("host", "it is missing: give an address or a name")
	case o.network == "":
		return o, devices.BadSetting("family", "%q is not a family: use any, ipv4 or ipv6", s["family"].Text())
	case probes < 1 || probes > maxProbes:
		return o, devices.BadSetting("probes", "%d is outside of 1 to %d", probes, maxProbes)
	case o.spacing < minSpacing:
		return o, devices.BadSetting("spacing", "%s is shorter than %s", o.spacing, minSpacing)
	case o.wait < time.Millisecond:
		return o, devices.BadSetting("reply_wait", "%s is shorter than 1ms", o.wait)
	case size < tokenSize || size > maxSize:
		return o, devices.BadSetting("size", "%d is outside of %d to %d", size, tokenSize, maxSize)
	}
	if err := devices.CheckHost("host", o.host); err != nil {
		return o, err
	}
	o.probes, o.size = int(probes), int(size)
	if needs, limit := time.Duration(o.probes-1)*o.spacing+o.wait, s[devices.SettingTimeout].Duration(); limit > 0 && needs > limit {
		return o, devices.BadSetting("reply_wait", "%d pings, one each %s, and %s for the last answer take %s, and timeout is %s", probes, o.spacing, o.wait, needs, limit)
	}
	if at, err := netip.ParseAddr(o.host); err == nil {
		if err := usable(at, o.network); err != nil {
			return o, devices.BadSetting("host", "%v", err)
		}
	}
	return o, nil
}

// usable refuses what is no single host.
func usable(at netip.Addr, network string) error {
	at = at.Unmap()
	switch {
	case at.IsUnspecified(), at.IsMulticast(), at == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return model.Errorf(model.KindInvalid, "%s is not the address of one host", at)
	case network == "ip4" && !at.Is4(), network == "ip6" && !at.Is6():
		return model.Errorf(model.KindInvalid, "%s is not of the family that is wanted", at)
	}
	return nil
}
