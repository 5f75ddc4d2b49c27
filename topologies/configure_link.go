package topologies

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/server"
)

var (
	linksPath   = model.MustPath("/links")
	exportsPath = model.MustPath("/exports")
	mountsPath  = model.MustPath("/mounts")
)

func child(of model.Path, name string) model.Path { return model.MustPath(of.String() + "/" + name) }

// link joins two nodes, or settles what they have joined already. The node that is dialled invites and the one that dials joins, since
// only it has to reach the other.
func (c *configurer) link(ctx context.Context, l *Link) error {
	inviter, joiner := c.inviteAndJoin(l)
	agreed, err := c.agreed(ctx, l)
	if err != nil {
		return err
	}
	if !agreed {
		for _, end := range []End{inviter, joiner} {
			if err := c.removeLink(ctx, c.nodes[end.Node], end.Link); err != nil {
				return err
			}
			for i := range l.Also {
				if err := c.removeSides(ctx, c.nodes[end.Node], l.Also[i].Context(end)); err != nil {
					return err
				}
			}
		}
		if err := c.join(ctx, l, inviter, joiner); err != nil {
			return err
		}
		c.say("%s shows itself to %s, at %s there", l.Provider, l.Consumer, l.Mount)
	}
	for _, end := range []End{inviter, joiner} {
		c.nodes[end.Node].made[child(linksPath, end.Link).String()] = true
	}
	if err := c.address(ctx, l); err != nil {
		return err
	}
	if err := c.beat(ctx, l); err != nil {
		return err
	}
	return c.sides(ctx, l)
}

// inviteAndJoin are the ends by who does what.
func (c *configurer) inviteAndJoin(l *Link) (inviter, joiner End) {
	provider, consumer := c.topology.Ends(l)
	if l.ConsumerDials {
		return provider, consumer
	}
	return consumer, provider
}

// agreed reports whether both ends know each other in these parts already.
func (c *configurer) agreed(ctx context.Context, l *Link) (bool, error) {
	provider, consumer := c.topology.Ends(l)
	for _, end := range []struct {
		End
		peer, role string
		dials      bool
	}{{provider, l.Consumer, "provider", !l.ConsumerDials}, {consumer, l.Provider, "consumer", l.ConsumerDials}} {
		info, there, err := c.nodes[end.Node].client.there(ctx, child(linksPath, end.Link))
		if err != nil || !there {
			return false, err
		}
		id, err := c.nodes[end.peer].nodeID(ctx)
		if err != nil {
			return false, err
		}
		if text(info, "peer") != id || text(info, "role") != end.role || truth(info, "dials") != end.dials || truth(info, "revoked") {
			return false, nil
		}
	}
	return true, nil
}

func text(info *apiv1.ContextInfo, setting string) string {
	r, _ := settingOf(info, setting)
	return valueOf(r).Text()
}

func truth(info *apiv1.ContextInfo, setting string) bool {
	r, _ := settingOf(info, setting)
	return valueOf(r).Bool()
}

func (n *configured) nodeID(ctx context.Context) (string, error) {
	if n.id == "" {
		info, err := ask(ctx, n.client, n.client.Node.Info, &apiv1.InfoRequest{})
		if err != nil {
			return "", err
		}
		n.id = info.GetId()
	}
	return n.id, nil
}

// join invites at one end and redeems at the other.
func (c *configurer) join(ctx context.Context, l *Link, inviter, joiner End) error {
	invite := map[string]string{"name": inviter.Link, "role": "consumer", "addresses": c.nodes[inviter.Node].links}
	redeem := map[string]string{"name": joiner.Link}
	consumer, provider := invite, redeem
	if l.ConsumerDials {
		invite["role"] = "provider"
		consumer, provider = redeem, invite
	}
	consumer["mount"] = l.Mount.String()
	provider["right"], provider["paths"] = l.Export.Right.String(), patterns(&l.Export)
	if l.Export.narrowed() {
		provider["paths"] = "/" // until all is set that narrows it
	}
	invitation, err := c.nodes[inviter.Node].client.call(ctx, linksPath, "invite", invite)
	if err != nil {
		return err
	}
	redeem["token"] = invitation["token"]
	_, err = c.nodes[joiner.Node].client.call(ctx, linksPath, "join", redeem)
	return err
}

func (e *Export) narrowed() bool {
	return !e.Root.IsRoot() || len(e.Kinds) > 0 || len(e.ExceptKinds) > 0
}

// removeLink removes a link with what is given and taken over it.
func (c *configurer) removeLink(ctx context.Context, at *configured, name string) error {
	if err := c.removeSides(ctx, at, name); err != nil {
		return err
	}
	link := child(linksPath, name)
	if _, err := at.client.call(ctx, link, "revoke", nil); err != nil && model.KindOf(err) != model.KindNotFound {
		return err // it goes also where the other end is away, or was removed already
	}
	return at.client.remove(ctx, link)
}

func (c *configurer) removeSides(ctx context.Context, at *configured, name string) error {
	for _, folder := range []model.Path{exportsPath, mountsPath} {
		if err := at.client.remove(ctx, child(folder, name)); err != nil {
			return err
		}
	}
	return nil
}

