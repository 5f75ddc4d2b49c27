package pki

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"path/filepath"
	"sync"
	"time"

	"banyan/durable"
	"banyan/model"
)

// How long certificates live, and how far they reach back so that a clock that is a little behind does not matter.
const (
	RootLifetime = 10 * 365 * 24 * time.Hour
	backdate     = 5 * time.Minute
	rootBackdate = 24 * time.Hour // also of a node that is made while its clock is ahead
)

// Authority is a node's own certificate authority: its root and what it signs. The ID is for life, the root may be succeeded by another. Safe for
// concurrent use.
type Authority struct {
	dir string
	id  model.NodeID

	mu   sync.RWMutex // guards held
	held ring
}

// ring is the root in use with its key, and how it came to be the root of this node.
type ring struct {
	key         *ecdsa.PrivateKey
	root        *x509.Certificate
	first       *x509.Certificate // whose fingerprint is the ID, nil where the root is the first one, or so many followed that it was let go
	successions [][]byte          // documents that lead to the root, the newest last
	provisional bool              // it is in memory only
}

func (a *Authority) ring() ring {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.held
}

// Create makes a node's root in dir, which is made if need be. It fails with model.KindExists where there is a root already, and
// refuses to work by a clock that was never set: the root would have expired before the first link. The name is for people who
// look at the certificate; the node's ID is the fingerprint.
func Create(dir, name string, now time.Time) (*Authority, error) {
	if now.Year() < 2026 {
		return nil, &model.Error{Kind: model.KindInvalid, Op: "create root", Detail: "this machine's clock says " + date(now),
			Remedy: "set the clock first: certificates made now would already have expired"}
	}
	if err := model.CheckName(name); err != nil {
		return nil, err
	}
	if len(name) > 48 { // a common name has 64 characters at most
		name = name[:48]
	}
	if err := durable.MakeDirs(dir, 0o700); err != nil {
		return nil, model.Errorf(model.KindInternal, "cannot make the directory: %w", err)
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	root, err := selfSigned(key, "Banyan root of "+name, now, RootLifetime)
	if err != nil {
		return nil, err
	}
	data, err := ring{key: key, root: root}.encode()
	if err != nil {
		return nil, err
	}
	if err := createFile(filepath.Join(dir, RootFile), data, 0o600); err != nil {
		return nil, err
	}
	return Load(dir)
}

func selfSigned(key *ecdsa.PrivateKey, name string, now time.Time, lifetime time.Duration) (*x509.Certificate, error) {
	return sign(&x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: now.Add(-rootBackdate), NotAfter: now.Add(lifetime),
		IsCA: true, MaxPathLenZero: true, // it signs leaves and no further authorities
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}, nil, &key.PublicKey, key)
}

// Look reads the root's certificate and changes nothing.
func Look(dir string) (*x509.Certificate, error) {
	held, _, err := readRing(filepath.Join(dir, RootFile))
	return held.root, err
}

// Load reads the root that Create made, or that succeeded it. CAFile is made anew where it is lost or differs.
func Load(dir string) (*Authority, error) {
	held, id, err := readRing(filepath.Join(dir, RootFile))
	if err != nil {
		return nil, err
	}
	a := &Authority{dir: dir, id: id, held: held}
	return a, a.writeCA()
}

// ID is the node's ID.
func (a *Authority) ID() model.NodeID { return a.id }

// Root is the root certificate in use.
func (a *Authority) Root() *x509.Certificate { return a.ring().root }

// Fingerprint is the SHA-256 of a certificate. That of a node's first root is the node's ID.
func Fingerprint(c *x509.Certificate) model.NodeID { return sha256.Sum256(c.Raw) }

// checkRoot says whether a certificate has the form of a root: self-signed, an authority, for leaves only.
func checkRoot(c *x509.Certificate) error {
	switch {
	case c.PublicKeyAlgorithm != x509.ECDSA && c.PublicKeyAlgorithm != x509.Ed25519:
		return errors.New("the root's key is neither ECDSA nor Ed25519")
	case !c.IsCA || !c.BasicConstraintsValid || !c.MaxPathLenZero || c.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("the root is not a certificate authority with a path length of 0")
	case c.CheckSignatureFrom(c) != nil:
		return errors.New("the root is not signed by itself")
	}
	return nil
}

// sign makes a certificate with a random serial number; a nil parent means self-signed.
func sign(template, parent *x509.Certificate, public *ecdsa.PublicKey, by *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial := make([]byte, 16)
	_, _ = rand.Read(serial) // it never fails
	serial[0] = serial[0]&0x7f | 0x40
	template.SerialNumber = new(big.Int).SetBytes(serial)
	template.BasicConstraintsValid = true
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
	if err != nil {
		return nil, model.Errorf(model.KindInternal, "cannot sign a certificate: %w", err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, model.Errorf(model.KindInternal, "cannot read back a certificate: %w", err)
	}
	return c, nil
}

// date shows an instant in messages.
func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }
