package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"slices"
	"time"

	"banyan/model"
)

// mostSuccessions is how many of its newest successions a node keeps and shows. A peer that was away longer, and a node that does not know it yet, cannot
// follow; at two thirds of ten years each they last for a century. Each has some 650 bytes, and all of them cross in each handshake.
const mostSuccessions = 16

// successionsID marks the extension of link certificates that holds successions: for each its length (2 bytes) and itself, the newest last. It is not
// critical, so that a version that does not know it takes a certificate with it.
var successionsID = asn1.ObjectIdentifier{2, 25, 1398361922}

func successionsExtension(documents [][]byte) pkix.Extension {
	var value []byte
	for _, d := range documents {
		value = append(binary.BigEndian.AppendUint16(value, uint16(len(d))), d...)
	}
	return pkix.Extension{Id: successionsID, Value: value}
}

// successionsOf are the documents in a leaf; of an extension that is malformed as many as can be read.
func successionsOf(leaf *x509.Certificate) [][]byte {
	i := slices.IndexFunc(leaf.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(successionsID) })
	if i < 0 {
		return nil
	}
	var documents [][]byte
	for rest := leaf.Extensions[i].Value; len(rest) > 2 && len(documents) < mostSuccessions; {
		size := int(binary.BigEndian.Uint16(rest))
		if size > len(rest)-2 {
			break
		}
		documents = append(documents, rest[2:2+size])
		rest = rest[2+size:]
	}
	return documents
}

// successor is the root that signed a leaf, where the documents in it lead there from a root that is pinned and valid, and that pinned root. Each root
// on the way must be valid now, too: an old key that was found is good for nothing.
func successor(leaf *x509.Certificate, node model.NodeID, pinned []*x509.Certificate, now time.Time) (root, from *x509.Certificate) {
	trusted := slices.Clone(pinned)
	origin := slices.Clone(pinned) // of each of them
	for _, document := range successionsOf(leaf) {
		for i, by := range trusted {
			s, err := VerifySuccession(document, node, []*x509.Certificate{by}, now)
			if err != nil {
				continue
			}
			if leaf.CheckSignatureFrom(s.Root) == nil {
				return s.Root, origin[i]
			}
			trusted, origin = append(trusted, s.Root), append(origin, origin[i])
			break
		}
	}
	return nil, nil
}

// descendant is the root that signed a leaf, where the documents in it lead there from a node's first root without a gap. It says whose the root is, and
// not that nobody else has a key of before: dates on the way are not looked at, since a first root has mostly expired.
func descendant(leaf *x509.Certificate, node model.NodeID, first *x509.Certificate) *x509.Certificate {
	by := first
	for _, document := range successionsOf(leaf) {
		s, signed, err := parseSuccession(document)
		if err != nil || s.Node != node || !signedBy(by, document[:signed], document[signed:]) {
			return nil
		}
		if leaf.CheckSignatureFrom(s.Root) == nil {
			return s.Root
		}
		by = s.Root
	}
	return nil
}
