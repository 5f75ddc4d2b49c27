package topologies

import (
	"slices"

	"banyan/model"
	"banyan/server"
	"banyan/yamlfile"
)

// check finds what contradicts itself. What could not be read is reported already and is not in the topology.
func (p *parser) check() {
	names := p.topology.Names()
	for i := range p.topology.Nodes {
		p.checkDevices(&p.topology.Nodes[i])
	}
	p.checkListeners()
	known := true
	for i := range p.topology.Links {
		known = p.checkLink(i, names) && known
	}
	p.checkParts()
	p.checkMounts()
	for _, e := range p.peopled {
		if !slices.Contains(names, e.Name) {
			p.Add(yamlfile.MarkOf(e.Key), yamlfile.DidYouMean(e.Name, names), "users: there is no node %q", e.Name)
		}
	}
	for i := range p.topology.Users {
		p.checkUser(&p.topology.Users[i], names, known)
	}
}

var (
	devicesPath = model.MustPath("/devices")

	// ownPlaces are where every node has contexts of its own.
	ownPlaces = []model.Path{
		model.MustPath("/system"), model.MustPath("/users"), model.MustPath("/roles"), devicesPath,
		model.MustPath("/links"), model.MustPath("/exports"), model.MustPath("/mounts"),
	}
)

func (p *parser) checkDevices(n *Node) {
	for i := range n.Devices {
		d := &n.Devices[i]
		if !devicesPath.Contains(d.Path) || d.Path == devicesPath {
			p.Add(d.at, "choose a path like /devices/"+baseOr(d.Path, "plc-7"), "%s: the device %s is not below /devices", n.Name, d.Path)
		}
		for j := range n.Devices {
			if other := &n.Devices[j]; i != j && other.Path.Contains(d.Path) {
				p.Add(d.at, "give each device a path of its own, beside the other", "%s: the device %s lies inside the device %s (%s)", n.Name, d.Path, other.Path, other.at)
			}
		}
	}
}

func baseOr(path model.Path, other string) string {
	if base := path.Base(); base != "" {
		return base
	}
	return other
}

func (p *parser) checkListeners() {
	first := map[string]*Node{}
	for i := range p.topology.Nodes {
		n := &p.topology.Nodes[i]
		for _, address := range []string{n.Listeners.Links, n.Listeners.API} {
			if address == "" {
				continue
			}
			if other := first[address]; other != nil {
				p.Add(n.at, "choose another port, or leave it out: then one is drawn", "%s listens on %s, and so does %s (%s)", n.Name, address, other.Name, other.at)
			}
			first[address] = n
		}
	}
}

// checkLink reports whether both ends of a link are known.
func (p *parser) checkLink(at int, names []string) bool {
	l := &p.topology.Links[at]
	known := true
	for _, end := range []struct {
		what, name string
		at         yamlfile.Mark
	}{{"provider", l.Provider, l.at.provider}, {"consumer", l.Consumer, l.at.consumer}} {
		if end.name != "" && !slices.Contains(names, end.name) {
			p.Add(end.at, yamlfile.DidYouMean(end.name, names), "the link's %s: there is no node %q", end.what, end.name)
			known = false
		}
	}
	if l.Provider == l.Consumer && l.Provider != "" && !l.Self {
		p.Add(l.at.consumer, "name another node, or write self: true when you mean it", "the link joins %s with itself", l.Provider)
	}
	if l.Self && l.Provider != l.Consumer {
		p.Add(l.at.link, "leave self out", "self is set, and the link joins %s with %s", l.Provider, l.Consumer)
	}
	for i := range at {
		if other := &p.topology.Links[i]; other.Provider == l.Provider && other.Consumer == l.Consumer {
			p.Add(l.at.link, "put what it exports into the other one, under also:", "there is a link from %s to %s already (%s)", l.Provider, l.Consumer, other.at.link)
			break
		}
	}
	return known
}

// checkParts finds two exports or mounts of one node that would have one name.
func (p *parser) checkParts() {
	first := map[string]*Part{}
	for i := range p.topology.Links {
		l := &p.topology.Links[i]
		provider, consumer := p.topology.Ends(l)
		for _, part := range l.Parts() {
			for _, taken := range []struct{ node, path string }{
				{provider.Node, exportsPath.String() + "/" + part.Context(provider)}, {consumer.Node, mountsPath.String() + "/" + part.Context(consumer)},
			} {
				other := first[taken.node+taken.path]
				if other != nil && other.Name+part.Name != "" {
					p.Add(part.at, "choose another name for the part", "there would be two %s at %s (%s)", taken.path, taken.node, other.at)
				}
				first[taken.node+taken.path] = &part
			}
		}
	}
}

