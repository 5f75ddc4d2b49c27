package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"banyan/model"
)

// Class is what a leaf certificate is good for. The classes are disjoint: what verifies as one never verifies as another.
type Class uint8

// The classes.
const (
	ClassNone   Class = 0 // none of ours
	ClassLink   Class = 1 // a node towards its peers: the URI banyan://ID/link, client and server
	ClassAPI    Class = 2 // a node towards people: DNS names and IP addresses, no URI, server only
	ClassMember Class = 3 // a member towards its own cluster: the URI banyan://ID/member/N, client and server
)

// String is the class's name.
func (c Class) String() string {
	switch c {
	case ClassLink:
		return "link"
	case ClassAPI:
		return "api"
	case ClassMember:
		return "member"
	}
	return "unknown"
}

// MaxMember is the highest number of a cluster member.
const MaxMember = 1 << 16

// Identity is what a leaf certificate claims. A claim proves nothing until the certificate is verified against the roots of Node.
type Identity struct {
	Class  Class
	Node   model.NodeID // zero for the class api, which names hosts
	Member int          // 1 and up for the class member
}

// weak says whether the key of a certificate is one that others may come to know: of RSA one of less than 2,048 bits, of ECDSA less than 256. This package makes
// neither RSA's nor other curves than P-256; what a later one makes is not refused for being unknown here.
func weak(c *x509.Certificate) bool {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() < 2048
	case *ecdsa.PublicKey:
		return key.Curve.Params().BitSize < 256
	}
	return false
}

func (i Identity) uri() *url.URL {
	path := "/link"
	if i.Class == ClassMember {
		path = "/member/" + strconv.Itoa(i.Member)
	}
	return &url.URL{Scheme: "banyan", Host: i.Node.String(), Path: path}
}

// identityOf reads what a leaf claims, by its names and its key usages together. The zero Identity is a certificate that is none of ours. What
// is not written exactly as this package writes it is none: there is one spelling of each identity.
func identityOf(c *x509.Certificate) Identity {
	if c.IsCA || !c.BasicConstraintsValid || c.KeyUsage != x509.KeyUsageDigitalSignature || len(c.EmailAddresses) > 0 ||
		len(c.UnknownExtKeyUsage) > 0 || len(c.UnhandledCriticalExtensions) > 0 || weak(c) {
		return Identity{}
	}
	hosts := len(c.DNSNames) + len(c.IPAddresses)
	switch {
	case slices.Equal(c.ExtKeyUsage, serverOnly) && hosts > 0 && len(c.URIs) == 0:
		return Identity{Class: ClassAPI}
	case !slices.Equal(c.ExtKeyUsage, bothEnds) || hosts > 0 || len(c.URIs) != 1:
		return Identity{}
	}
	var claimed Identity
	var err error
	if claimed.Node, err = model.ParseNodeID(c.URIs[0].Host); err != nil {
		return Identity{}
	}
	if number, ok := strings.CutPrefix(c.URIs[0].Path, "/member/"); ok {
		claimed.Class = ClassMember
		claimed.Member, err = strconv.Atoi(number)
	} else {
		claimed.Class = ClassLink
	}
	if err != nil || claimed.Class == ClassMember && (claimed.Member < 1 || claimed.Member > MaxMember) || *claimed.uri() != *c.URIs[0] {
		return Identity{}
	}
	return claimed
}

var (
	bothEnds   = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	serverOnly = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
)

// issue signs a leaf. Its names come from the arguments, which come from the node's own records; nobody hands in a certificate request.
func (a *Authority) issue(by ring, public *ecdsa.PublicKey, names Identity, hosts []string, now time.Time, lifetime time.Duration) (*x509.Certificate, error) {
	if now.Before(by.root.NotBefore) || now.After(by.root.NotAfter) {
		return nil, &model.Error{Kind: model.KindInvalid, Op: "issue a certificate",
			Detail: "this node's root is " + validity(by.root, now), Remedy: "set this machine's clock, or renew the root"}
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "Banyan " + names.Class.String() + " of " + a.id.Short()},
		NotBefore: now.Add(-reachBack(names.Class, lifetime)), NotAfter: now.Add(lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: bothEnds,
	}
	if template.NotAfter.After(by.root.NotAfter) {
		template.NotAfter = by.root.NotAfter
	}
	if names.Class == ClassAPI {
		template.ExtKeyUsage = serverOnly
		for _, host := range hosts {
			if ip := net.ParseIP(host); ip != nil {
				template.IPAddresses = append(template.IPAddresses, ip)
			} else {
				template.DNSNames = append(template.DNSNames, host)
			}
		}
	} else {
		names.Node = a.id
		template.URIs = []*url.URL{names.uri()}
	}
	if names.Class == ClassLink && len(by.successions) > 0 {
		template.ExtraExtensions = []pkix.Extension{successionsExtension(by.successions)}
	}
	return sign(template, by.root, public, by.key)
}

// IssueMember signs a certificate for member number of this node's own cluster, for LinkLifetime. The member hands over the DER form of
// a public key (SubjectPublicKeyInfo, ECDSA on P-256) and nothing else: a certificate request would carry names, and there are none to be
// had from it. What the member is called comes from the other arguments.
func (a *Authority) IssueMember(publicKey []byte, number int, now time.Time) (*x509.Certificate, error) {
	if number < 1 || number > MaxMember {
		return nil, model.Errorf(model.KindInvalid, "a member cannot have the number %d: use 1 to %d", number, MaxMember)
	}
	parsed, err := x509.ParsePKIXPublicKey(publicKey[:min(len(publicKey), maxPublicKey)])
	public, ok := parsed.(*ecdsa.PublicKey)
	if err != nil || !ok || public.Curve != elliptic.P256() {
		return nil, model.Errorf(model.KindInvalid, "a member's key must be ECDSA on P-256, in its DER form")
	}
	return a.issue(a.ring(), public, Identity{Class: ClassMember, Member: number}, nil, now, LinkLifetime)
}

const maxPublicKey = 512 // bytes; one on P-256 has 91

// CheckHost says whether text can be a name in the API's certificate: an IP address, or a DNS name without wildcards.
func CheckHost(text string) error {
	if net.ParseIP(text) != nil {
		return nil
	}
	ok := len(text) <= 253
	for label := range strings.SplitSeq(text, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(label, hostCharacters) != "" {
			ok = false
		}
	}
	if !ok {
		return model.Errorf(model.KindInvalid, "%s is neither an IP address nor a DNS name", quoted(text))
	}
	return nil
}

const hostCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// validity tells when a certificate is valid, beside what this node's clock says: in most cases one of them is a wrong clock's.
func validity(c *x509.Certificate, now time.Time) string {
	return fmt.Sprintf("valid from %s to %s, and the clock of this node says %s", date(c.NotBefore), date(c.NotAfter), date(now))
}

// quoted shows foreign text in a message: escaped, and cut where it is long.
func quoted(text string) string {
	const most = 96
	if len(text) > most {
		return strconv.QuoteToASCII(text[:most]) + "..."
	}
	return strconv.QuoteToASCII(text)
}
