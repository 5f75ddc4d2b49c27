package topologies

import (
	"slices"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/yamlfile"
)

// Topology is a network as a file declares it. One that Check returned is complete and without contradictions.
type Topology struct {
	Name  string
	Nodes []Node // in the order of the file, as all below
	Links []Link
	Users []User

	// Source is the file as it was read.
	Source []byte
}

// Node is one node.
type Node struct {
	Name string
	// Listeners are fixed addresses, HOST:PORT; empty ones are drawn on 127.0.0.1 and kept.
	Listeners Listeners
	Devices   []Device

	at yamlfile.Mark
}

// Listeners are the addresses of a node.
type Listeners struct{ Links, API string }

// Device is a device of a node.
type Device struct {
	Path     model.Path
	Kind     string
	Label    string
	Settings []Setting

	at yamlfile.Mark
}

// Setting is one setting, as the file writes it and as it is.
type Setting struct {
	Name, Text string
	Value      model.Value

	at, value yamlfile.Mark
}

// Link joins two nodes: what the provider exports hangs at Mount of the consumer, and further parts of it elsewhere.
type Link struct {
	Provider, Consumer string
	// ConsumerDials says who opens the connections; the provider does when false.
	ConsumerDials bool
	Export        Export
	Mount         model.Path
	Pace          Pace
	Also          []Part
	// Beat is how far apart heartbeats are at least, 0 for what the nodes have.
	Beat time.Duration
	// Self says that a link of a node with itself is meant.
	Self bool

	at linkMarks
}

// Part is something that goes over a link: an export of the provider, and where the consumer mounts it.
type Part struct {
	Name   string // within the link; empty for the one that the link is made with
	Export Export
	Mount  model.Path
	Pace   Pace

	at, mount yamlfile.Mark
}

// Pace is how often the samples of a mount are wanted while nobody looks, as the settings of the mount say it.
type Pace struct {
	Interval string // live when the file names none
	Deadband float64
}

// Parts are all that goes over a link, what it is made with first.
func (l *Link) Parts() []Part {
	return append([]Part{{Export: l.Export, Mount: l.Mount, Pace: l.Pace, at: l.at.link, mount: l.at.mount}}, l.Also...)
}

// Context is what a part is called at one end of its link, as an export or as a mount.
func (p *Part) Context(end End) string {
	if p.Name == "" {
		return end.Link
	}
	return end.Link + "-" + p.Name
}

type linkMarks struct{ link, provider, consumer, mount yamlfile.Mark }

// Dialer is the node that opens the connections.
func (l *Link) Dialer() string {
	if l.ConsumerDials {
		return l.Consumer
	}
	return l.Provider
}

// Listener is the node that is dialled.
func (l *Link) Listener() string {
	if l.ConsumerDials {
		return l.Provider
	}
	return l.Consumer
}

// Export is what a provider lets a consumer see and do.
type Export struct {
	Paths       []model.Pattern // everything when the file names none
	Right       model.Right     // view when the file names none
	Root        model.Path
	Kinds       []string // these only, when there are any
	ExceptKinds []string
	Secrets     bool
	People      bool
}

// User is a person known at a node. One whose Home is another node only gets narrower rules by this.
type User struct {
	Node  string
	Name  string
	Home  string // the node where the person logs in; empty when that is Node
	Rules []access.Rule

	at yamlfile.Mark
}

// Foreign reports whether the person logs in elsewhere.
func (u *User) Foreign() bool { return u.Home != "" }

// Context is the name of the user's context below /users.
func (u *User) Context() string {
	if u.Foreign() {
		return u.Name + "-at-" + u.Home // a segment of a path has no @
	}
	return u.Name
}

// String is "alice", or "alice@hq" for a foreign one.
func (u *User) String() string {
	if u.Foreign() {
		return u.Name + "@" + u.Home
	}
	return u.Name
}

// Node finds a node by its name.
func (t *Topology) Node(name string) (*Node, bool) {
	at := slices.IndexFunc(t.Nodes, func(n Node) bool { return n.Name == name })
	if at < 0 {
		return nil, false
	}
	return &t.Nodes[at], true
}

// Names are the names of all nodes in the order of the file.
func (t *Topology) Names() []string {
	names := make([]string, len(t.Nodes))
	for i := range t.Nodes {
		names[i] = t.Nodes[i].Name
	}
	return names
}

// End is one end of a link: a node, and what the link is called there.
type End struct{ Node, Link string }

// Ends are both ends of a link. It is called as the node at the other end, and where that would be said of two links, since two nodes provide
// for each other or one for itself, also what the other end is.
func (t *Topology) Ends(l *Link) (provider, consumer End) {
	provider, consumer = End{l.Provider, l.Consumer}, End{l.Consumer, l.Provider}
	for i := range t.Links {
		if other := &t.Links[i]; other.Provider == l.Consumer && other.Consumer == l.Provider {
			provider.Link += "-consumer"
			consumer.Link += "-provider"
			break
		}
	}
	return provider, consumer
}
