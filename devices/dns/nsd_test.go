package dns_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"banyan/devices/devicetest"
)

// nsd is a real name server of the test's own, which has the zones example.org and 2.0.192.in-addr.arpa.
type nsd struct {
	authority     *devicetest.Authority
	plain, secure string // host and port
}

const zone = `$ORIGIN example.org.
$TTL 60
@ SOA ns hostmaster 2026010203 3600 600 86400 30
@ NS ns
@ MX 10 mail
@ MX 20 mail2
@ TXT "v=spf1 -all"
@ CAA 0 issue "ca.example.org"
ns A 127.0.0.1
www A 192.0.2.81
www A 192.0.2.80
www AAAA 2001:db8::80
web 30 CNAME www
_sip._tcp SRV 1 2 5060 sip
`

const reverse = `$ORIGIN 2.0.192.in-addr.arpa.
$TTL 60
@ SOA ns.example.org. hostmaster.example.org. 1 3600 600 86400 30
@ NS ns.example.org.
80 PTR www.example.org.
`

func startNSD(t *testing.T) *nsd {
	t.Helper()
	program := devicetest.Program(t, "nsd", "nsd")
	dir := t.TempDir()
	n := &nsd{authority: devicetest.NewAuthority(t), plain: freePort(t), secure: freePort(t)}
	certificate, key := n.authority.Issue(time.Now().Add(-time.Hour), time.Now().Add(48*time.Hour), "127.0.0.1")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	big := zone
	for i := range 40 {
		big += fmt.Sprintf("big TXT \"%02d %s\"\n", i, strings.Repeat("x", 80))
	}
	write("zone", big)
	write("reverse", reverse)
	write("cert.pem", certificate)
	write("key.pem", key)
	at := func(address string) string { return strings.Replace(address, ":", "@", 1) }
	_, securePort, _ := net.SplitHostPort(n.secure)
	write("nsd.conf", fmt.Sprintf(`
server:
  server-count: 1
  username: ""
  zonesdir: %[1]q
  pidfile: %[2]q
  database: ""
  xfrdfile: %[3]q
  zonelistfile: %[4]q
  cookie-secret-file: %[5]q
  ip-address: %[6]s
  ip-address: %[7]s
  tls-port: %[8]s
  tls-service-pem: %[9]q
  tls-service-key: %[10]q
remote-control:
  control-enable: no
zone:
  name: example.org
  zonefile: zone
zone:
  name: 2.0.192.in-addr.arpa
  zonefile: reverse
`, dir, dir+"/pid", dir+"/xfrd", dir+"/list", dir+"/cookies", at(n.plain), at(n.secure), securePort, dir+"/cert.pem", dir+"/key.pem"))
	cmd := exec.Command(program, "-d", "-c", filepath.Join(dir, "nsd.conf"))
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := func() string {
		text, _ := os.ReadFile(log.Name())
		return string(bytes.TrimSpace(text))
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // its children end with it
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("nsd: %s", said())
		}
	})
	for _, address := range []string{n.plain, n.secure} {
		for tries := 0; ; tries++ {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				conn.Close()
				break
			}
			if tries == 500 {
				t.Fatalf("nsd does not listen: %v: %s", err, said())
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return n
}

// freePort is an address where nothing listens just now, neither over udp nor over tcp.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if u, err := net.ListenPacket("udp", l.Addr().String()); err == nil {
			u.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}
