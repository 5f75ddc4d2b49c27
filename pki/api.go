package pki

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync"
	"time"

	"banyan/model"

	"github.com/hashicorp/go-hclog"
)

// Certifier is where the API's certificate comes from: a Leaf of the class api, or Files of the administrator's own. Run keeps it current
// until ctx ends.
type Certifier interface {
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	Run(ctx context.Context) error
}

var (
	_ Certifier = (*Leaf)(nil)
	_ Certifier = (*Files)(nil)
)

// APIProtocols are those of the listener for people.
var APIProtocols = []string{"h2", "http/1.1"}

// APIConfig is the TLS of the listener for people: HTTP/2 and HTTP/1.1, TLS 1.2 at least since browsers behind old middleboxes have
// no more, no session tickets, no client certificates. No link or member certificate means anything there.
func APIConfig(from Certifier) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true, ClientAuth: tls.NoClientCert,
		NextProtos: APIProtocols, GetCertificate: from.GetCertificate,
	}
}

// Files is a certificate that the administrator keeps in two PEM files and renews there, as certbot does: Run notices.
type Files struct {
	certificate, key string
	clock            func() time.Time
	logger           hclog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	raw     []byte // what was read last: key and certificate
}

// LoadFiles reads the administrator's certificate and key. A key that everybody can read, or a certificate that has expired, is refused.
// A group may read the key, since Debian keeps such keys for a group. Clock and logger have the defaults of LeafConfig.
func LoadFiles(certificate, key string, clock func() time.Time, logger hclog.Logger) (*Files, error) {
	if clock == nil {
		clock = time.Now
	}
	if logger == nil {
		logger = hclog.NewNullLogger()
	}
	f := &Files{certificate: certificate, key: key, clock: clock, logger: logger}
	if _, err := f.load(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *Files) load() (changed bool, err error) {
	certificate, errCertificate := readFile(f.certificate, 0)
	key, errKey := readFile(f.key, 0o027)
	if err := errors.Join(errCertificate, errKey); err != nil {
		return false, err
	}
	raw := bytes.Join([][]byte{key, certificate}, []byte("\n"))
	f.mu.Lock()
	defer f.mu.Unlock()
	if bytes.Equal(raw, f.raw) {
		return false, nil
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return false, &model.Error{Kind: model.KindInvalid, Op: "read",
			Detail: f.certificate + " and " + f.key + " cannot be used", Err: err, Remedy: "give a PEM certificate, its chain behind it, and its own key"}
	}
	if now := f.clock(); now.After(pair.Leaf.NotAfter) || now.Before(pair.Leaf.NotBefore) {
		return false, &model.Error{Kind: model.KindInvalid, Op: "read", Detail: f.certificate + " is " + validity(pair.Leaf, now),
			Remedy: "renew the certificate, or set the clock"}
	}
	f.current, f.raw = &pair, raw
	return true, nil
}

// Leaf is the certificate in use.
func (f *Files) Leaf() *x509.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current.Leaf
}

// GetCertificate is the certificate in use, for a tls.Config.
func (f *Files) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current, nil
}

// Run reads the files again each minute until ctx ends, and returns nil then. While they cannot be used the old certificate stays, and the log
// says why. Reading between the writing of the two is such a case: it passes by itself.
func (f *Files) Run(ctx context.Context) error {
	ticker := time.NewTicker(renewalCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		switch changed, err := f.load(); {
		case err != nil:
			f.logger.Error("the API's certificate could not be read again", "valid_until", f.Leaf().NotAfter, "error", err)
		case changed:
			f.logger.Info("the API's certificate was read again", "valid_until", f.Leaf().NotAfter)
		}
	}
}
