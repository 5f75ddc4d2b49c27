package devicetest

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// insideVariable is set in the process that runs a test in a network namespace, to the test's name.
const insideVariable = "BANYAN_TEST_NAMESPACE"

// InNamespace runs the rest of a test in a network namespace of its own, where it may change addresses, routes, firewall and kernel
// parameters as it likes: it starts the test's program again for this one test, and returns false to who is outside, whose test is
// then over. Inside it returns true; the loopback interface is up. Everything in the namespace is gone with the process. It needs root.
func InNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVariable) == t.Name() {
		Command(t, "ip", "link", "set", "lo", "up")
		return true
	}
	if os.Getuid() != 0 {
		t.Fatal("network namespaces need root")
	}
	var pattern []string
	for part := range strings.SplitSeq(t.Name(), "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(part)+"$")
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run="+strings.Join(pattern, "/"), "-test.v", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), insideVariable+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in its namespace the test failed: %v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("in its namespace:\n%s", out)
	}
	return false
}

// Command runs a program that has to succeed and returns what it printed.
func Command(t testing.TB, command ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(command, " "), err, out)
	}
	return string(out)
}

// Firewall loads rules into the chain that every packet passes which comes in, for a test in a namespace of its own:
//
//	Firewall(t, "ip daddr 127.9.9.9 drop")
func Firewall(t testing.TB, rules ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(fmt.Sprintf("flush ruleset\ntable inet test {\n chain in {\n  type filter hook input priority 0; policy accept;\n  %s\n }\n}\n",
		strings.Join(rules, "\n  ")))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft, of the Debian package nftables: %v: %s", err, out)
	}
}
