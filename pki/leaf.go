package pki

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"banyan/fault"
	"banyan/model"

	"github.com/hashicorp/go-hclog"
)

// Default lifetimes of leaf certificates.
const (
	LinkLifetime = 24 * time.Hour
	APILifetime  = 90 * 24 * time.Hour
)

const (
	minLifetime  = 2 * time.Second
	shortestWait = 100 * time.Millisecond
	renewalCheck = time.Minute // at least this often the clock is looked at, since it can be set and a machine can sleep
)

// LeafConfig says how a leaf certificate is made and renewed. The zero value is good.
type LeafConfig struct {
	// Lifetime is how long a certificate is valid. Default LinkLifetime or APILifetime, at least 2 s. A short one limits what a stolen
	// key is good for; one shorter than the clocks differ makes peers refuse it.
	Lifetime time.Duration
	// Clock is the present. Default time.Now.
	Clock func() time.Time
	// Logger gets renewals and their failures. Default none.
	Logger hclog.Logger
}

func (c *LeafConfig) validate(lifetime time.Duration) error {
	if c.Lifetime == 0 {
		c.Lifetime = lifetime
	}
	if c.Lifetime < minLifetime {
		return model.Errorf(model.KindInvalid, "a certificate cannot live %s: use %s at least", c.Lifetime, minLifetime)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return nil
}

// Leaf is a leaf certificate with its key that renews itself at two thirds of its life, with a fresh key each time. Connections that
// stand keep the certificate that they began with; each new one takes the current one. Safe for concurrent use.
type Leaf struct {
	config    LeafConfig
	authority *Authority
	class     Class
	issue     func(now time.Time) (*tls.Certificate, error)

	mu      sync.Mutex
	current *tls.Certificate
}

// LinkLeaf makes a certificate of the class link. Its key lives in memory only.
func (a *Authority) LinkLeaf(config LeafConfig) (*Leaf, error) {
	if err := config.validate(LinkLifetime); err != nil {
		return nil, err
	}
	l := &Leaf{config: config, authority: a, class: ClassLink}
	l.issue = func(now time.Time) (*tls.Certificate, error) {
		_, made, err := a.freshLeaf(Identity{Class: ClassLink}, nil, now, config.Lifetime)
		return made, err
	}
	return l, l.Renew()
}

// APILeaf makes a certificate of the class api for hosts, which are DNS names and IP addresses, 1 to 64 of them. It is kept in
// APIFile, so that a restart shows browsers the certificate that they know; the file is used again while it is of this root, names
// the same hosts and is not due.
func (a *Authority) APILeaf(hosts []string, config LeafConfig) (*Leaf, error) {
	if err := config.validate(APILifetime); err != nil {
		return nil, err
	}
	if len(hosts) == 0 || len(hosts) > 64 {
		return nil, model.Errorf(model.KindInvalid, "the API's certificate needs 1 to 64 names, there are %d", len(hosts))
	}
	for _, host := range hosts {
		if err := CheckHost(host); err != nil {
			return nil, err
		}
	}
	path := filepath.Join(a.dir, APIFile)
	l := &Leaf{config: config, authority: a, class: ClassAPI}
	l.issue = func(now time.Time) (*tls.Certificate, error) {
		key, made, err := a.freshLeaf(Identity{Class: ClassAPI}, hosts, now, config.Lifetime)
		if err != nil {
			return nil, err
		}
		data, err := encodePEM(key, made.Leaf)
		if err != nil {
			return nil, err
		}
		if err := replaceFile(path, data, 0o600); err != nil {
			return nil, err
		}
		return made, a.writeCA() // the root before this one may be needed no more
	}
	kept, err := a.keptLeaf(path, hosts)
	switch {
	case err != nil && model.KindOf(err) != model.KindNotFound && model.KindOf(err) != model.KindCorrupt:
		return nil, err
	case model.KindOf(err) == model.KindCorrupt:
		config.Logger.Warn("the API's certificate is made anew", "reason", err)
	case kept != nil && config.Clock().Before(renewAt(kept.Leaf)) && !config.Clock().Before(kept.Leaf.NotBefore):
		l.current = kept
		return l, nil
	}
	return l, l.Renew()
}

func (a *Authority) freshLeaf(names Identity, hosts []string, now time.Time, lifetime time.Duration) (*ecdsa.PrivateKey, *tls.Certificate, error) {
	key, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	by := a.ring()
	made, err := a.issue(by, &key.PublicKey, names, hosts, now, lifetime)
	if err != nil {
		return nil, nil, err
	}
	whole := chain(key, made, by.root)
	if by.first != nil && names.Class == ClassLink {
		whole.Certificate = append(whole.Certificate, by.first.Raw)
	}
	return key, whole, nil
}

// chain is a leaf with the root behind it: at enrolment the other end compares the root, or the first one from which successions lead to it, with the
// fingerprint in its token.
func chain(key *ecdsa.PrivateKey, leaf, root *x509.Certificate) *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw, root.Raw}, PrivateKey: key, Leaf: leaf}
}

