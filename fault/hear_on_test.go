//go:build faults

package fault

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestEverythingIsHeard(t *testing.T) {
	defer func(before string) { hearFolder = before }(hearFolder)
	hearFolder = t.TempDir()
	here, there := net.Pipe()
	conn := Overheard(here, "test")
	go func() {
		_, _ = there.Read(make([]byte, 4))
		_, _ = there.Write([]byte("answer"))
	}()
	if _, err := conn.Write([]byte("asks")); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 100)); err != nil || n != 6 {
		t.Fatal(n, err)
	}
	for end, want := range map[string]string{"in": "answer", "out": "asks"} {
		files, _ := filepath.Glob(filepath.Join(hearFolder, "*-test-*."+end))
		if len(files) != 1 {
			t.Fatalf("%s: %v", end, files)
		}
		if got, err := os.ReadFile(files[0]); string(got) != want || err != nil {
			t.Errorf("heard %q, %v", got, err)
		}
	}
	hearFolder = ""
	if Overheard(here, "test") != here {
		t.Error("nobody asked to hear, and it is heard")
	}
}
