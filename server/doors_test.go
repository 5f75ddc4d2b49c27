package server

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/peering"
	"banyan/pki"
	"banyan/proto"
	"banyan/proto/linkv1"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// forger makes certificates with the root of a node, or with one of its own.
type forger struct {
	t    *testing.T
	root *x509.Certificate
	key  crypto.Signer
	id   string
}

// forgerOf has the root and the key of a node.
func forgerOf(t *testing.T, n *linkedNode) *forger {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(n.dir, pki.RootFile))
	if err != nil {
		t.Fatal(err)
	}
	f := &forger{t: t, id: n.ID().String()}
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			f.key, _ = key.(crypto.Signer)
		case f.root == nil:
			if f.root, err = x509.ParseCertificate(block.Bytes); err != nil {
				t.Fatal(err)
			}
		}
	}
	if f.key == nil || f.root == nil {
		t.Fatal("the root cannot be read")
	}
	return f
}

// stranger has a root that nobody knows, and claims an ID.
func (f *forger) stranger(id string) *forger {
	f.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	template := *f.root
	template.PublicKey, template.SerialNumber = nil, big.NewInt(time.Now().UnixNano())
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		f.t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		f.t.Fatal(err)
	}
	made := &forger{t: f.t, root: root, key: key, id: id}
	if id == "" {
		made.id = pki.Fingerprint(root).String()
	}
	return made
}

// leaf is a good certificate for links, after a change.
func (f *forger) leaf(key crypto.Signer, change func(*x509.Certificate)) *tls.Certificate {
	f.t.Helper()
	if key == nil {
		made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			f.t.Fatal(err)
		}
		key = made
	}
	identity, err := url.Parse("banyan://" + f.id + "/link")
	if err != nil {
		f.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "forged"}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, URIs: []*url.URL{identity},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, f.root, key.Public(), f.key)
	if err != nil {
		f.t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, f.root.Raw}, PrivateKey: key}
}

// badCard is a row of the matrix: a certificate, and what the doors for nodes say of it.
type badCard struct {
	name        string
	certificate *tls.Certificate
	change      func(*tls.Config)
	want        string // refusal
	join        string // the verdict for who joins, where that is another one
}

// badCertificates are the rows; f is the forger of a node that is linked.
func badCertificates(t *testing.T, f *forger) []badCard {
	t.Helper()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(*x509.Certificate)) *tls.Certificate { return f.leaf(nil, change) }
	uri := func(format string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.URIs = nil
			for one := range strings.FieldsSeq(fmt.Sprintf(format, f.id)) {
				u, err := url.Parse(one)
				if err != nil {
					t.Fatal(err)
				}
				c.URIs = append(c.URIs, u)
			}
		}
	}
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	inItsName := *f.root
	inItsName.PublicKey = own.Public()
	alone := &forger{t: t, root: &inItsName, key: own, id: f.id} // signs with the key of the leaf, in the name of the root
	return []badCard{
		{name: "none", want: "no-certificate"},
		{name: "signed by itself", certificate: alone.leaf(own, nil), want: "wrong-fingerprint"},
		{name: "expired", certificate: with(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
		}), want: "expired"},
		{name: "not yet valid", certificate: with(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) }), want: "not-yet-valid"},
		{name: "of another root that claims this ID", certificate: f.stranger(f.id).leaf(nil, nil), want: "wrong-fingerprint"},
		{name: "of a node that is not known", certificate: f.stranger("").leaf(nil, nil), want: "unknown-node", join: "ok"}, // an invitation was used just now: who lost the answer may ask again
		{name: "of the class api", certificate: with(func(c *x509.Certificate) {
			c.URIs, c.DNSNames, c.ExtKeyUsage = nil, []string{"localhost"}, c.ExtKeyUsage[:1]
		}), want: "wrong-class"},
		{name: "of the class member", certificate: with(uri("banyan://%s/member/1")), want: "wrong-class"},
		{name: "for servers only", certificate: with(func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }), want: "wrong-class"},
		{name: "for clients only", certificate: with(func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }), want: "wrong-class"},
		{name: "for anything", certificate: with(func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageAny) }), want: "wrong-class"},
		{name: "with two identities", certificate: with(uri("banyan://%[1]s/link banyan://%[1]s/link")), want: "wrong-class"},
		{name: "without an identity", certificate: with(func(c *x509.Certificate) { c.URIs = nil }), want: "wrong-class"},
		{name: "with a host beside its identity", certificate: with(func(c *x509.Certificate) { c.DNSNames = []string{"localhost"} }), want: "wrong-class"},
		{name: "an authority as a leaf", certificate: with(func(c *x509.Certificate) {
			c.IsCA, c.KeyUsage = true, c.KeyUsage|x509.KeyUsageCertSign
		}), want: "wrong-class"},
		{name: "the root itself", certificate: &tls.Certificate{Certificate: [][]byte{f.root.Raw}, PrivateKey: f.key}, want: "wrong-class"},
		{name: "a key of RSA with 1,024 bits", certificate: f.leaf(small, nil), want: "wrong-class"},
		{name: "a protocol of another door", certificate: f.leaf(nil, nil), change: func(c *tls.Config) { c.NextProtos = []string{pki.ProtocolMember} }, want: "wrong-protocol"},
		{name: "no protocol", certificate: f.leaf(nil, nil), change: func(c *tls.Config) { c.NextProtos = nil }, want: "wrong-protocol"},
		{name: "TLS 1.2", certificate: f.leaf(nil, nil), change: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, want: "wrong-protocol"},
	}
}