// address tells the one that dials where the other listens now.
func (c *configurer) address(ctx context.Context, l *Link) error {
	inviter, joiner := c.inviteAndJoin(l)
	at := c.nodes[joiner.Node]
	info, err := at.client.describe(ctx, child(linksPath, joiner.Link))
	if err != nil {
		return err
	}
	return c.settle(ctx, at, info, map[string]model.Value{"addresses": model.String(c.nodes[inviter.Node].links)})
}

// beat tells both ends how far apart heartbeats are to be, since the one counts that wants fewer.
func (c *configurer) beat(ctx context.Context, l *Link) error {
	wanted := map[string]model.Value{"beat": {}}
	if l.Beat != 0 {
		wanted["beat"] = model.Duration(l.Beat)
	}
	provider, consumer := c.topology.Ends(l)
	for _, end := range []End{provider, consumer} {
		at := c.nodes[end.Node]
		info, err := at.client.describe(ctx, child(linksPath, end.Link))
		if err != nil {
			return err
		}
		if err := c.settle(ctx, at, info, wanted); err != nil {
			return err
		}
	}
	return nil
}

// sides makes exports and mounts what the file says; paths come last, after all that narrows them.
func (c *configurer) sides(ctx context.Context, l *Link) error {
	for _, part := range l.Parts() {
		if err := c.export(ctx, l, &part); err != nil {
			return err
		}
		if err := c.mount(ctx, l, &part); err != nil {
			return err
		}
	}
	return nil
}

func (c *configurer) export(ctx context.Context, l *Link, part *Part) error {
	provider, _ := c.topology.Ends(l)
	at, path := c.nodes[provider.Node], child(exportsPath, part.Context(provider))
	info, there, err := at.client.there(ctx, path)
	if err != nil {
		return err
	}
	e := &part.Export
	settings := map[string]model.Value{
		"links": model.String(provider.Link), "right": model.String(e.Right.String()), "root": model.String(e.Root.String()), "kinds": model.String(strings.Join(e.Kinds, ",")),
		"except_kinds": model.String(strings.Join(e.ExceptKinds, ",")), "secrets": model.Bool(e.Secrets), "people": model.Bool(e.People),
	}
	paths := map[string]model.Value{"paths": model.String(patterns(e))}
	if part.Name != "" {
		at.made[path.String()] = true
	}
	if !there {
		maps.Copy(settings, paths)
		return at.client.create(ctx, path, server.KindExport, "", settings)
	}
	if err := c.settle(ctx, at, info, settings); err != nil {
		return err
	}
	return c.settle(ctx, at, info, paths)
}

func (c *configurer) mount(ctx context.Context, l *Link, part *Part) error {
	provider, consumer := c.topology.Ends(l)
	at, path := c.nodes[consumer.Node], child(mountsPath, part.Context(consumer))
	settings := map[string]model.Value{
		"link": model.String(consumer.Link), "path": model.String(part.Mount.String()),
		"interval": model.String(part.Pace.Interval), "deadband": model.Float64(part.Pace.Deadband),
	}
	if part.Name != "" {
		settings["export"] = model.String(part.Context(provider))
		at.made[path.String()] = true
	}
	info, there, err := at.client.there(ctx, path)
	if err != nil {
		return err
	}
	if !there {
		return at.client.create(ctx, path, server.KindMount, "", settings)
	}
	return c.settle(ctx, at, info, settings)
}

// linkLooking is how often it is looked whether a link is up.
const linkLooking = 50 * time.Millisecond

// linked waits until every link is up at both ends, and what is mounted over it is good.
func (c *configurer) linked(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for i := range c.topology.Links {
		l := &c.topology.Links[i]
		provider, consumer := c.topology.Ends(l)
		for _, end := range []End{provider, consumer} {
			if err := c.up(ctx, end, otherEnd(l, end.Node)); err != nil {
				return err
			}
		}
		for _, part := range l.Parts() {
			if err := c.reaches(ctx, consumer, child(mountsPath, part.Context(consumer)), l.Provider, "good", "loop"); err != nil {
				return err
			}
		}
	}
	return nil
}

// up waits until one end of a link says that it is up.
func (c *configurer) up(ctx context.Context, end End, peer string) error {
	return c.reaches(ctx, end, child(linksPath, end.Link), peer, "up")
}

// reaches waits until a link or a mount says that it is in one of some states.
func (c *configurer) reaches(ctx context.Context, end End, path model.Path, peer string, states ...string) error {
	last := "nothing is known of it"
	for {
		info, err := c.nodes[end.Node].client.describe(ctx, path)
		switch {
		case err == nil && slices.Contains(states, variableOf(info, "state").Text()):
			return nil
		case err == nil:
			last = strings.TrimSpace(variableOf(info, "state").Text() + " " + variableOf(info, "detail").Text())
		case ctx.Err() == nil:
			return fmt.Errorf("%s: %w", end.Node, err)
		}
		sleep(ctx, linkLooking)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return &model.Error{
				Kind: model.KindTimeout, Detail: fmt.Sprintf("%s: the link to %s does not come up: %s", end.Node, peer, last),
				Remedy: "look into the logs of both nodes",
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func otherEnd(l *Link, node string) string {
	if node == l.Provider {
		return l.Consumer
	}
	return l.Provider
}
