package server

import (
	"context"

	"banyan/model"
	"banyan/peering"
	"banyan/peering/dialing"
	"banyan/store"
	"banyan/tree"
)

// The settings of a link that say through which proxy it dials. The same names are parameters of invite and join.
const (
	settingProxy         = "proxy"
	settingProxyUser     = "proxy_user"
	settingProxyPassword = "proxy_password"
)

var proxySettings = []model.Setting{
	{Name: settingProxy, Type: model.TypeString, Right: model.RightAdminister,
		Description: "Proxy through which this node dials: http://HOST:PORT, https://HOST:PORT, or none. Empty is what HTTPS_PROXY and NO_PROXY in the environment of the node say."},
	{Name: settingProxyUser, Type: model.TypeString, Right: model.RightAdminister, Description: "User at that proxy, where it asks for one."},
	{Name: settingProxyPassword, Type: model.TypeString, Secret: true, Right: model.RightAdminister, Description: "The user's password."},
}

var proxyParameters = []model.Field{
	{Name: settingProxy, Type: model.TypeString, Optional: true, Description: "Where this node dials: the proxy, http://HOST:PORT, https://HOST:PORT, or none."},
	{Name: settingProxyUser, Type: model.TypeString, Optional: true, Description: "User at the proxy."},
	{Name: settingProxyPassword, Type: model.TypeString, Optional: true, Secret: true, Description: "The user's password."},
}

// dialer is how this node connects to others.
func (n *Node) dialer() peering.Dialer {
	if n.cfg.Dial != nil {
		return peering.DialEach(n.cfg.Dial)
	}
	return dialing.New(n.cfg.Dialling)
}

// checkProxy refuses settings of a proxy that cannot be meant. A user stays where the proxy is none for a while.
func checkProxy(url, user string) error {
	if err := dialing.CheckProxy(url); err != nil {
		return err
	}
	return dialing.CheckUser(user)
}

// proxyGiven are the settings of a proxy that a call was given.
func proxyGiven(g given) (peering.Proxy, []store.Setting, error) {
	p := peering.Proxy{URL: g.text(settingProxy, ""), User: g.text(settingProxyUser, ""), Password: g[settingProxyPassword].Text()}
	if err := checkProxy(p.URL, p.User); err != nil {
		return p, nil, err
	}
	if p.User != "" && (p.URL == "" || p.URL == dialing.None) {
		return p, nil, &model.Error{Kind: model.KindInvalid, Detail: "a user at a proxy needs the proxy", Remedy: "give proxy as well"}
	}
	if p.Password != "" && p.User == "" {
		return p, nil, model.Errorf(model.KindInvalid, "a password at a proxy needs a user")
	}
	var settings []store.Setting
	for name, text := range map[string]string{settingProxy: p.URL, settingProxyUser: p.User, settingProxyPassword: p.Password} {
		if text != "" {
			settings = append(settings, store.Setting{Name: name, Value: model.String(text)})
		}
	}
	return p, settings, nil
}

// proxyOf is the proxy of a link.
func (l *links) proxyOf(ctx context.Context, c *tree.Context) peering.Proxy {
	p := peering.Proxy{URL: c.SettingNamed(settingProxy).Text(), User: c.SettingNamed(settingProxyUser).Text()}
	if p.User == "" {
		return p
	}
	word, err := l.store.Secret(ctx, c.ID, settingProxyPassword)
	if err != nil {
		l.log.Error("the password for a link's proxy cannot be read", "link", c.Path.Base(), "error", err)
	}
	p.Password = word.Text()
	return p
}
