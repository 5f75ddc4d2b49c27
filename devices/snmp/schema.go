package snmp

import (
	_ "embed"

	"banyan/model"
	"banyan/profiles"
)

// Kind is the driver's kind.
const Kind = "snmp"

const (
	builtinName      = "builtin"
	tableInterfaces  = "interfaces"
	defaultMaxRows   = 1000
	mostMaxRows      = 50_000
	defaultWalkLimit = 1000
	mostWalkLimit    = 10_000
)

// The driver's own variables, before those of the built-in profile and of the device's.
const (
	variableUptime = iota
	variableBootTime
	variableRestarts
	variableProfile
	variableProblems
	ownVariables
)

var base = &model.Schema{
	Kind:        Kind,
	Description: "A device that speaks SNMP.",
	Settings: []model.Setting{
		{Name: "address", Type: model.TypeString, Right: model.RightConfigure, Description: "Host, or host:port; an IPv6 address with a port is [address]:port. The port is 161 where none is given."},
		{Name: "version", Type: model.TypeString, Default: model.String("2c"), Right: model.RightConfigure, Description: "Version of the protocol: 1, 2c or 3."},
		{Name: "community", Type: model.TypeString, Default: model.String("public"), Secret: true, Right: model.RightConfigure, Description: "Word that lets in, versions 1 and 2c."},
		{Name: "user", Type: model.TypeString, Default: model.String(""), Right: model.RightConfigure, Description: "Name of the user, version 3."},
		{Name: "auth_protocol", Type: model.TypeString, Default: model.String("none"), Right: model.RightConfigure, Description: "How the user is authenticated: none, md5, sha, sha224, sha256, sha384 or sha512."},
		{Name: "auth_password", Type: model.TypeString, Default: model.String(""), Secret: true, Right: model.RightConfigure, Description: "Password for that, 8 characters or more."},
		{Name: "priv_protocol", Type: model.TypeString, Default: model.String("none"), Right: model.RightConfigure, Description: "How messages are encrypted: none, des, aes, aes192, aes256, or aes192c and aes256c for Cisco's keys."},
		{Name: "priv_password", Type: model.TypeString, Default: model.String(""), Secret: true, Right: model.RightConfigure, Description: "Password for that, 8 characters or more."},
		{Name: "context_name", Type: model.TypeString, Default: model.String(""), Right: model.RightConfigure, Description: "Part of the device that is meant, version 3; most devices have one without a name."},
		{Name: "profile", Type: model.TypeString, Default: model.String(""), Right: model.RightConfigure, Description: "Name of the profile that says what else to read. Empty chooses one by what the device says about itself."},
		{Name: "interfaces", Type: model.TypeString, Default: model.String("*"), Right: model.RightConfigure, Description: "Which network interfaces to show, by patterns of their names: \"Gi*,Te*,!*.4094\"; empty for none."},
		{Name: "max_rows", Type: model.TypeInt64, Default: model.Int64(defaultMaxRows), Right: model.RightConfigure, Description: "How many rows of a table are read at most, 1 to 50000."},
		{Name: "max_oids", Type: model.TypeInt64, Default: model.Int64(defaultOIDs), Right: model.RightConfigure, Description: "How many objects to ask for in one request, 1 to 128. Bulk answers carry up to twice as many. Lowered by itself where a device cannot bear it."},
		{Name: "max_repetitions", Type: model.TypeInt64, Default: model.Int64(defaultRepetitions), Right: model.RightConfigure, Description: "How many rows to ask for in one bulk request, 0 to 200; 0 asks for one after the other, for devices that do not know GETBULK."},
		{Name: "retries", Type: model.TypeInt64, Default: model.Int64(2), Right: model.RightConfigure, Description: "How often a request that is not answered is sent again, 0 to 10; the tries share what is left of timeout."},
	},
	Variables: []model.Variable{
		variableUptime:   {Name: "uptime", Type: model.TypeDuration, Description: "How long the device, or its agent, has been running (sysUpTime, its wraps after 497 days counted)."},
		variableBootTime: {Name: "boot_time", Type: model.TypeTime, Description: "When the device, or its agent, was started."},
		variableRestarts: {Name: "restarts", Type: model.TypeInt64, Description: "How many restarts were noticed since polling began."},
		variableProfile:  {Name: "profile_used", Type: model.TypeString, Description: "The profile that is in use; empty for none."},
		variableProblems: {Name: "problems", Type: model.TypeString, Description: "What could not be read, and why; empty where all could."},
	},
	Functions: []model.Function{{
		Name: "walk", Right: model.RightOperate, Idempotent: true,
		Description: "Lists what the device has below an object identifier, for writing profiles.",
		Parameters: []model.Field{
			{Name: "oid", Type: model.TypeString, Optional: true, Description: "Where to begin; 1.3.6.1 where it is left out."},
			{Name: "limit", Type: model.TypeInt64, Optional: true, Description: "How many objects at most, up to 10000; 1000 where it is left out."},
		},
		Results: []model.Field{
			{Name: "objects", Type: model.TypeTable, Description: "Identifier, type and value of each object."},
			{Name: "complete", Type: model.TypeBool, Description: "Whether that is all there is."},
		},
	}},
}

//go:embed builtin.yaml
var builtinYAML []byte

// builtin is what every device is asked for. It is a profile like all others, and its being right is tested.
var builtin = func() *profiles.Profile {
	p, err := profiles.Parse("builtin.yaml", builtinName, builtinYAML, map[string]profiles.Check{Kind: Check})
	if err != nil {
		panic(err)
	}
	return withUse(p)
}()

var driverSchema = builtin.Schema(base)
