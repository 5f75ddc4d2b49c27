package store

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
)

var resident = regexp.MustCompile(`RssAnon:\s+(\d+) kB`)

// TestMemoryOfMirrorsIsGivenBack: what SQLite took for files that many threads had open, and that are closed, is resident no more.
func TestMemoryOfMirrorsIsGivenBack(t *testing.T) {
	taken := func() int {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Skip("there is no /proc here")
		}
		kib, err := strconv.Atoi(string(resident.FindSubmatch(status)[1]))
		if err != nil {
			t.Fatal(err)
		}
		return kib
	}
	dir := t.TempDir()
	var opened, work sync.WaitGroup
	opened.Add(100)
	for i := range 100 {
		work.Go(func() {
			s, err := openSession(t.Context(), filepath.Join(dir, strconv.Itoa(i)), cache, "mirror")
			opened.Done()
			if err != nil {
				t.Error(err)
				return
			}
			opened.Wait()
			if err := s.close(); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	before := taken()
	GiveBack()
	after := taken()
	t.Logf("resident before %d KiB, after %d", before, after)
	if before-after < 4<<10 {
		t.Errorf("of %d KiB %d were given back", before, before-after)
	}
}
