package topologies

import (
	"context"
	"fmt"
	"strings"

	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/server"
)

// configurer makes running nodes what a topology says, through their API, as their first administrators. What is right already it leaves
// alone, and so it does with what people made beside the topology.
type configurer struct {
	topology *Topology
	nodes    map[string]*configured
	// password is the one of a user of a node, drawn when there is none yet; fresh says that it was.
	password func(node, user string) (text string, fresh bool, err error)
	say      func(format string, args ...any)
}

// configured is one node as a configurer sees it.
type configured struct {
	client *Client
	links  string // where other nodes find it
	// made is what was created for the topology, so that it goes when the topology names it no longer.
	made map[string]bool
	id   string // of the node, once asked
}

// Run makes everything as the file says.
func (c *configurer) run(ctx context.Context) error {
	for _, n := range c.topology.Nodes {
		if err := c.node(ctx, &n); err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	for i := range c.topology.Links {
		l := &c.topology.Links[i]
		if err := c.link(ctx, l); err != nil {
			return fmt.Errorf("link from %s to %s: %w", l.Provider, l.Consumer, err)
		}
	}
	return c.sweep(ctx)
}

// node makes devices and users.
func (c *configurer) node(ctx context.Context, n *Node) error {
	at := c.nodes[n.Name]
	for i := range n.Devices {
		if err := c.device(ctx, at, n, &n.Devices[i]); err != nil {
			return fmt.Errorf("device %s: %w", n.Devices[i].Path, err)
		}
	}
	for i := range c.topology.Users {
		u := &c.topology.Users[i]
		if u.Node != n.Name {
			continue
		}
		if err := c.user(ctx, at, u); err != nil {
			return fmt.Errorf("user %s: %w", u, err)
		}
	}
	return nil
}

func (c *configurer) device(ctx context.Context, at *configured, n *Node, d *Device) error {
	settings := map[string]model.Value{}
	for _, s := range d.Settings {
		settings[s.Name] = s.Value
	}
	info, there, err := at.client.there(ctx, d.Path)
	if err != nil {
		return err
	}
	if there && info.GetKind() != d.Kind {
		c.say("%s: %s was a %s and becomes a %s", n.Name, d.Path, info.GetKind(), d.Kind)
		if err := at.client.remove(ctx, d.Path); err != nil {
			return err
		}
		there = false
	}
	at.made[d.Path.String()] = true
	if !there {
		return at.client.create(ctx, d.Path, d.Kind, d.Label, settings)
	}
	return c.settle(ctx, at, info, settings)
}

// settle sets what differs. Nothing is as good as an empty text.
func (c *configurer) settle(ctx context.Context, at *configured, info *apiv1.ContextInfo, wanted map[string]model.Value) error {
	path, err := model.ParsePath(info.GetPath())
	if err != nil {
		return err
	}
	for name, v := range wanted {
		r, _ := settingOf(info, name)
		if now := valueOf(r); now.Equal(v) || now.IsNone() && v.Equal(model.String("")) {
			continue
		}
		if err := at.client.set(ctx, path, name, v); err != nil {
			return err
		}
	}
	return nil
}

var usersPath = model.MustPath("/users")

func (c *configurer) user(ctx context.Context, at *configured, u *User) error {
	path, err := usersPath.Child(u.Context())
	if err != nil {
		return err
	}
	settings := map[string]model.Value{"rules": server.RulesValue(u.Rules)}
	kind := server.KindUser
	fresh := false
	if u.Foreign() {
		kind = server.KindForeign
		settings["person"] = model.String(access.Person{Name: u.Name, Node: u.Home}.String())
	} else {
		var password string
		if password, fresh, err = c.password(u.Node, u.Name); err != nil {
			return err
		}
		settings["password"] = model.String(password)
	}
	info, there, err := at.client.there(ctx, path)
	if err != nil {
		return err
	}
	at.made[path.String()] = true
	if !there {
		return at.client.create(ctx, path, kind, "", settings)
	}
	if !fresh {
		delete(settings, "password") // it cannot be compared, since nobody can read it
	}
	return c.settle(ctx, at, info, settings)
}

// sweep removes what was made for the topology and is not in it any more.
func (c *configurer) sweep(ctx context.Context) error {
	wanted := c.wanted()
	for name, at := range c.nodes {
		for path := range at.made {
			if wanted[name][path] {
				continue
			}
			p, err := model.ParsePath(path)
			if err != nil {
				return err
			}
			if linksPath.Contains(p) {
				err = c.removeLink(ctx, at, p.Base())
			} else {
				err = at.client.remove(ctx, p)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			c.say("%s: %s is not in the file any more, removed", name, path)
			delete(at.made, path)
		}
	}
	return nil
}

// wanted is what the topology has, by node and path.
func (c *configurer) wanted() map[string]map[string]bool {
	wanted := map[string]map[string]bool{}
	for _, n := range c.topology.Nodes {
		wanted[n.Name] = map[string]bool{}
		for _, d := range n.Devices {
			wanted[n.Name][d.Path.String()] = true
		}
	}
	for i := range c.topology.Users {
		u := &c.topology.Users[i]
		wanted[u.Node][child(usersPath, u.Context()).String()] = true
	}
	for i := range c.topology.Links {
		l := &c.topology.Links[i]
		provider, consumer := c.topology.Ends(l)
		for _, end := range []End{provider, consumer} {
			wanted[end.Node][child(linksPath, end.Link).String()] = true
		}
		for j := range l.Also {
			wanted[provider.Node][child(exportsPath, l.Also[j].Context(provider)).String()] = true
			wanted[consumer.Node][child(mountsPath, l.Also[j].Context(consumer)).String()] = true
		}
	}
	return wanted
}

// patterns joins an export's paths as its setting has them.
func patterns(e *Export) string {
	texts := make([]string, len(e.Paths))
	for i, p := range e.Paths {
		texts[i] = p.String()
	}
	return strings.Join(texts, ",")
}
