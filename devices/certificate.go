package devices

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"banyan/model"
)

// Names of the settings by which the certificate of a device's server is judged.
const (
	SettingCA                 = "ca"
	SettingServerName         = "server_name"
	SettingInsecureSkipVerify = "insecure_skip_verify"
)

// CertificateSettings are those settings, for the schema of a driver that speaks TLS.
func CertificateSettings() []model.Setting {
	return []model.Setting{
		{Name: SettingCA, Type: model.TypeString, Default: model.String(""), Right: model.RightConfigure,
			Description: "PEM text of the authorities that may have signed the server's certificate; empty for those of the system."},
		{Name: SettingServerName, Type: model.TypeString, Default: model.String(""), Right: model.RightConfigure,
			Description: "Name that is sent as SNI and that the certificate has to bear; empty for the host that is connected to."},
		{Name: SettingInsecureSkipVerify, Type: model.TypeBool, Default: model.Bool(false), Right: model.RightConfigure,
			Description: "True takes any certificate, so that anybody on the way can pretend to be the server; certificate_check shows it."},
	}
}

// CertificateVariables are what such a driver shows; CertificateUpdates makes their values.
func CertificateVariables() []model.Variable {
	return []model.Variable{
		{Name: "certificate_check", Type: model.TypeString,
			Description: "What the check of the server's certificate gave: verified, failed, skipped because of insecure_skip_verify, or none without TLS."},
		{Name: "certificate_days_left", Type: model.TypeFloat64, Unit: "d", Description: "Days until the server's certificate expires; negative once it has."},
		{Name: "certificate_not_after", Type: model.TypeTime, Description: "When the server's certificate expires."},
		{Name: "certificate_subject", Type: model.TypeString, Description: "Whom the server's certificate names."},
		{Name: "certificate_issuer", Type: model.TypeString, Description: "Who has signed the server's certificate."},
	}
}

// The values of certificate_check.
const (
	CertificateVerified = "verified"
	CertificateFailed   = "failed"
	CertificateSkipped  = "skipped"
	CertificateNone     = "none"
)

// Verification judges the certificates of one device's server. The zero Verification uses the authorities of the system.
type Verification struct {
	roots *x509.CertPool // nil for those of the system
	name  string
	skip  bool
}

// NewVerification reads the settings of CertificateSettings.
func NewVerification(s Settings) (Verification, error) {
	v := Verification{name: s[SettingServerName].Text(), skip: s[SettingInsecureSkipVerify].Bool()}
	if ca := strings.TrimSpace(s[SettingCA].Text()); ca != "" {
		v.roots = x509.NewCertPool()
		if !v.roots.AppendCertsFromPEM([]byte(ca)) {
			return v, BadSetting(SettingCA, "there is no certificate in it; PEM text beginning with -----BEGIN CERTIFICATE----- is expected, not the name of a file")
		}
	}
	return v, nil
}

// Certificate is what a server showed, and what was thought of it. The zero Certificate is none.
type Certificate struct {
	Leaf  *x509.Certificate
	Check string // of the constants above
}

// Config is for one handshake with host. What the server shows is passed to seen before it is judged, so that an expired certificate is
// seen as well as refused. Resumption is off, since a resumed handshake shows no certificate that is judged anew.
func (v Verification) Config(host string, seen func(Certificate)) *tls.Config {
	name := v.name
	if name == "" {
		name = host
	}
	return &tls.Config{
		ServerName:             name,
		SessionTicketsDisabled: true,
		InsecureSkipVerify:     true, // VerifyConnection does it, after it has told what there is
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return errors.New("the server shows no certificate")
			}
			leaf := state.PeerCertificates[0]
			if v.skip {
				seen(Certificate{Leaf: leaf, Check: CertificateSkipped})
				return nil
			}
			if err := v.judge(name, state.PeerCertificates); err != nil {
				seen(Certificate{Leaf: leaf, Check: CertificateFailed})
				return err
			}
			seen(Certificate{Leaf: leaf, Check: CertificateVerified})
			return nil
		},
	}
}

func (v Verification) judge(name string, chain []*x509.Certificate) error {
	options := x509.VerifyOptions{Roots: v.roots, DNSName: name, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	leaf := chain[0]
	_, err := leaf.Verify(options)
	var unknown x509.UnknownAuthorityError
	var other x509.HostnameError
	switch now := time.Now(); {
	case err == nil:
		return nil
	case now.After(leaf.NotAfter):
		return fmt.Errorf("the certificate expired on %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("the certificate is valid from %s on only: see the clocks", leaf.NotBefore.UTC().Format(time.RFC3339))
	case errors.As(err, &other):
		return fmt.Errorf("the certificate is not for %s but for %s", name, namesOf(leaf))
	case errors.As(err, &unknown):
		return fmt.Errorf("the certificate is signed by nobody who is trusted, but by %q (put that authority's certificate into the setting %s)",
			leaf.Issuer.String(), SettingCA)
	}
	return fmt.Errorf("the certificate is refused: %w", err)
}

// namesOf are the names that a certificate is for, the first few.
func namesOf(c *x509.Certificate) string {
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	const most = 5
	switch {
	case len(names) == 0:
		return "no name at all"
	case len(names) > most:
		names = append(names[:most], "others")
	}
	return strings.Join(names, ", ")
}

// CertificateUpdates are the values of CertificateVariables, the first of which has the index first. Without a certificate there is
// nothing that could be said of one.
func CertificateUpdates(first int, c Certificate, at model.Time) []Update {
	if c.Leaf == nil {
		none := model.Quality{Level: model.Uncertain, Reason: model.ReasonNotSet}
		updates := []Update{{Variable: first, Value: model.String(CertificateNone), Source: at}}
		for i := 1; i < len(CertificateVariables()); i++ {
			updates = append(updates, Update{Variable: first + i, Quality: none, Source: at})
		}
		return updates
	}
	left := c.Leaf.NotAfter.Sub(at.Std()).Hours() / 24
	return []Update{
		{Variable: first, Value: model.String(c.Check), Source: at},
		{Variable: first + 1, Value: model.Float64(left), Source: at},
		{Variable: first + 2, Value: model.Instant(model.TimeOf(c.Leaf.NotAfter)), Source: at},
		{Variable: first + 3, Value: model.String(c.Leaf.Subject.String()), Source: at},
		{Variable: first + 4, Value: model.String(c.Leaf.Issuer.String()), Source: at},
	}
}
