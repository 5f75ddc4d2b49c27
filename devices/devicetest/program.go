package devicetest

import (
	"os"
	"os/exec"
	"testing"
)

// Program is where a program lies that a test needs, of a Debian package. The test fails where it is missing: what was not tried, is not known.
func Program(t testing.TB, name, debian string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin/", "/sbin/"} { // which not everybody's PATH has
		if _, err := os.Stat(dir + name); err == nil {
			return dir + name
		}
	}
	t.Fatalf("%s is missing: install the Debian package %s", name, debian)
	return ""
}
