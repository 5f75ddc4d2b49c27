package http

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"

	"banyan/devices"
	"banyan/model"
)

// Discover asks for / at the usual ports, over TLS first, or at the port and path that the hint url names: "https://:8443/status". What answers over
// HTTP is found, whatever its certificate: that is for the device's settings.
func (d Driver) Discover(ctx context.Context, at netip.Addr, hints devices.Settings) (devices.Found, bool, error) {
	wanted := []string{"https:///", "http:///"}
	if hint := hints["url"].Text(); hint != "" {
		wanted = []string{hint}
	}
	for _, text := range wanted {
		u, err := url.Parse(text)
		if err != nil || u.Hostname() != "" {
			return devices.Found{}, false, devices.BadSetting("url", "as a hint it names a port and a path without a host, like https://:8443/status")
		}
		host := at.Unmap().String()
		if at.Unmap().Is6() {
			host = "[" + host + "]"
		}
		u.Host = host + u.Host
		found, is, err := d.discoverAt(ctx, u)
		if is || err != nil {
			return found, is, err
		}
	}
	return devices.Found{}, false, ctx.Err()
}

func (d Driver) discoverAt(ctx context.Context, u *url.URL) (devices.Found, bool, error) {
	settings, err := devices.Resolve(devices.Complete(schema), devices.Settings{
		"url": model.String(u.String()), "method": model.String("HEAD"), "max_redirects": model.Int64(0), devices.SettingInsecureSkipVerify: model.Bool(true),
	})
	if err != nil {
		return devices.Found{}, false, err
	}
	o, err := parse(settings)
	if err != nil {
		return devices.Found{}, false, err
	}
	x := exchange{device: &device{options: o}}
	if _ = x.run(ctx); !x.answered {
		return devices.Found{}, false, ctx.Err() // nothing there is no error, the end of the time is one
	}
	return devices.Found{
		Kind: Kind, Name: u.Host, Description: fmt.Sprintf("answers over %s with the status %d", x.protocol, x.status),
		Settings: devices.Settings{"url": model.String(u.String())},
	}, true, nil
}
