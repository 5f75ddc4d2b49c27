package access

import (
	"strconv"
	"strings"

	"banyan/model"
)

// Person names somebody by the node where they logged in.
type Person struct {
	Name string
	Node string
}

// ParsePerson reads "alice@hq".
func ParsePerson(text string) (Person, error) {
	name, node, _ := strings.Cut(text, "@")
	p := Person{Name: name, Node: node}
	if !p.valid() {
		return Person{}, model.Errorf(model.KindInvalid, "%s does not name a person of another node: it is written alice@hq", shown(text))
	}
	return p, nil
}

// String is "alice@hq", and "alice" where no node is named. Text from a neighbour that is no name is escaped.
func (p Person) String() string {
	if p.Node == "" {
		return shown(p.Name)
	}
	return shown(p.Name) + "@" + shown(p.Node)
}

func (p Person) valid() bool { return model.CheckName(p.Name) == nil && model.CheckName(p.Node) == nil }

// shown is a foreign name as it may stand in a message, a log or a terminal.
func shown(name string) string {
	if model.CheckName(name) == nil {
		return name
	}
	const most = 64
	return strconv.QuoteToASCII(name[:min(len(name), most)])
}

// Hop is one node that handed a request on.
type Hop struct {
	Node string // its name
	ID   model.NodeID
}

// MaxHops bounds the nodes that a request passes.
const MaxHops = 16

// Chain is who asks, as it travels with a request: the person, and the nodes that handed the request on, the one where they logged in
// first. Only the last hop is proved, by the certificate of the connection; everything further up is that neighbour's word.
type Chain struct {
	Person Person
	Hops   []Hop
}

// String is how the audit names who asked: "alice" at the node where she logged in, further on "alice@hq, as told by north".
func (c Chain) String() string {
	if len(c.Hops) == 0 {
		return shown(c.Person.Name)
	}
	return c.who() + ", as told by " + shown(c.Hops[len(c.Hops)-1].Node)
}

func (c Chain) who() string {
	if c.Person == (Person{}) {
		return "nobody"
	}
	return c.Person.String()
}

// Principal is who asks, as this node knows it.
type Principal struct {
	Chain Chain
	// Scope narrows what a person who is logged in here may do; nil where nothing does.
	Scope *Scope
	// Link names the link of this node over which the request came, empty for a person who is logged in here. It is set from the
	// verified connection and never from a message.
	Link string
}
