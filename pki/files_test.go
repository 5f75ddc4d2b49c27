package pki

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"banyan/model"

	"github.com/hashicorp/go-hclog"
)

func TestRootSurvives(t *testing.T) {
	a := newAuthority(t, "hq")
	if c := a.Root(); !c.IsCA || !c.MaxPathLenZero || c.NotAfter.Sub(testNow) != RootLifetime || Fingerprint(c) != a.ID() {
		t.Errorf("the root is %+v", c)
	}
	for name, mode := range map[string]os.FileMode{RootFile: 0o600, CAFile: 0o644} {
		if info, err := os.Stat(filepath.Join(a.dir, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if err := os.Remove(filepath.Join(a.dir, CAFile)); err != nil {
		t.Fatal(err)
	}
	again, err := Load(a.dir)
	if err != nil || again.ID() != a.ID() {
		t.Fatal(again, err)
	}
	if pem, err := os.ReadFile(filepath.Join(a.dir, CAFile)); err != nil || !bytes.Equal(pem, encodeCertificates(a.Root())) || bytes.Contains(pem, []byte("KEY")) {
		t.Errorf("%s was not made anew: %s, %v", CAFile, pem, err)
	}
	if left, _ := filepath.Glob(filepath.Join(a.dir, ".*.*")); len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

// TestCreateOnce: of many that make the root of one directory at the same time one succeeds, and its root is the one that stays.
func TestCreateOnce(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	made := make(chan *Authority, 16)
	for range cap(made) {
		all.Go(func() {
			a, err := Create(dir, "hq", testNow)
			if err == nil {
				made <- a
			} else if model.KindOf(err) != model.KindExists {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(made) != 1 {
		t.Fatalf("%d roots were made", len(made))
	}
	if a, err := Load(dir); err != nil || a.ID() != (<-made).ID() {
		t.Error(a, err)
	}
}

func TestCreateRefuses(t *testing.T) {
	if _, err := Create(t.TempDir(), "hq", time.Unix(0, 0)); err == nil || !strings.Contains(err.Error(), "clock says 1970") {
		t.Error(err)
	}
	if _, err := Create(t.TempDir(), "h q", testNow); model.KindOf(err) != model.KindInvalid {
		t.Error(err)
	}
	if _, err := Create(t.TempDir(), strings.Repeat("n", 255), testNow); err != nil {
		t.Error(err)
	}
}

// TestDamagedFiles: wrong permissions and damaged content are refused with what to do.
func TestDamagedFiles(t *testing.T) {
	tests := []struct {
		name   string
		spoil  func(path string) error
		kind   model.ErrorKind
		remedy string
	}{
		{"readable by others", func(p string) error { return os.Chmod(p, 0o644) }, model.KindInvalid, "chmod 0600"},
		{"writable by the group", func(p string) error { return os.Chmod(p, 0o620) }, model.KindInvalid, "chmod 0600"},
		{"gone", os.Remove, model.KindNotFound, "restore"},
		{"empty", func(p string) error { return os.Truncate(p, 0) }, model.KindCorrupt, "restore"},
		{"cut", func(p string) error { return os.Truncate(p, 31) }, model.KindCorrupt, "restore"},
		{"huge", func(p string) error { return os.Truncate(p, maxPEMBytes+1) }, model.KindInvalid, ""},
		{"a directory", func(p string) error { _ = os.Remove(p); return os.Mkdir(p, 0o700) }, model.KindInvalid, ""},
	}
	for _, file := range []string{RootFile, SecretFile} {
		for _, test := range tests {
			t.Run(file+"/"+test.name, func(t *testing.T) {
				dir := newAuthority(t, "hq").dir
				if _, err := CreateSealer(dir); err != nil {
					t.Fatal(err)
				}
				if err := test.spoil(filepath.Join(dir, file)); err != nil {
					t.Fatal(err)
				}
				var err error
				if file == RootFile {
					_, err = Load(dir)
				} else {
					_, err = LoadSealer(dir)
				}
				if kind := model.KindOf(err); err == nil || !strings.Contains(err.Error(), test.remedy) || kind != test.kind && kind != model.KindCorrupt {
					t.Errorf("%v (%v)", err, kind)
				}
			})
		}
	}
	mixed := newAuthority(t, "hq")
	other, _ := encodePEM(mixed.ring().key, newAuthority(t, "berlin").Root())
	if err := replaceFile(filepath.Join(mixed.dir, RootFile), other, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(mixed.dir); err == nil || !strings.Contains(err.Error(), "belongs to another key") {
		t.Error(err)
	}
}

// TestMembers: a member gets its names from the record, whatever it hands over.
func TestMembers(t *testing.T) {
	a := newAuthority(t, "hq")
	key, _ := newKey()
	public, _ := x509.MarshalPKIXPublicKey(&key.PublicKey)
	c, err := a.IssueMember(public, 3, testNow)
	if err != nil || identityOf(c) != (Identity{ClassMember, a.ID(), 3}) || c.URIs[0].String() != "banyan://"+a.ID().String()+"/member/3" {
		t.Fatal(c, err)
	}
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	other, _ := x509.MarshalPKIXPublicKey(&p384.PublicKey)
	request, _ := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: c.URIs, DNSNames: []string{"hq.example"}}, key)
	for _, bad := range [][]byte{nil, other, request, public[:90], append(bytes.Clone(public), 0), make([]byte, 1<<20)} {
		if _, err := a.IssueMember(bad, 3, testNow); model.KindOf(err) != model.KindInvalid {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
	for _, number := range []int{-1, 0, MaxMember + 1} {
		if _, err := a.IssueMember(public, number, testNow); model.KindOf(err) != model.KindInvalid {
			t.Errorf("%d: %v", number, err)
		}
	}
}

// TestIdentity: a certificate has the class that this package gave it, and anything else about it makes it none of ours.
func TestIdentity(t *testing.T) {
	a := newAuthority(t, "hq")
	id := a.ID().String()
	link := func(change func(*x509.Certificate)) *x509.Certificate {
		u, _ := url.Parse("banyan://" + id + "/link")
		template := &x509.Certificate{NotBefore: testNow, NotAfter: testNow.Add(time.Hour), URIs: []*url.URL{u},
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: bothEnds}
		change(template)
		c, err := sign(template, a.Root(), &a.held.key.PublicKey, a.held.key)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if got := identityOf(link(func(*x509.Certificate) {})); got != (Identity{ClassLink, a.ID(), 0}) {
		t.Fatalf("%+v", got)
	}
	changes := map[string]func(*x509.Certificate){
		"an authority":    func(c *x509.Certificate) { c.IsCA = true },
		"server only":     func(c *x509.Certificate) { c.ExtKeyUsage = serverOnly },
		"client only":     func(c *x509.Certificate) { c.ExtKeyUsage = bothEnds[1:] },
		"any usage":       func(c *x509.Certificate) { c.ExtKeyUsage = append(bothEnds[:2:2], x509.ExtKeyUsageAny) },
		"no usage":        func(c *x509.Certificate) { c.ExtKeyUsage = nil },
		"a usage of ours": func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3}} },
		"signs":           func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign },
		"a host":          func(c *x509.Certificate) { c.DNSNames = []string{"hq.example"} },
		"an address":      func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv6loopback} },
		"mail":            func(c *x509.Certificate) { c.EmailAddresses = []string{"a@hq.example"} },
		"two identities":  func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) },
		"no identity":     func(c *x509.Certificate) { c.URIs = nil },
	}
	for _, uri := range []string{
		"https://" + id + "/link", "banyan://" + strings.ToUpper(id) + "/link", "banyan://" + id + ":1/link", "banyan://u@" + id + "/link",
		"banyan://" + id + "/link?x", "banyan://" + id + "/link#x", "banyan://" + id + "/link/", "banyan://" + id + "//link", "banyan://" + id,
		"banyan://" + id + "/%6cink", "banyan://" + id[1:] + "/link", "banyan:///link", "banyan://" + id + "/member/", "banyan://" + id + "/member/0",
		"banyan://" + id + "/member/01", "banyan://" + id + "/member/+1", "banyan://" + id + "/member/-1", "banyan://" + id + "/member/65537",
		"banyan://" + id + "/member/1/2", "banyan://" + id + "/api",
	} {
		changes[uri] = func(c *x509.Certificate) {
			u, err := url.Parse(uri)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = []*url.URL{u}
		}
	}
	for name, change := range changes {
		if got := identityOf(link(change)); got != (Identity{}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func FuzzIssueMember(f *testing.F) {
	a := newAuthority(f, "hq")
	key, _ := newKey()
	public, _ := x509.MarshalPKIXPublicKey(&key.PublicKey)
	request, _ := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"hq.example"}}, key)
	f.Add(public)
	f.Add(request)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := a.IssueMember(data, 3, testNow)
		if err == nil && (identityOf(c) != Identity{ClassMember, a.ID(), 3}) {
			t.Errorf("issued %v %v", c.URIs, c.DNSNames)
		}
	})
}

