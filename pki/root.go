package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"banyan/model"
)

// How long certificates live, and how far they reach back so that a clock that is a little behind does not matter.
const (
	RootLifetime = 10 * 365 * 24 * time.Hour
	backdate     = 5 * time.Minute
)

// Authority is a node's own certificate authority: its root and what it signs. It is immutable and safe for concurrent use.
type Authority struct {
	dir  string
	id   model.NodeID
	key  *ecdsa.PrivateKey
	root *x509.Certificate
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
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, model.Errorf(model.KindInternal, "cannot make the directory: %w", err)
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	root, err := selfSigned(key, "Banyan root of "+name, now)
	if err != nil {
		return nil, err
	}
	data, err := encodePEM(key, root)
	if err != nil {
		return nil, err
	}
	if err := createFile(filepath.Join(dir, RootFile), data, 0o600); err != nil {
		return nil, err
	}
	return Load(dir)
}

func selfSigned(key *ecdsa.PrivateKey, name string, now time.Time) (*x509.Certificate, error) {
	return sign(&x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(RootLifetime),
		IsCA: true, MaxPathLenZero: true, // it signs leaves and no further authorities
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}, nil, &key.PublicKey, key)
}

// Look reads the root's certificate and changes nothing.
func Look(dir string) (*x509.Certificate, error) {
	path := filepath.Join(dir, RootFile)
	data, err := readFile(path, othersMay)
	if err != nil {
		return nil, err
	}
	_, certificates, err := decodePEM(path, data)
	if err != nil {
		return nil, err
	}
	return certificates[0], nil
}

// Load reads the root that Create made. CAFile is made anew where it is lost or differs.
func Load(dir string) (*Authority, error) {
	path := filepath.Join(dir, RootFile)
	data, err := readFile(path, othersMay)
	if err != nil {
		return nil, err
	}
	key, certificates, err := decodePEM(path, data)
	if err != nil {
		return nil, err
	}
	if len(certificates) != 1 {
		return nil, damaged(path, "it holds more than one certificate")
	}
	root := certificates[0]
	if err := checkRoot(root); err != nil {
		return nil, damaged(path, err.Error())
	}
	ca := filepath.Join(dir, CAFile)
	if have, err := os.ReadFile(ca); err != nil || !bytes.Equal(have, encodeCertificates(root)) {
		if err := replaceFile(ca, encodeCertificates(root), 0o644); err != nil {
			return nil, err
		}
	}
	return &Authority{dir: dir, id: Fingerprint(root), key: key, root: root}, nil
}

// ID is the node's ID.
func (a *Authority) ID() model.NodeID { return a.id }

// Root is the node's root certificate.
func (a *Authority) Root() *x509.Certificate { return a.root }

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
