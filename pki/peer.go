package pki

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"banyan/model"
)

// The ALPN protocols. They name the role of who dialled, so that a listener knows who is to speak gRPC as the client.
const (
	ProtocolConsumer = "banyan-link-consumer/1" // the dialler consumes: it is the gRPC client
	ProtocolProvider = "banyan-link-provider/1" // the dialler provides: it serves gRPC on the connection that it dialled
	ProtocolJoin     = "banyan-join/1"          // the dialler enrols: its root is not pinned yet
	ProtocolMember   = "banyan-member/1"        // between the members of one cluster
)

func classOf(protocol string) Class {
	switch protocol {
	case ProtocolConsumer, ProtocolProvider, ProtocolJoin:
		return ClassLink
	case ProtocolMember:
		return ClassMember
	}
	return ClassNone
}

// Role is a node's part in a link.
type Role uint8

// The roles.
const (
	RoleNone     Role = 0
	RoleConsumer Role = 1 // sees what the other exports
	RoleProvider Role = 2 // exports
)

// String is the role's name.
func (r Role) String() string {
	switch r {
	case RoleConsumer:
		return "consumer"
	case RoleProvider:
		return "provider"
	}
	return "none"
}

// Other is the role at the other end.
func (r Role) Other() Role {
	switch r {
	case RoleConsumer:
		return RoleProvider
	case RoleProvider:
		return RoleConsumer
	}
	return RoleNone
}

// Pins is who knows which roots are pinned.
type Pins interface {
	// Roots are the roots pinned for a node: none where it is not known. It is asked during each handshake.
	Roots(node model.NodeID) ([]*x509.Certificate, error)
}

// Peer is who is at the other end of a connection, as far as its certificate proves it. With Pinned it is the node that it says it is. Without, it is
// a candidate that joins: it holds the key of the root whose fingerprint is Node, and nothing else is known of it.
type Peer struct {
	Node     model.NodeID
	Class    Class
	Member   int               // the number of a cluster member, else 0
	Pinned   bool              // Root was pinned for Node before, or succeeds one that was
	Dialler  bool              // the peer dialled
	Protocol string            // ALPN
	Root     *x509.Certificate // the root that vouches for it
	Succeeds *x509.Certificate // the pinned root that Root is to be pinned in place of, before anything else; nil where Root itself was pinned
	Serial   string            // of its certificate, hexadecimal
	NotAfter time.Time         // of its certificate
	Address  string            // of the other end of the connection; proves nothing
}

// Role is the peer's role in the link, by who dialled and with which protocol.
func (p Peer) Role() Role {
	var diallers Role
	switch p.Protocol {
	case ProtocolConsumer:
		diallers = RoleConsumer
	case ProtocolProvider:
		diallers = RoleProvider
	}
	if p.Dialler {
		return diallers
	}
	return diallers.Other()
}

// String shows the peer in messages and logs.
func (p Peer) String() string {
	return fmt.Sprintf("node %s (%s, %s)", p.Node.Short(), p.Class, p.Protocol)
}

// identify verifies the other end's certificate and fills in the peer. known says whether a root pinned for the claimed ID, or named by a
// token, signed the certificate: such a peer is told why it is refused, a stranger is not.
func (c *Config) identify(state tls.ConnectionState) (peer Peer, known bool, err error) {
	peer.Protocol = state.NegotiatedProtocol
	if !slices.Contains(c.Protocols, peer.Protocol) {
		return peer, false, Refuse(WrongProtocol, fmt.Sprintf("the other end speaks the protocol %s, and this one %q", quoted(peer.Protocol), c.Protocols))
	}
	if len(state.PeerCertificates) == 0 {
		return peer, false, Refuse(NoCertificate, "the other end showed no certificate")
	}
	leaf := state.PeerCertificates[0]
	claimed := identityOf(leaf)
	peer.Node, peer.Class, peer.Member = claimed.Node, claimed.Class, claimed.Member
	peer.Serial, peer.NotAfter = leaf.SerialNumber.Text(16), leaf.NotAfter
	wanted := classOf(peer.Protocol)
	if claimed.Node.IsZero() { // the class api, or nothing of ours: there is no ID whose roots could vouch for it
		return peer, false, Refuse(WrongClass, fmt.Sprintf("the other end showed a certificate of the class %s (%s), and %s needs %s",
			claimed.Class, quoted(leaf.Subject.CommonName), peer.Protocol, wanted))
	}
	if !c.Node.IsZero() && claimed.Node != c.Node {
		return peer, false, Refuse(WrongFingerprint, fmt.Sprintf("the node that answers is %s, expected was %s", claimed.Node, c.Node))
	}
	if peer.Protocol == ProtocolJoin {
		peer.Root, err = candidateRoot(claimed.Node, state.PeerCertificates)
	} else {
		peer.Root, peer.Succeeds, err = c.vouching(claimed.Node, state.PeerCertificates)
		peer.Pinned = err == nil
	}
	if err != nil {
		return peer, false, err
	}
	known = peer.Pinned || !c.Node.IsZero() // the ID that was dialled came with a pin or with a token
	if claimed.Class != wanted {
		return peer, known, Refuse(WrongClass, fmt.Sprintf("node %s showed a certificate of the class %s, and %s needs %s",
			claimed.Node.Short(), claimed.Class, peer.Protocol, wanted))
	}
	return peer, known, checkTime(leaf, peer.Root, claimed.Node, c.Clock())
}

