package siege

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"banyan/proto/apiv1"
	"banyan/proto/apiv1/apiv1connect"
	"banyan/server"
)

// socket is one that a process has open to the network.
type socket struct {
	kind    string // tcp, tcp6, udp, udp6
	address netAddress
}

type netAddress struct {
	ip   net.IP
	port int
}

func (s socket) String() string {
	return s.kind + " " + net.JoinHostPort(s.address.ip.String(), strconv.Itoa(s.address.port))
}

// listening are the sockets of a process at which strangers can arrive: those of TCP that listen, and all of UDP and raw ones.
func listening(t *testing.T, pid int) []socket {
	t.Helper()
	own := map[string]bool{}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(files) == 0 {
		t.Fatal("the files of the process cannot be seen", err)
	}
	for _, file := range files {
		if to, err := os.Readlink(file); err == nil && strings.HasPrefix(to, "socket:[") {
			own[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] = true
		}
	}
	var found []socket
	for _, kind := range []string{"tcp", "tcp6", "udp", "udp6", "raw", "raw6"} {
		table, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, kind))
		if err != nil {
			continue // this machine does not have that
		}
		lines := bufio.NewScanner(table)
		lines.Scan() // the titles
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			if len(fields) < 10 || !own[fields[9]] || strings.HasPrefix(kind, "tcp") && fields[3] != "0A" {
				continue
			}
			found = append(found, socket{kind, addressOf(t, fields[1])})
		}
		_ = table.Close()
	}
	return found
}

// addressOf reads an address of the kernel's tables: words of four bytes in the machine's order.
func addressOf(t *testing.T, text string) netAddress {
	t.Helper()
	ip, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(ip)
	number, errPort := strconv.ParseUint(port, 16, 16)
	if err != nil || errPort != nil || len(raw)%4 != 0 {
		t.Fatal(text, err, errPort)
	}
	for i := 0; i < len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	return netAddress{raw, int(number)}
}

// install makes a node and runs it as a process, with the listeners that its file says.
func install(t *testing.T, listeners string) (pid int, made server.InitResult, dir string) {
	t.Helper()
	dir = t.TempDir()
	made, err := server.Init(t.Context(), dir, "fresh", []string{"127.77.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "node.yaml")
	if err := os.WriteFile(config, []byte("name: fresh\ndata: .\n"+listeners), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	said, err := os.Create(filepath.Join(dir, "said"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "serve", config)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = said, said, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		_ = said.Close()
	})
	for began := time.Now(); ; pause(t.Context(), 20*time.Millisecond) {
		if text, _ := os.ReadFile(said.Name()); strings.Contains(string(text), ": serving: ") {
			return cmd.Process.Pid, made, dir
		} else if time.Since(began) > 30*time.Second {
			t.Fatalf("it does not serve: %s", text)
		}
	}
}

// TestFreshInstall: a fresh node listens at the doors of the table where its file says and nowhere else, answers plaintext with nothing of itself, and lets in
// nobody but its administrator by the password that was drawn for it.
func TestFreshInstall(t *testing.T) {
	file, err := server.ParseFile("node.yaml", []byte("name: fresh\ndata: /x\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range server.Doors {
		if host, _, err := net.SplitHostPort(d.Address(&file.Listeners)); err != nil || !net.ParseIP(host).IsLoopback() {
			t.Errorf("told nothing, a node listens for %s on %s", d.For, d.Address(&file.Listeners))
		}
	}
	pid, made, dir := install(t, "listeners: {api: \"127.77.0.1:0\", links: \"127.77.0.2:0\"}\n")
	told := map[string]string{server.DoorAPI: "127.77.0.1", server.DoorLinks: "127.77.0.2"}
	if len(told) != len(server.Doors) {
		t.Fatalf("there are %d doors: say here where each is told to be", len(server.Doors))
	}
	api := ""
	sockets := listening(t, pid)
	for _, s := range sockets {
		address := net.JoinHostPort(s.address.ip.String(), strconv.Itoa(s.address.port))
		door := doorAt(t, address)
		if s.kind != "tcp" || told[door] != s.address.ip.String() {
			t.Errorf("%s is open, and is the door %q", s, door)
		}
		if door == server.DoorAPI {
			api = address
		}
		plaintext(t, address, door, made.NodeID.String())
	}
	if len(sockets) != len(server.Doors) {
		t.Errorf("%d sockets for %d doors: %v", len(sockets), len(server.Doors), sockets)
	}
	nobody(t, api, dir, made)
}

// doorAt is the door that takes its protocol at an address, "" where none does.
func doorAt(t *testing.T, address string) string {
	t.Helper()
	for _, d := range server.Doors {
		for _, protocol := range d.Protocols {
			raw, err := net.DialTimeout("tcp", address, 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}}) //nolint:gosec // who is there is what is asked
			err = conn.Handshake()
			taken := err == nil && conn.ConnectionState().NegotiatedProtocol == protocol
			_ = raw.Close()
			if taken {
				return d.Name
			}
		}
	}
	return ""
}

// plaintext sends what is no TLS, and expects nothing, or at the API that this is the wrong way.
func plaintext(t *testing.T, address, door, id string) {
	t.Helper()
	for _, text := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET /metrics HTTP/1.0\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "SSH-2.0-x\r\n", "\x00\x00\x00\x00"} {
		conn, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(15 * time.Second))
		_, _ = io.WriteString(conn, text)
		_ = conn.(*net.TCPConn).CloseWrite()
		answer, _ := io.ReadAll(conn) // a reset is an answer without bytes
		_ = conn.Close()
		alert := len(answer) > 0 && answer[0] == 21 && len(answer) <= 7
		wrongWay := strings.HasPrefix(string(answer), "HTTP/1.0 400 ") && !strings.Contains(string(answer), id) && !strings.Contains(string(answer), "fresh")
		if len(answer) > 0 && (door != server.DoorAPI || !alert && !wrongWay) {
			t.Errorf("%s answers the plaintext %q with %q", door, text, answer)
		}
	}
}

// nobody but the administrator comes in, by the password that was drawn.
func nobody(t *testing.T, api, dir string, made server.InitResult) {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	client := apiv1connect.NewSessionServiceClient(&http.Client{Transport: transport}, "https://"+api)
	try := func(name, password string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := client.Login(ctx, &apiv1.LoginRequest{Name: name, Password: password})
		return err
	}
	for name, passwords := range map[string][]string{
		made.AdminName: {"", made.AdminName, "password", "fresh"}, "root": {"", "root"}, "banyan": {"", "banyan"}, "administrator": {""}, "user": {"user"}, "": {""},
	} {
		for _, password := range passwords {
			if try(name, password) == nil {
				t.Errorf("%q comes in with %q", name, password)
			}
		}
	}
	if err := try(made.AdminName, made.Password); err != nil {
		t.Errorf("the administrator does not come in: %v", err)
	}
	other, err := server.Init(t.Context(), t.TempDir(), "other", nil)
	if err != nil || other.Password == made.Password || len(made.Password) < 20 {
		t.Errorf("another node has the password %q, this one %q: %v", other.Password, made.Password, err)
	}
}
