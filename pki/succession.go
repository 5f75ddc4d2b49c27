package pki

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"time"

	"banyan/model"
)

// Succession is a node's word that it has a new root: the node, the root, and from when on it may be pinned. It counts when a root
// that is pinned for this node has signed it.
type Succession struct {
	Node      model.NodeID
	Root      *x509.Certificate
	NotBefore time.Time // whole seconds
}

// A document is: magic, node ID, seconds, length and DER of the root, signature over all before it (ASN.1 for ECDSA). The magic keeps
// a signature made for this from meaning anything elsewhere, and the other way round.
const (
	successionMagic = "banyan succession 1\n"
	maxSuccession   = 8 << 10
)

// Succeed signs a succession from the node's root to the next one.
func (a *Authority) Succeed(next *x509.Certificate, notBefore time.Time) ([]byte, error) {
	return succeed(a.ring().key, a.id, next, notBefore)
}

func succeed(key *ecdsa.PrivateKey, id model.NodeID, next *x509.Certificate, notBefore time.Time) ([]byte, error) {
	if err := checkRoot(next); err != nil {
		return nil, model.Errorf(model.KindInvalid, "this cannot be a root: %w", err)
	}
	document := append([]byte(successionMagic), id[:]...)
	document = binary.BigEndian.AppendUint64(document, uint64(notBefore.Unix()))
	document = binary.BigEndian.AppendUint16(document, uint16(len(next.Raw)))
	document = append(document, next.Raw...)
	digest := sha256.Sum256(document)
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		return nil, model.Errorf(model.KindInternal, "cannot sign a succession: %w", err)
	}
	document = append(document, signature...)
	if len(document) > maxSuccession {
		return nil, model.Errorf(model.KindInvalid, "the next root is too large")
	}
	return document, nil
}

// VerifySuccession reads a document and checks it for node, against the roots that are pinned for it: one of them signed it, is itself
// valid now, and the document's time has come.
func VerifySuccession(document []byte, node model.NodeID, pinned []*x509.Certificate, now time.Time) (Succession, error) {
	s, signed, err := parseSuccession(document)
	if err != nil {
		return Succession{}, err
	}
	if s.Node != node {
		return Succession{}, Refuse(WrongFingerprint, fmt.Sprintf("the succession is for node %s, not %s", s.Node, node))
	}
	for _, root := range pinned {
		if now.Before(root.NotBefore) || now.After(root.NotAfter) || !signedBy(root, document[:signed], document[signed:]) {
			continue
		}
		if now.Before(s.NotBefore) {
			return Succession{}, Refuse(NotYetValid, fmt.Sprintf("the succession of node %s counts from %s on, and the clock of this node says %s",
				node.Short(), date(s.NotBefore), date(now)))
		}
		return s, nil
	}
	return Succession{}, Refuse(WrongFingerprint, fmt.Sprintf("the succession of node %s is not signed by a root that is pinned for it and valid now", node.Short()))
}

// parseSuccession returns what a document says, and how many of its bytes are signed.
func parseSuccession(document []byte) (Succession, int, error) {
	const fixed = len(successionMagic) + 32 + 8 + 2
	malformed := model.Errorf(model.KindInvalid, "this is not a succession document, or a part of it is missing")
	if len(document) < fixed || len(document) > maxSuccession || string(document[:len(successionMagic)]) != successionMagic {
		return Succession{}, 0, malformed
	}
	rest := document[len(successionMagic):]
	var s Succession
	copy(s.Node[:], rest)
	seconds := int64(binary.BigEndian.Uint64(rest[32:]))
	size := int(binary.BigEndian.Uint16(rest[40:]))
	if len(rest[42:]) <= size || seconds < 0 || seconds > maxSeconds {
		return Succession{}, 0, malformed
	}
	s.NotBefore = time.Unix(seconds, 0).UTC()
	root, err := x509.ParseCertificate(rest[42 : 42+size])
	if err != nil {
		return Succession{}, 0, malformed
	}
	if err := checkRoot(root); err != nil {
		return Succession{}, 0, model.Errorf(model.KindInvalid, "the succession names what cannot be a root: %w", err)
	}
	s.Root = root
	return s, fixed + size, nil
}

func signedBy(root *x509.Certificate, message, signature []byte) bool {
	switch key := root.PublicKey.(type) {
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(message)
		return ecdsa.VerifyASN1(key, digest[:], signature)
	case ed25519.PublicKey:
		return ed25519.Verify(key, message, signature)
	}
	return false
}