// knockWith makes the handshake of a door for nodes, and says what the node's verdict is, or that there was none.
func knockWith(t *testing.T, address, protocol string, row badCard) (conn *tls.Conn, verdict string) {
	t.Helper()
	raw, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	_ = raw.SetDeadline(time.Now().Add(20 * time.Second))
	config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}, ClientSessionCache: tls.NewLRUClientSessionCache(4), ServerName: "x"}
	if row.certificate != nil {
		config.Certificates = []tls.Certificate{*row.certificate}
	}
	if row.change != nil {
		row.change(config)
	}
	conn = tls.Client(raw, config)
	if err := conn.Handshake(); err != nil {
		return conn, "none"
	}
	if conn.ConnectionState().DidResume {
		t.Errorf("%s: a session was resumed", row.name)
	}
	body := []byte(`{"ok":true}`)
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)); err != nil {
		return conn, "none"
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return conn, "none"
	}
	answer := make([]byte, min(4096, binary.BigEndian.Uint32(size[:])))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return conn, "none"
	}
	var v struct {
		OK      bool
		Refusal string
	}
	if err := json.Unmarshal(answer, &v); err != nil {
		t.Fatal(err)
	}
	if v.OK {
		return conn, "ok"
	}
	return conn, v.Refusal
}

// TestDoorMatrix shows each bad certificate at each door, with each protocol that the door takes. Doors and protocols are those of the code: a door without a
// column here fails.
func TestDoorMatrix(t *testing.T) {
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	linkUp(berlin, hq, "berlin", "/berlin", "view")
	berlin.stop() // what comes in its name now is forged
	f := forgerOf(t, berlin)
	rows := badCertificates(t, f)
	columns := map[string]func(t *testing.T, protocol string, row badCard){
		DoorLinks: func(t *testing.T, protocol string, row badCard) {
			before := len(hq.log.String())
			conn, verdict := knockWith(t, hq.LinksAddress(), protocol, row)
			if protocol == pki.ProtocolJoin && row.join == verdict {
				return
			}
			if verdict == "ok" {
				t.Fatal("taken")
			}
			if n, err := conn.Read(make([]byte, 1)); err == nil {
				t.Errorf("after a refusal %d bytes came", n)
			}
			waitUntil(t, "the log names "+row.want, func() bool { return strings.Contains(hq.log.String()[before:], "refusal="+row.want+" ") })
		},
		DoorAPI: func(t *testing.T, protocol string, row badCard) {
			asked := false
			config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				asked = true
				return row.certificate, nil
			}}
			transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: protocol == "h2"}
			defer transport.CloseIdleConnections()
			response, err := (&http.Client{Transport: transport}).Get("https://" + hq.APIAddress() + "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if asked || response.StatusCode != http.StatusUnauthorized {
				t.Errorf("asked for a certificate: %v; %s", asked, response.Status)
			}
		},
	}
	for _, door := range Doors {
		column := columns[door.Name]
		if column == nil {
			t.Errorf("the door %s has no column: say what it answers to each certificate", door.Name)
			continue
		}
		for _, protocol := range door.Protocols {
			for _, row := range rows {
				t.Run(door.Name+"/"+strings.ReplaceAll(protocol, "/", "-")+"/"+row.name, func(t *testing.T) { column(t, protocol, row) })
			}
		}
	}
	if len(columns) != len(Doors) {
		t.Errorf("%d columns for %d doors", len(columns), len(Doors))
	}
	// A good one is taken for what was agreed, and for nothing else; and after a revocation for nothing.
	good := badCard{name: "good", certificate: f.leaf(nil, nil)}
	for protocol, want := range map[string]string{pki.ProtocolProvider: "ok", pki.ProtocolConsumer: "wrong-role"} {
		if _, verdict := knockWith(t, hq.LinksAddress(), protocol, good); verdict != want {
			t.Errorf("a good certificate with %s: %s, want %s", protocol, verdict, want)
		}
	}
	hq.call("/links/berlin", functionRevoke)
	for _, protocol := range []string{pki.ProtocolProvider, pki.ProtocolConsumer} {
		if _, verdict := knockWith(t, hq.LinksAddress(), protocol, good); verdict == "ok" || verdict == "none" {
			t.Errorf("a revoked node with %s: %s", protocol, verdict)
		}
	}
}