func FuzzIdentity(f *testing.F) {
	a := newAuthority(f, "hq")
	for _, class := range []Class{ClassLink, ClassAPI, ClassMember} {
		f.Add(show(f, a, Identity{Class: class, Member: 1}, testNow)().Certificate[0])
	}
	f.Add(a.Root().Raw)
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		claimed := identityOf(c)
		if claimed.Class == ClassLink || claimed.Class == ClassMember {
			if len(c.URIs) != 1 || c.URIs[0].String() != claimed.uri().String() || c.IsCA {
				t.Errorf("%v reads as %+v", c.URIs, claimed)
			}
		}
	})
}

// TestRenewal: a certificate is renewed at two thirds of its life, with a fresh key, however long the node runs; it is never shown expired.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now().AddDate(27, 0, 0) // a bubble begins in 2000
		clock := func() time.Time { return time.Now().AddDate(27, 0, 0) }
		a, err := Create(t.TempDir(), "hq", begun)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := a.LinkLeaf(LeafConfig{Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- leaf.Run(ctx) }()
		first := leaf.Current()
		time.Sleep(16*time.Hour - time.Second)
		synctest.Wait()
		if leaf.Current() != first {
			t.Error("renewed before two thirds of its life")
		}
		seen := map[string]bool{}
		for range 100 {
			time.Sleep(8*time.Hour + time.Second)
			synctest.Wait()
			c := leaf.Current().Leaf
			seen[fmt.Sprint(c.PublicKey)] = true
			if err := checkTime(c, a.Root(), a.ID(), clock()); err != nil {
				t.Fatal(err)
			}
		}
		if len(seen) < 49 {
			t.Errorf("%d keys in 100 thirds", len(seen))
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestRenewalFails: while a renewal fails the old certificate stays, and the next try comes soon enough.
func TestRenewalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := func() time.Time { return time.Now().AddDate(27, 0, 0) }
		a, err := Create(t.TempDir(), "hq", clock())
		if err != nil {
			t.Fatal(err)
		}
		var log logged
		leaf, err := a.LinkLeaf(LeafConfig{Clock: clock, Lifetime: time.Hour, Logger: log.logger()})
		if err != nil {
			t.Fatal(err)
		}
		tries, issue, first := 0, leaf.issue, leaf.Current()
		leaf.issue = func(now time.Time) (*tls.Certificate, error) {
			if tries++; tries < 10 {
				return nil, errors.New("disk full")
			}
			return issue(now)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Minute+9*time.Minute+time.Second)
		defer cancel()
		if err := leaf.Run(ctx); err != nil || tries != 10 || leaf.Current() == first || strings.Count(log.String(), "disk full") != 9 {
			t.Errorf("%d tries, %v: %s", tries, err, log.String())
		}
	})
}

