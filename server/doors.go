package server

import (
	"errors"
	"net"

	"banyan/doorstep"
	"banyan/pki"
)

// Door is one way into a node from the network. What a node listens on stands in Doors and nowhere else: a test reads the source for listeners that do not,
// and the matrix of certificates has its columns from here.
type Door struct {
	Name    string // label of its metrics; listeners.NAME is its setting
	For     string // for whom it is, for people
	Address func(*Listeners) string
	// Protocols are those that are taken in the handshake of TLS.
	Protocols []string
	// Class is that of the certificates that callers have to show; ClassNone where they are asked for none and show a token inside.
	Class pki.Class
}

// Names of the doors.
const (
	DoorAPI   = "api"
	DoorLinks = "links"
)

// Doors are all ways into a node.
var Doors = []Door{
	{Name: DoorAPI, For: "the API", Address: func(l *Listeners) string { return l.API }, Protocols: pki.APIProtocols, Class: pki.ClassNone},
	{
		Name: DoorLinks, For: "links", Address: func(l *Listeners) string { return l.Links },
		Protocols: []string{pki.ProtocolConsumer, pki.ProtocolProvider, pki.ProtocolJoin}, Class: pki.ClassLink,
	},
}

// doors are those of a node, by name.
type doors map[string]*doorstep.Listener

// listenTCP is how a node listens, where a test gives it no network of its own.
func listenTCP(address string) (net.Listener, error) { return net.Listen("tcp", address) }

// openDoors listens on all of them.
func (n *Node) openDoors() error {
	n.doors = doors{}
	bench := doorstep.NewBench()
	for _, d := range Doors {
		address := d.Address(&n.cfg.Listeners)
		l, err := n.cfg.Listen(address)
		if err != nil {
			return cannotListen(d.For, "listeners."+d.Name, address, err)
		}
		limits := doorstep.Config{Bench: bench}
		switch d.Name {
		case DoorAPI:
			limits.Most = n.cfg.Ceilings.Connections
		case DoorLinks:
			// Package pki says at the end of its own time why, which is the same: so it is to come first.
			limits.Within = pki.HandshakeTimeout + pki.HandshakeTimeout/20
		}
		n.doors[d.Name] = doorstep.New(l, limits)
	}
	return nil
}

// close closes all of them.
func (d doors) close() error {
	var problems []error
	for _, l := range d {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// address is where a door is, HOST:PORT.
func (d doors) address(name string) string { return d[name].Addr().String() }