// linkMethods are all methods between nodes, with the protocol whose connections they answer.
func linkMethods() map[string]string {
	all := map[string]string{}
	for _, service := range peering.Services {
		protocol := pki.ProtocolConsumer
		if service.ServiceName == linkv1.JoinService_ServiceDesc.ServiceName {
			protocol = pki.ProtocolJoin
		}
		for _, m := range service.Methods {
			all["/"+service.ServiceName+"/"+m.MethodName] = protocol
		}
		for _, s := range service.Streams {
			all["/"+service.ServiceName+"/"+s.StreamName] = protocol
		}
	}
	return all
}

// TestLinkMethodsByProtocol asks for each method between nodes over each kind of connection that a node takes: who joins gets nothing of a link, and who is
// linked cannot join over that.
func TestLinkMethodsByProtocol(t *testing.T) {
	hq, north := makeNode(t, "hq"), makeNode(t, "north")
	invitation := hq.call("/links", "invite", textArgument("name", "north"), textArgument("role", "provider"), textArgument("right", "view"))
	north.call("/links", "join", textArgument("token", invitation["token"].Text()), textArgument("mount", "/hq"))
	north.stop()
	hq.call("/links", "invite", textArgument("name", "somebody"), textArgument("role", "consumer"), textArgument("mount", "/somebody")) // so that who joins is heard
	linked := forgerOf(t, north)
	methods := linkMethods()
	if len(methods) < 10 {
		t.Fatalf("%d methods", len(methods))
	}
	for protocol, row := range map[string]badCard{
		pki.ProtocolConsumer: {name: "linked", certificate: linked.leaf(nil, nil)},
		pki.ProtocolJoin:     {name: "joining", certificate: linked.stranger("").leaf(nil, nil)},
	} {
		conn, verdict := knockWith(t, hq.LinksAddress(), protocol, row)
		if verdict != "ok" {
			t.Fatalf("%s: %s", protocol, verdict)
		}
		_ = conn.SetDeadline(time.Time{})
		client, err := grpc.NewClient("passthrough:///hq", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return conn, nil }), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(proto.Codec{})))
		if err != nil {
			t.Fatal(err)
		}
		for method, answers := range methods {
			err := askLink(t, client, method)
			foreign := status.Code(err) == codes.Unauthenticated && (strings.Contains(err.Error(), "is not one of a link") || strings.Contains(err.Error(), "is not one of a node that joins"))
			if foreign == (answers == protocol) {
				t.Errorf("%s over a connection of %s: %v", method, protocol, err)
			}
		}
		_ = client.Close()
	}
	// What dials as a provider serves, and the node does not: it asks for nothing that it would answer itself.
	if slices.Contains(Doors[0].Protocols, pki.ProtocolProvider) {
		t.Error("the API takes links")
	}
}

// askLink sends an empty request, and returns what ends the answer.
func askLink(t *testing.T, client *grpc.ClientConn, method string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	stream, err := client.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return err
	}
	_ = stream.SendMsg(&linkv1.RedeemRequest{})
	_ = stream.CloseSend()
	return stream.RecvMsg(&linkv1.RedeemResponse{})
}
