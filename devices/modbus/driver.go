package modbus

import (
	"net"
	"strconv"

	"banyan/devices"
	"banyan/model"
	"banyan/profiles"
)

// Kind is the driver's kind.
const Kind = "modbus"

// defaultPort is the one that is registered for Modbus TCP.
const defaultPort = "502"

// Profiles is where the driver finds device profiles.
type Profiles interface {
	Profile(kind, name string) (*profiles.Profile, error)
}

// Driver is the driver.
type Driver struct {
	Profiles Profiles
}

var _ devices.Driver = Driver{}

// Kind is "modbus".
func (Driver) Kind() string { return Kind }

// Schema declares what devices of all profiles have.
func (Driver) Schema() *model.Schema { return schema }

// Open makes a device. The first poll connects.
func (d Driver) Open(settings devices.Settings) (devices.Device, error) {
	address, err := target(settings["address"].Text())
	if err != nil {
		return nil, err
	}
	unit := settings["unit"].Int64()
	if unit < 0 || unit > 255 {
		return nil, devices.BadSetting("unit", "%d is outside of 0 to 255", unit)
	}
	if d.Profiles == nil {
		return nil, devices.BadSetting("profile", "this node has no profiles")
	}
	p, err := d.Profiles.Profile(Kind, settings["profile"].Text())
	if err != nil {
		return nil, &model.Error{Kind: model.KindInvalid, Name: "profile", Err: err}
	}
	l, ok := p.Driver.(*layout)
	if !ok {
		return nil, devices.BadSetting("profile", "the profile %s was not made for this driver", p.Name)
	}
	return &device{client: newClient(address, byte(unit)), shape: p.Schema(schema), layout: l, spans: l.plan(false)}, nil
}

// target completes HOST or HOST:PORT.
func target(text string) (string, error) {
	if text == "" {
		return "", devices.BadSetting("address", "it is missing: write HOST or HOST:PORT")
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = text, defaultPort
		if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
			host = host[1 : len(host)-1]
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
		return "", devices.BadSetting("address", "%.80q is not HOST or HOST:PORT", text)
	}
	return net.JoinHostPort(host, port), nil
}

// The driver's variables.
const (
	variableRequests = iota
	variableExceptions
	variablesOwn
)

const functionRead = 0

var schema = &model.Schema{
	Kind:        Kind,
	Description: "A device that speaks Modbus TCP, or one behind a gateway that does.",
	Settings: []model.Setting{
		{Name: "address", Type: model.TypeString, Right: model.RightConfigure, Description: "HOST or HOST:PORT; the port is 502 where none is given."},
		{Name: "unit", Type: model.TypeInt64, Default: model.Int64(1), Right: model.RightConfigure,
			Description: "The unit identifier, 0 to 255: which device behind a gateway; others mostly ignore it."},
		{Name: "profile", Type: model.TypeString, Right: model.RightConfigure, Description: "The device profile: which registers there are and what they mean."},
	},
	Variables: []model.Variable{
		variableRequests:   {Name: "requests", Type: model.TypeInt64, Description: "Requests that were sent since the device was started."},
		variableExceptions: {Name: "exceptions", Type: model.TypeInt64, Description: "How many of them the device refused."},
	},
	Functions: []model.Function{functionRead: {
		Name: "read", Right: model.RightOperate, Idempotent: true, Description: "Reads registers or bits as they are: for whoever writes a profile.",
		Parameters: []model.Field{
			{Name: "area", Type: model.TypeString, Optional: true, Description: "coil, discrete, holding (where none is given) or input."},
			{Name: "register", Type: model.TypeInt64, Description: "The first one, counted from 0."},
			{Name: "count", Type: model.TypeInt64, Optional: true, Description: "How many, 1 to 125; 1 where none is given."},
		},
		Results: []model.Field{{Name: "values", Type: model.TypeTable, Description: "One row for each: register, value, hex."}},
	}},
}
