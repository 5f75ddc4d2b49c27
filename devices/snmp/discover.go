package snmp

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"banyan/devices"
	"banyan/model"
)

// discoverTry is how long Discover waits for one answer.
const discoverTry = time.Second

// Discover asks who is there: with version 3 where the hints have a user, else with 2c and then with 1, unless the hints name one.
func (dr Driver) Discover(ctx context.Context, at netip.Addr, hints devices.Settings) (devices.Found, bool, error) {
	given := maps.Clone(hints)
	if given == nil {
		given = devices.Settings{}
	}
	port := uint16(defaultPort)
	if v := hints["address"]; !v.IsNone() { // only its port means something
		_, p, err := splitAddress(v.Text())
		if err != nil {
			return devices.Found{}, false, err
		}
		port = p
	}
	given["address"] = model.String(net.JoinHostPort(at.String(), strconv.Itoa(int(port))))
	versions := []string{"2c", "1"}
	switch {
	case !hints["version"].IsNone():
		versions = []string{hints["version"].Text()}
	case hints["user"].Text() != "":
		versions = []string{"3"}
	}
	for _, version := range versions {
		given["version"] = model.String(version)
		settings, err := devices.Resolve(devices.Complete(driverSchema), given)
		if err != nil {
			return devices.Found{}, false, err
		}
		to, err := targetOf(settings)
		if err != nil {
			return devices.Found{}, false, err
		}
		to.retries = 0
		if found, ok := dr.look(ctx, to); ok {
			found.Settings = devices.Settings{"address": given["address"], "version": given["version"]}
			if port == defaultPort {
				found.Settings["address"] = model.String(at.String())
			}
			if found.Profile != "" {
				found.Settings["profile"] = model.String(found.Profile)
			}
			return found, true, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return devices.Found{}, false, nil
}

// look asks one target.
func (dr Driver) look(ctx context.Context, to target) (devices.Found, bool) {
	try, cancel := context.WithTimeout(ctx, discoverTry)
	defer cancel()
	s := newSession(to, defaultOIDs, defaultRepetitions)
	defer s.close()
	id, err := identify(try, s)
	if err != nil {
		return devices.Found{}, false
	}
	found := devices.Found{Kind: Kind, Name: strings.TrimSpace(id.name), Description: oneLine(id.description)}
	if found.Name == "" {
		found.Name = to.host
	}
	more, cancelMore := context.WithTimeout(ctx, 3*discoverTry)
	defer cancelMore()
	if p, err := dr.choose(more, s, id); err == nil && p != nil {
		found.Profile = p.Name
	}
	return found, true
}

// oneLine makes one line of a description, which can have several.
func oneLine(text string) string {
	const most = 200
	line := strings.Join(strings.Fields(text), " ")
	if len(line) > most {
		line = strings.ToValidUTF8(line[:most], "") + "..."
	}
	return line
}