// keptLeaf reads the API's certificate; nil where it is not for these hosts or not of this root. One of the root before stays until it is due, so that
// people have some weeks for the new CAFile.
func (a *Authority) keptLeaf(path string, hosts []string) (*tls.Certificate, error) {
	data, err := readFile(path, othersMay)
	if err != nil {
		return nil, err
	}
	key, certificates, err := decodePEM(path, data)
	if err != nil {
		return nil, err
	}
	leaf := certificates[0]
	named := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		named = append(named, ip.String())
	}
	var wanted []string
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			host = ip.String()
		}
		wanted = append(wanted, host)
	}
	slices.Sort(named)
	slices.Sort(wanted)
	if identityOf(leaf).Class != ClassAPI || !slices.Equal(named, wanted) {
		return nil, nil
	}
	for _, root := range a.ring().newest() {
		if leaf.CheckSignatureFrom(root) == nil {
			return chain(key, leaf, root), nil
		}
	}
	return nil, nil
}

// reachBack is how far before its making a certificate is valid. One for links reaches back by half of its life: a clock that is that far ahead of its
// peers' is named and breaks no link, and who steals the key gains nothing by times that are over.
func reachBack(class Class, lifetime time.Duration) time.Duration {
	if class == ClassLink {
		return max(backdate, lifetime/2)
	}
	return backdate
}

// renewAt is when two thirds of a certificate's life are over; the time that it reaches back does not count.
func renewAt(leaf *x509.Certificate) time.Time {
	born := leaf.NotBefore.Add(backdate)
	if identityOf(leaf).Class == ClassLink {
		born = leaf.NotBefore.Add(max(backdate, leaf.NotAfter.Sub(leaf.NotBefore)/3))
	}
	return born.Add(leaf.NotAfter.Sub(born) * 2 / 3)
}

// Node is whose certificate it is.
func (l *Leaf) Node() model.NodeID { return l.authority.id }

// Current is the certificate in use, with the root behind it; it must not be changed.
func (l *Leaf) Current() *tls.Certificate {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}

// GetCertificate is Current for a tls.Config.
func (l *Leaf) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return l.Current(), nil
}

// Renew makes a new certificate now. When it fails, the old one stays.
func (l *Leaf) Renew() error {
	made, err := l.issue(l.config.Clock())
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = made
	return nil
}

// Run renews the certificate when it is due until ctx ends, and returns nil then. A renewal that fails is logged and tried again after
// a twentieth of the lifetime, a minute at most. A clock that was set back behind the certificate's beginning makes a new one too.
func (l *Leaf) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		wait := renewalCheck
		if err := l.renewIfDue(); err != nil {
			wait = min(wait, l.config.Lifetime/20)
			l.config.Logger.Error("a certificate could not be renewed", "class", l.class, "valid_until", l.Current().Leaf.NotAfter, "error", err)
		} else {
			wait = min(wait, renewAt(l.Current().Leaf).Sub(l.config.Clock()))
		}
		timer.Reset(max(wait, shortestWait))
	}
}

func (l *Leaf) renewIfDue() error {
	leaf, now := l.Current().Leaf, l.config.Clock()
	if now.Before(renewAt(leaf)) && !now.Before(leaf.NotBefore) || fault.Planted(fault.LeafNotRenewed) {
		return nil
	}
	if err := l.Renew(); err != nil {
		return err
	}
	l.config.Logger.Info("a certificate was renewed", "class", l.class, "valid_until", l.Current().Leaf.NotAfter)
	return nil
}
