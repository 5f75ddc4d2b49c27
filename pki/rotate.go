package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"time"

	"banyan/model"
)

// successionBlock is the PEM type of succession documents in RootFile.
const successionBlock = "BANYAN SUCCESSION"

// Rotate makes a new root that lives for lifetime, with a succession that the old one signs. RootFile is replaced at once by one with the new key and
// without the old one, before anything is signed with it: a peer never pins a root that a crash has taken back, and who finds the file later cannot
// speak for the roots of before. Leaves are of the new root when they are renewed the next time.
func (a *Authority) Rotate(now time.Time, lifetime time.Duration) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	next, err := a.next(now, lifetime)
	if err != nil {
		return err
	}
	return a.keep(next)
}

// Provisional is Rotate in memory only, until Confirm: for a node whose root has expired by its clock. The clock may be what is wrong, and then the old root
// is the good one again after a restart. CAFile names the new one, so that people reach the node and can repair it.
func (a *Authority) Provisional(now time.Time, lifetime time.Duration) error {
	a.mu.Lock()
	next, err := a.next(now, lifetime)
	if err == nil {
		next.provisional = true
		a.held = next
	}
	a.mu.Unlock()
	if err != nil {
		return err
	}
	return a.writeCA()
}

// Confirm keeps a provisional root. Any other is kept already.
func (a *Authority) Confirm() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.held.provisional {
		return nil
	}
	next := a.held
	next.provisional = false
	return a.keep(next)
}

// IsProvisional reports whether the root is one of Provisional that was not confirmed.
func (a *Authority) IsProvisional() bool { return a.ring().provisional }

// Successions is how many successions led to the root, as far as they are kept.
func (a *Authority) Successions() int { return len(a.ring().successions) }

// Born is when the root was made.
func (a *Authority) Born() time.Time { return a.Root().NotBefore.Add(rootBackdate) }

// DueAt is when the root is to be succeeded: when two thirds of its life are over, or of lifetime where that is shorter.
func (a *Authority) DueAt(lifetime time.Duration) time.Time {
	root, born := a.Root(), a.Born()
	return born.Add(min(root.NotAfter.Sub(born), lifetime) * 2 / 3)
}

// next is the ring that follows; a.mu is held.
func (a *Authority) next(now time.Time, lifetime time.Duration) (ring, error) {
	old := a.held
	if now.Before(old.root.NotBefore) {
		return ring{}, &model.Error{Kind: model.KindInvalid, Op: "succeed the root", Detail: "this node's root is " + validity(old.root, now), Remedy: "set this machine's clock"}
	}
	key, err := newKey()
	if err != nil {
		return ring{}, err
	}
	root, err := selfSigned(key, old.root.Subject.CommonName, now, lifetime)
	if err != nil {
		return ring{}, err
	}
	document, err := succeed(old.key, a.id, root, now.Add(-rootBackdate))
	if err != nil {
		return ring{}, err
	}
	made := ring{key: key, root: root, first: old.first, successions: append(old.successions[:len(old.successions):len(old.successions)], document)}
	if len(old.successions) == 0 {
		made.first = old.root
	}
	if over := len(made.successions) - mostSuccessions; over > 0 {
		made.first, made.successions = nil, made.successions[over:]
	}
	return made, nil
}

// keep writes a ring and uses it from then on; a.mu is held.
func (a *Authority) keep(next ring) error {
	data, err := next.encode()
	if err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(a.dir, RootFile), data, 0o600); err != nil {
		return err
	}
	a.held = next
	return a.writeCAOf(next)
}

// newest are the root in use and the one before it, which may have signed what is still valid.
func (r ring) newest() []*x509.Certificate {
	roots := []*x509.Certificate{r.root}
	switch n := len(r.successions); {
	case n > 1:
		if s, _, err := parseSuccession(r.successions[n-2]); err == nil {
			roots = append(roots, s.Root)
		}
	case n == 1 && r.first != nil:
		roots = append(roots, r.first)
	}
	return roots
}

// writeCA writes CAFile where it is lost or differs.
func (a *Authority) writeCA() error { return a.writeCAOf(a.ring()) }

// writeCAOf names the root, and the one before it as long as the API's certificate is of that one.
func (a *Authority) writeCAOf(held ring) error {
	named := held.newest()
	if len(named) > 1 && !a.signedAPI(named[1]) {
		named = named[:1]
	}
	path, want := filepath.Join(a.dir, CAFile), encodeCertificates(named...)
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, want) {
		return nil
	}
	return replaceFile(path, want, 0o644)
}

func (a *Authority) signedAPI(root *x509.Certificate) bool {
	path := filepath.Join(a.dir, APIFile)
	data, err := readFile(path, othersMay)
	if err != nil {
		return false
	}
	_, certificates, err := decodePEM(path, data)
	return err == nil && certificates[0].CheckSignatureFrom(root) == nil
}

// encode is the content of RootFile: the key, the root, the first root where that is another one, and the successions.
func (r ring) encode() ([]byte, error) {
	certificates := []*x509.Certificate{r.root}
	if r.first != nil {
		certificates = append(certificates, r.first)
	}
	data, err := encodePEM(r.key, certificates...)
	for _, s := range r.successions {
		data = append(data, pem.EncodeToMemory(&pem.Block{Type: successionBlock, Bytes: s})...)
	}
	return data, err
}

// readRing reads RootFile. Whatever does not lead to the root without a gap is refused: a node that shows other successions than its own is not taken.
func readRing(path string) (ring, model.NodeID, error) {
	data, err := readFile(path, othersMay)
	if err != nil {
		return ring{}, model.NodeID{}, err
	}
	key, certificates, successions, err := decodeBlocks(path, data)
	if err != nil {
		return ring{}, model.NodeID{}, err
	}
	held := ring{key: key, root: certificates[0], successions: successions}
	if err := checkRoot(held.root); err != nil {
		return ring{}, model.NodeID{}, damaged(path, err.Error())
	}
	switch {
	case len(certificates) > 2, len(certificates) > 1 && len(successions) == 0:
		return ring{}, model.NodeID{}, damaged(path, "it holds more than one certificate")
	case len(successions) == 0:
		return held, Fingerprint(held.root), nil
	case len(certificates) == 2:
		held.first = certificates[1]
	}
	id, err := held.follow()
	if err != nil {
		return ring{}, model.NodeID{}, damaged(path, err.Error())
	}
	return held, id, nil
}

// follow checks that the successions lead to the root, and says of which node.
func (r ring) follow() (model.NodeID, error) {
	var id model.NodeID
	by := r.first
	for i, document := range r.successions {
		s, signed, err := parseSuccession(document)
		if err != nil {
			return id, err
		}
		if i == 0 {
			id = s.Node
		}
		if s.Node != id || by != nil && !signedBy(by, document[:signed], document[signed:]) {
			return id, model.Errorf(model.KindCorrupt, "its successions do not follow each other")
		}
		by = s.Root
	}
	if r.first != nil && Fingerprint(r.first) != id || !by.Equal(r.root) || len(r.successions) > mostSuccessions {
		return id, model.Errorf(model.KindCorrupt, "its successions do not lead to its root")
	}
	return id, nil
}
