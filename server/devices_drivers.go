package server

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"banyan/devices"
	"banyan/devices/dns"
	"banyan/devices/exec"
	"banyan/devices/host"
	"banyan/devices/http"
	"banyan/devices/modbus"
	"banyan/devices/mqtt"
	"banyan/devices/ping"
	"banyan/devices/prometheus"
	"banyan/devices/simulator"
	"banyan/devices/snmp"
	"banyan/devices/tcp"
	"banyan/profiles"

	"github.com/hashicorp/go-hclog"
)

// DriverEnv is what drivers get from the node that they are in.
type DriverEnv struct {
	// Profiles are those that came with the program and those of the node.
	Profiles *profiles.Registry
	// Dir is the node's directory, for what is read at the node only. It is empty where there is no node, and settings are only checked.
	Dir string
	// Log is for what concerns no single device.
	Log hclog.Logger
}

// Drivers are the kinds of devices that come with the program.
func Drivers(env DriverEnv) []devices.Driver {
	programs := ""
	if env.Dir != "" {
		programs = filepath.Join(env.Dir, programsFolder)
	}
	return []devices.Driver{
		dns.Driver{},
		exec.New(programs),
		host.Driver{},
		http.Driver{},
		simulator.Driver{},
		modbus.Driver{Profiles: env.Profiles},
		mqtt.Driver{Profiles: env.Profiles},
		ping.New(),
		prometheus.Driver{Profiles: env.Profiles},
		snmp.Driver{Profiles: env.Profiles},
		tcp.Driver{},
	}
}

// profileChecks are the kinds of devices that can have profiles, each with what its driver asks of them.
func profileChecks() map[string]profiles.Check {
	return map[string]profiles.Check{
		modbus.Kind:     modbus.Check,
		mqtt.Kind:       mqtt.Check,
		prometheus.Kind: prometheus.Check,
		snmp.Kind:       snmp.Check,
	}
}

// CheckingDrivers are the drivers without a node: for looking at files, with the profiles that came with the program.
func CheckingDrivers() ([]devices.Driver, error) {
	registry, err := profiles.NewRegistry(profiles.Config{Checks: profileChecks()})
	if err != nil {
		return nil, err
	}
	return Drivers(DriverEnv{Profiles: registry, Log: hclog.NewNullLogger()}), nil
}

// CheckProfile reads a device profile as a node does; its name is that of the file.
func CheckProfile(file string, source []byte) (*profiles.Profile, error) {
	return profiles.Parse(file, strings.TrimSuffix(filepath.Base(file), ".yaml"), source, profileChecks())
}

// programsFolder is where an administrator puts the programs that devices of the kind exec run, in the node's directory.
const programsFolder = "exec"

// profilesFolder is where an administrator drops profiles, in the node's directory.
const profilesFolder = "profiles"

// openProfiles reads the profiles and makes the drivers, where the program brings none of its own.
func (n *Node) openProfiles(context.Context) error {
	var err error
	n.profiles, err = profiles.NewRegistry(profiles.Config{
		Dir: filepath.Join(n.cfg.Data, profilesFolder), Checks: profileChecks(), Log: n.log.Named("profiles"),
	})
	if err == nil && n.cfg.Drivers == nil {
		n.cfg.Drivers = Drivers(DriverEnv{Profiles: n.profiles, Dir: n.cfg.Data, Log: n.log.Named("devices")})
	}
	return err
}

// watchProfiles starts devices anew whose profile was changed, until ctx ends.
func (n *Node) watchProfiles(ctx context.Context) error {
	return n.profiles.Run(ctx, n.devices.profilesChanged)
}

// profilesChanged starts the devices anew that have one of these profiles, and those that choose one by themselves.
func (h *deviceHub) profilesChanged(names []string) {
	h.log.Info("profiles were changed", "profiles", names)
	h.manager.Renew(func(kind string, settings devices.Settings) bool {
		if h.all[kind].Schema.SettingIndex(devices.SettingProfile) < 0 {
			return false
		}
		profile := settings[devices.SettingProfile].Text()
		return profile == "" || slices.Contains(names, profile)
	})
}
