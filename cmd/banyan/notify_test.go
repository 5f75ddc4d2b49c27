package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"banyan/server"
)

// TestNotify: a node that is started as a service says when it is ready, that it lives, and that it stops.
func TestNotify(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "notify")
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	next := func(want string) {
		t.Helper()
		deadline := time.Now().Add(20 * time.Second)
		for {
			_ = listener.SetReadDeadline(deadline)
			message := make([]byte, 4096)
			n, err := listener.Read(message)
			if err != nil {
				t.Fatalf("%s did not come: %v", want, err)
			}
			for line := range strings.Lines(string(message[:n])) {
				if strings.TrimSpace(line) == want {
					return
				}
			}
		}
	}
	if _, err := server.Init(t.Context(), filepath.Join(dir, "node"), "hq", nil); err != nil {
		t.Fatal(err)
	}
	config := []byte("name: hq\ndata: .\nlisteners:\n  api: 127.0.0.1:0\n  links: 127.0.0.1:0\n")
	if err := os.WriteFile(filepath.Join(dir, "node", configName), config, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"NOTIFY_SOCKET": socket, "WATCHDOG_USEC": "400000", "WATCHDOG_PID": strconv.Itoa(os.Getpid())} {
		t.Setenv(name, value)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var said bytes.Buffer
	go func() {
		ended <- run(ctx, []string{"serve", "--dir", filepath.Join(dir, "node")}, strings.NewReader(""), &said, &said)
	}()
	next("READY=1")
	next("WATCHDOG=1")
	next("WATCHDOG=1")
	if left := os.Getenv("NOTIFY_SOCKET"); left != "" {
		t.Errorf("what the node starts would speak for it: %s", left)
	}
	stop()
	next("STOPPING=1")
	if code := <-ended; code != exitOK {
		t.Errorf("it ended with %d: %s", code, said.String())
	}
}

// TestWatchdogOfAHungNode: no sign of life is given for a node that gives none.
func TestWatchdogOfAHungNode(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	manager{socket, 20 * time.Millisecond}.live(ctx, func(context.Context) bool { return false })
	_ = listener.SetReadDeadline(time.Now())
	if n, err := listener.Read(make([]byte, 100)); err == nil {
		t.Errorf("%d bytes came", n)
	}
}

// TestUnit: systemd understands every line of the unit.
func TestUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Fatalf("the package systemd is needed: %v", err)
	}
	unit, err := os.ReadFile("../../packaging/banyan.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"CapabilityBoundingSet=CAP_NET_RAW\n", "TimeoutStopSec=15\n", "Type=notify\n", "ProtectSystem=strict\n", "LimitNOFILE=65536\n", "User=banyan\n"} {
		if !strings.Contains(string(unit), "\n"+line) {
			t.Errorf("%q is missing", line)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "banyan.service")
	if err := os.WriteFile(copied, bytes.ReplaceAll(unit, []byte("/usr/bin/banyan"), []byte(self)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", copied).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "banyan.service") {
			t.Errorf("systemd-analyze: %s", line)
		}
	}
	if err != nil && !strings.Contains(string(out), "banyan.service") {
		t.Logf("systemd-analyze ended with %v, about other units: %s", err, out)
	}
}
