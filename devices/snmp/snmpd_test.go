package snmp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"banyan/devices"
	"banyan/devices/devicetest"
)

// program is the path of a program that a Debian package has. A machine without it fails the test: what was not tried does not hold.
func program(t testing.TB, name, pkg string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if path := filepath.Join(dir, name); exec.Command("test", "-x", path).Run() == nil {
			return path
		}
	}
	t.Fatalf("%s is missing: install the Debian package %s", name, pkg)
	return ""
}

// freePort is a port of UDP that nobody has at the moment.
func freePort(t testing.TB) int {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// snmpd is a real agent of net-snmp with a configuration of its own.
type snmpd struct {
	address string
	dir     string
	config  string
	command *exec.Cmd
}

const snmpdConfig = `
rocommunity readers 127.0.0.1
rwcommunity writers 127.0.0.1
createUser plain
createUser signer SHA "sign-password"
createUser keeper SHA-256 "keeper-password" AES "keeper-secret"
createUser older MD5 "older-password" DES "older-secret"
rouser plain noauth
rouser signer auth
rwuser keeper priv
rouser older priv
`

func startSnmpd(t testing.TB) *snmpd {
	t.Helper()
	s := &snmpd{address: fmt.Sprintf("127.0.0.1:%d", freePort(t)), dir: t.TempDir()}
	s.config = filepath.Join(s.dir, "snmpd.conf")
	if err := os.WriteFile(s.config, []byte(snmpdConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *snmpd) start(t testing.TB) {
	t.Helper()
	s.command = exec.Command(program(t, "snmpd", "snmpd"), "-f", "-Lf", filepath.Join(s.dir, "log"), "-C", "-c", s.config, "-I", "-smux", "udp:"+s.address)
	s.command.Env = append(os.Environ(), "SNMP_PERSISTENT_DIR="+filepath.Join(s.dir, "state"), "MIBS=", "HOME="+s.dir)
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	to := target{host: "127.0.0.1", port: s.port(), version: versions["2c"], community: "readers"}
	awaitAgent(t, to, 20*time.Second, func() string {
		log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		return string(log)
	})
}

// awaitAgent waits until an agent answers.
func awaitAgent(t testing.TB, to target, most time.Duration, log func() string) {
	t.Helper()
	for until := time.Now().Add(most); ; {
		session := newSession(to, 1, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		err := session.get(ctx, []oid{oidDescr}, make([]reading, 1))
		cancel()
		session.close()
		if err == nil {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("the agent does not answer: %v\n%s", err, log())
		}
		time.Sleep(20 * time.Millisecond) // another process: there is nothing to wait on
	}
}

func (s *snmpd) port() uint16 {
	_, port, _ := splitAddress(s.address)
	return port
}

// stop ends the agent as its system does, so that it keeps the number of its boots.
func (s *snmpd) stop() {
	if s.command != nil {
		kill := time.AfterFunc(5*time.Second, func() { _ = s.command.Process.Kill() })
		_ = s.command.Process.Signal(syscall.SIGTERM)
		_ = s.command.Wait()
		kill.Stop()
		s.command = nil
	}
}

// walked is what snmpwalk of net-snmp says, by identifier: "INTEGER: 1". Octets are in hexadecimal.
func (s *snmpd) walked(t *testing.T, root string) map[oid]string {
	t.Helper()
	c := exec.Command(program(t, "snmpwalk", "snmp"), "-v2c", "-c", "readers", "-On", "-Oe", "-Ox", "-Ot", s.address, root)
	c.Env = append(os.Environ(), "MIBS=", "HOME="+s.dir)
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	found := map[oid]string{}
	var last oid
	for line := range strings.Lines(string(out)) {
		line = strings.TrimRight(line, "\n")
		name, value, ok := strings.Cut(line, " = ")
		if !ok || !strings.HasPrefix(name, ".") {
			found[last] += " " + line // long octets go on in the next line
			continue
		}
		last = oid(name)
		found[last] = value
	}
	return found
}

func settings(given devices.Settings) devices.Settings {
	resolved, err := devices.Resolve(devices.Complete(driverSchema), given)
	if err != nil {
		panic(err)
	}
	return resolved
}

func open(t testing.TB, dr Driver, given devices.Settings) *device {
	t.Helper()
	d, err := dr.Open(settings(given))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d.(*device)
}

// polled polls until the shape is known, and once more.
func polled(t testing.TB, d *device) *devicetest.Recorder {
	t.Helper()
	if d.planned() == nil {
		if err := poll(t, d, devicetest.NewRecorder(driverSchema)); !errors.Is(err, devices.ErrReshaped) {
			t.Fatalf("the first poll: %v", err)
		}
	}
	record := devicetest.NewRecorder(d.Shape())
	if err := poll(t, d, record); err != nil {
		t.Fatal(err)
	}
	return record
}

func poll(t testing.TB, d *device, to devices.Publisher) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return d.Poll(ctx, to)
}

func mustAddr(text string) netip.Addr { return netip.MustParseAddr(text) }