// hung is something that hangs at a consumer.
type hung struct {
	link *Link
	Part
}

func (p *parser) checkMounts() {
	var all []hung
	for i := range p.topology.Links {
		l := &p.topology.Links[i]
		for _, part := range l.Parts() {
			if part.mount == (yamlfile.Mark{}) {
				continue
			}
			h := hung{l, part}
			if clash, what, ok := p.ownContext(&h); ok {
				p.Add(h.mount, "mount it at a place of its own, like /sites/"+l.Provider, "the mount %s of %s lies over %s, %s", h.Mount, l.Consumer, clash, what)
			}
			for j := range all {
				p.checkApart(&h, &all[j])
			}
			all = append(all, h)
		}
	}
}

// checkApart finds that a mount lies over one that stands before it in the file.
func (p *parser) checkApart(h, other *hung) {
	if other.link.Consumer != h.link.Consumer || other.Mount.IsRoot() || h.Mount.IsRoot() {
		return
	}
	switch {
	case other.Mount == h.Mount:
		p.Add(h.mount, "give each mount a path of its own", "%s is mounted at %s of %s, where %s is already (%s)", h.link.Provider, h.Mount, h.link.Consumer, other.link.Provider, other.mount)
	case other.Mount.Contains(h.Mount):
		p.Add(h.mount, "mount it beside the other", "the mount %s of %s lies below the mount %s (%s), and nothing local lies below a mount", h.Mount, h.link.Consumer, other.Mount, other.mount)
	case h.Mount.Contains(other.Mount):
		p.Add(h.mount, "mount it beside the other", "the mount %s of %s lies above the mount %s (%s), and nothing local lies below a mount", h.Mount, h.link.Consumer, other.Mount, other.mount)
	}
}

// ownContext finds an own context of the consumer that a mount would hide, or hang in.
func (p *parser) ownContext(h *hung) (model.Path, string, bool) {
	if h.Mount.IsRoot() {
		return h.Mount, "the root of its own tree", true
	}
	if n, ok := p.topology.Node(h.link.Consumer); ok {
		for i := range n.Devices {
			if d := &n.Devices[i]; d.Path.Contains(h.Mount) || h.Mount.Contains(d.Path) {
				return d.Path, "a device of its own", true
			}
		}
	}
	for _, own := range ownPlaces {
		if own.Contains(h.Mount) || h.Mount.Contains(own) {
			return own, "which is its own", true
		}
	}
	return model.Root, "", false
}

// checkUser looks at a foreign name from where the person comes.
func (p *parser) checkUser(u *User, names []string, linked bool) {
	for i := range p.topology.Users {
		other := &p.topology.Users[i]
		if other == u {
			break
		}
		if other.Node == u.Node && other.Context() == u.Context() {
			p.Add(u.at, "choose another name", "%s: %s and %s (%s) would both be /users/%s", u.Node, u, other, other.at, u.Context())
		}
	}
	if !u.Foreign() {
		return
	}
	if !slices.Contains(names, u.Home) {
		p.Add(u.at, yamlfile.DidYouMean(u.Home, names), "%s: there is no node %q", u, u.Home)
		return
	}
	if u.Home == u.Node {
		p.Add(u.at, "write "+u.Name, "%s logs in here, at %s: the name is not foreign", u, u.Node)
		return
	}
	people := []string{server.AdminName}
	for i := range p.topology.Users {
		if other := &p.topology.Users[i]; other.Node == u.Home && !other.Foreign() {
			people = append(people, other.Name)
		}
	}
	if !slices.Contains(people, u.Name) {
		p.Add(u.at, yamlfile.DidYouMean(u.Name, people), "%s: %s has no user %q", u, u.Home, u.Name)
		return
	}
	if linked && slices.Contains(names, u.Node) && !p.reaches(u.Home, u.Node) {
		p.Add(u.at, "add a link whose provider is "+u.Node+", or remove the rules", "no route leads from %s to %s, so that %s can never ask there", u.Home, u.Node, u)
	}
}

// reaches reports whether requests find a way from a consumer down to a provider.
func (p *parser) reaches(from, to string) bool {
	reached := []string{from}
	for at := 0; at < len(reached); at++ {
		for i := range p.topology.Links {
			if l := &p.topology.Links[i]; l.Consumer == reached[at] && !slices.Contains(reached, l.Provider) {
				reached = append(reached, l.Provider)
			}
		}
	}
	return slices.Contains(reached, to)
}