// vouching finds the root that signed the other end's leaf. A root vouches for its own ID only, so the pool is made of the roots of the one ID that
// is claimed: a root pinned for another node is not in it. A root that none of them is may succeed one of them, by documents in the leaf.
func (c *Config) vouching(node model.NodeID, chain []*x509.Certificate) (root, succeeds *x509.Certificate, err error) {
	pool, err := c.Pins.Roots(node)
	if err != nil {
		return nil, nil, model.Errorf(model.KindInternal, "cannot look up the roots of node %s: %w", node.Short(), err)
	}
	if len(pool) == 0 {
		return nil, nil, Refuse(UnknownNode, fmt.Sprintf("node %s is not known here", node))
	}
	for _, root := range pool {
		if checkRoot(root) == nil && chain[0].CheckSignatureFrom(root) == nil {
			return root, nil, nil
		}
	}
	if root, succeeds := successor(chain[0], node, pool, c.Clock()); root != nil {
		return root, succeeds, nil
	}
	return nil, nil, refuseRoot(node, chain)
}

// candidateRoot finds the root of a node of which nothing is pinned yet. What is shown behind the leaf counts where its fingerprint is the ID itself,
// or where documents in the leaf lead from such a root to it: at the joining end that ID came with the token (Config.Node), at the inviting end it is
// all that is known of the candidate.
func candidateRoot(node model.NodeID, chain []*x509.Certificate) (*x509.Certificate, error) {
	for _, shown := range chain[1:min(len(chain), 4)] {
		if Fingerprint(shown) != node || checkRoot(shown) != nil {
			continue
		}
		if chain[0].CheckSignatureFrom(shown) == nil {
			return shown, nil
		}
		if root := descendant(chain[0], node, shown); root != nil {
			return root, nil
		}
	}
	return nil, refuseRoot(node, chain)
}

func refuseRoot(node model.NodeID, chain []*x509.Certificate) error {
	shown := "no root"
	if len(chain) > 1 {
		shown = "the root " + Fingerprint(chain[1]).String()
	}
	return Refuse(WrongFingerprint, fmt.Sprintf("the other end says that it is node %s, and shows %s, which may not vouch for it", node, shown))
}

// checkTime refuses what has expired or is not yet valid, naming the dates and what the clock says, and verifies the chain as a
// whole once more by the standard library.
func checkTime(leaf, root *x509.Certificate, node model.NodeID, now time.Time) error {
	for _, c := range []*x509.Certificate{leaf, root} {
		what := "certificate"
		if c == root {
			what = "root"
		}
		detail := fmt.Sprintf("the %s of node %s is %s", what, node.Short(), validity(c, now))
		if now.After(c.NotAfter) {
			return Refuse(ExpiredLeaf, detail)
		}
		if now.Before(c.NotBefore) {
			return Refuse(NotYetValid, detail)
		}
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	options := x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := leaf.Verify(options); err != nil {
		return Refuse(WrongFingerprint, fmt.Sprintf("the certificate of node %s cannot be verified: %s", node.Short(), quoted(err.Error())))
	}
	return nil
}
