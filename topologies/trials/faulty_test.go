package trials

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// faulty is where the program with the seams of package fault lies, once it was asked for.
var faulty struct {
	sync.Once
	dir string
	err error
}

// faultyProgram builds the nodes' program with the seams of package fault, once for all trials: this one, as others are.
func faultyProgram(t *testing.T) string {
	t.Helper()
	faulty.Do(func() {
		if faulty.dir, faulty.err = os.MkdirTemp("", "banyan-faulty-"); faulty.err != nil {
			return
		}
		program := filepath.Join(faulty.dir, "node")
		if out, err := exec.Command("go", "test", "-c", "-tags=sqlite_fts5,faults", "-o", program, ".").CombinedOutput(); err != nil {
			faulty.err = fmt.Errorf("building the nodes' program: %w: %s", err, out)
		}
	})
	if faulty.err != nil {
		t.Fatal(faulty.err)
	}
	return filepath.Join(faulty.dir, "node")
}
