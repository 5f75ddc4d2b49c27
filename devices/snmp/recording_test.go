package snmp

import (
	"bufio"
	"compress/bzip2"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// recording is what a device answered to a full walk, in snmpsim's format.
type recording struct {
	name    string
	objects map[oid]reading
	varies  map[oid]bool // snmpsim answers something else each time
	unread  int          // lines that are none
	lines   map[oid]string
}

// recordingsBelow reads all recordings in a folder, and puts them, unpacked, into another one, each under its number.
func recordingsBelow(t *testing.T, folder, to string) []recording {
	t.Helper()
	var found []recording
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(strings.TrimSuffix(path, ".bz2"), ".snmprec") {
			return err
		}
		raw, err := os.ReadFile(path)
		if err == nil && strings.HasSuffix(path, ".bz2") {
			raw, err = io.ReadAll(bzip2.NewReader(strings.NewReader(string(raw))))
		}
		if err != nil {
			return err
		}
		name, _, _ := strings.Cut(filepath.Base(path), ".snmprec")
		r := parseRecording(name, string(raw))
		file := filepath.Join(to, fmt.Sprintf("r%d.snmprec", len(found)))
		found = append(found, r)
		return os.WriteFile(file, []byte(r.sorted()), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// sorted is the recording as snmpsim needs it: it finds nothing in a file that is not in order, and one line that it does not understand ends its answers.
func (r *recording) sorted() string {
	var out strings.Builder
	for _, o := range slices.SortedFunc(maps.Keys(r.lines), oid.compare) {
		out.WriteString(r.lines[o] + "\n")
	}
	return out.String()
}

func parseRecording(name, text string) recording {
	r := recording{name: name, objects: map[oid]reading{}, varies: map[oid]bool{}, lines: map[oid]string{}}
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.SplitN(line, "|", 3)
		o, err := parseOID(fields[0])
		if len(fields) != 3 || err != nil {
			r.unread++
			continue
		}
		if _, twice := r.objects[o]; twice {
			continue // snmpsim answers with the first as well
		}
		tag, _, varies := strings.Cut(fields[1], ":")
		if varies { // what stands there is how to vary
			fields[2] = "0"
		}
		answer := recorded(tag, fields[2])
		if answer.form == broken {
			r.unread++
			continue
		}
		r.objects[o], r.varies[o], r.lines[o] = answer, varies, line
	}
	return r
}

// recorded is the answer that a line of a recording stands for.
func recorded(tag, value string) reading {
	if bare, isHex := strings.CutSuffix(tag, "x"); isHex {
		raw, err := hex.DecodeString(value)
		if err != nil {
			return reading{form: broken}
		}
		tag, value = bare, string(raw)
	}
	number := func(f form) reading {
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return reading{form: broken}
		}
		return reading{form: f, number: n}
	}
	switch tag {
	case "2":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return reading{form: broken}
		}
		return reading{form: integer, number: uint64(n)}
	case "4":
		return reading{form: octets, text: value}
	case "6":
		return reading{form: objectID, text: strings.TrimPrefix(value, ".")}
	case "64":
		if a, ok := netip.AddrFromSlice([]byte(value)); ok && len(value) == 4 {
			value = a.String()
		}
		return reading{form: address, text: value}
	case "65":
		return number(counter32)
	case "66":
		return number(unsigned)
	case "67":
		return number(ticks)
	case "70":
		return number(counter64)
	case "68":
		if strings.HasPrefix(value, "\x9f\x78\x04") && len(value) == 7 {
			bits := uint32(value[3])<<24 | uint32(value[4])<<16 | uint32(value[5])<<8 | uint32(value[6])
			return reading{form: float, number: math.Float64bits(float64(math.Float32frombits(bits)))}
		}
		return reading{form: octets, text: value}
	}
	return reading{form: broken}
}

// snmpsim serves the recordings of a folder; the community r0 means the first.
func startSnmpsim(t *testing.T, folder string) (address string) {
	t.Helper()
	address = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	cache := filepath.Join(folder, "cache")
	if err := os.Mkdir(cache, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Dir(folder), folder, cache} {
		if err := os.Chmod(dir, 0o777); err != nil { // it gives up being root, and then wants to write an index
			t.Fatal(err)
		}
	}
	arguments := []string{"--data-dir=" + folder, "--cache-dir=" + cache, "--agent-udpv4-endpoint=" + address, "--v2c-arch", "--logging-method=null"}
	if os.Geteuid() == 0 {
		arguments = append(arguments, "--process-user=nobody", "--process-group=nogroup")
	}
	log := &strings.Builder{}
	c := exec.Command(program(t, "snmpsimd", "snmpsim"), arguments...)
	c.Stderr, c.Stdout, c.Dir = log, log, folder
	c.Env = append(os.Environ(), "HOME="+folder, "TMPDIR="+cache)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	_, port, _ := splitAddress(address)
	awaitAgent(t, target{host: "127.0.0.1", port: port, version: versions["2c"], community: "r0"}, time.Minute, func() string { return log.String() })
	return address
}