func TestAPILeafIsKept(t *testing.T) {
	a := newAuthority(t, "hq")
	now := testNow
	make := func(hosts ...string) *tls.Certificate {
		t.Helper()
		l, err := a.APILeaf(hosts, LeafConfig{Clock: func() time.Time { return now }, Logger: hclog.NewNullLogger()})
		if err != nil {
			t.Fatal(err)
		}
		return l.Current()
	}
	first := make("hq.example", "::1")
	if again := make("0:0:0:0:0:0:0:1", "hq.example"); !bytes.Equal(first.Certificate[0], again.Certificate[0]) {
		t.Error("the same names made another certificate")
	}
	path := filepath.Join(a.dir, APIFile)
	steps := map[string]func(){
		"other names": func() { make("other.example") },
		"damaged":     func() { _ = os.Truncate(path, 40) },
		"due":         func() { now = now.Add(61 * 24 * time.Hour) },
		"gone":        func() { _ = os.Remove(path) },
	}
	for name, step := range steps {
		before := make("hq.example", "::1")
		step()
		if after := make("hq.example", "::1"); bytes.Equal(before.Certificate[0], after.Certificate[0]) {
			t.Errorf("%s: the certificate stayed", name)
		}
	}
	_ = os.Chmod(path, 0o640)
	if _, err := a.APILeaf([]string{"hq.example"}, LeafConfig{}); model.KindOf(err) != model.KindInvalid {
		t.Error(err)
	}
	for _, bad := range []string{"", "*.example", "a b", "-a", "a..b", strings.Repeat("a", 64), "https://hq", "a/b", "ü.example"} {
		if _, err := a.APILeaf([]string{bad}, LeafConfig{}); model.KindOf(err) != model.KindInvalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestFiles: the administrator's own certificate is taken over when it changes, and a bad change leaves the old one.
func TestFiles(t *testing.T) {
	a := newAuthority(t, "own")
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	put := func(at time.Time) *x509.Certificate {
		k, made, err := a.freshLeaf(Identity{Class: ClassAPI}, []string{"localhost"}, at, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		both, _ := encodePEM(k, made.Leaf)
		if err := errors.Join(os.WriteFile(key, both, 0o640), os.WriteFile(certificate, encodeCertificates(made.Leaf), 0o644)); err != nil {
			t.Fatal(err)
		}
		return made.Leaf
	}
	first := put(testNow)
	f, err := LoadFiles(certificate, key, func() time.Time { return testNow }, nil)
	if err != nil || !f.Leaf().Equal(first) {
		t.Fatal(err)
	}
	second := put(testNow)
	if changed, err := f.load(); !changed || err != nil || !f.Leaf().Equal(second) {
		t.Error(changed, err)
	}
	put(testNow.Add(-48 * time.Hour).Add(backdate + 49*time.Hour)) // not valid yet
	if _, err := f.load(); err == nil || !f.Leaf().Equal(second) || !strings.Contains(err.Error(), "set the clock") {
		t.Error(err)
	}
	_ = os.Chmod(key, 0o644)
	if _, err := LoadFiles(certificate, key, nil, nil); err == nil || !strings.Contains(err.Error(), "chmod 0640") {
		t.Error(err)
	}
}

// TestCurl: curl with ca.pem accepts the API's certificate, and without it does not.
func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal("curl is missing; install it: what people use must take our certificates")
	}
	a, err := Create(t.TempDir(), "hq", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := a.APILeaf([]string{"127.0.0.1"}, LeafConfig{})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", APIConfig(leaf))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) })}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	defer serving.Wait()
	defer server.Close()
	arguments := []string{"-sS", "-m", "10", "--noproxy", "*", "https://" + listener.Addr().String()}
	if out, err := exec.Command(curl, append(arguments, "--cacert", filepath.Join(a.dir, CAFile))...).CombinedOutput(); err != nil || string(out) != "HTTP/2.0" {
		t.Errorf("%s, %v", out, err)
	}
	if out, err := exec.Command(curl, arguments...).CombinedOutput(); err == nil {
		t.Errorf("accepted without the root: %s", out)
	}
}
