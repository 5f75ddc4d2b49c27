package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// stacks is a processor profile: for each sample the functions that it was in, the innermost first, and how long.
type stacks struct {
	functions [][]string
	took      []time.Duration
}

// Field numbers of perftools.profiles, github.com/google/pprof/proto/profile.proto.
const (
	fieldProfileSample   = 2
	fieldProfileLocation = 4
	fieldProfileFunction = 5
	fieldProfileString   = 6
)

// readProfile reads what runtime/pprof writes.
func readProfile(zipped []byte) (*stacks, error) {
	unzip, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(unzip)
	if err != nil {
		return nil, err
	}
	var texts []string
	var samples []map[protowire.Number][]uint64
	lines, names := map[uint64][]uint64{}, map[uint64]uint64{} // functions of a location, and their names
	err = fields(raw, func(number protowire.Number, _ uint64, body []byte) {
		switch number {
		case fieldProfileString:
			texts = append(texts, string(body))
		case fieldProfileSample:
			samples = append(samples, numbers(body, nil))
		case fieldProfileFunction:
			f := numbers(body, nil)
			names[first(f[1])] = first(f[2])
		case fieldProfileLocation:
			var functions []uint64
			l := numbers(body, func(line []byte) { functions = append(functions, first(numbers(line, nil)[1])) })
			lines[first(l[1])] = functions
		}
	})
	if err != nil {
		return nil, err
	}
	s := &stacks{}
	for _, sample := range samples {
		var stack []string
		for _, location := range sample[1] {
			for _, function := range lines[location] {
				stack = append(stack, texts[names[function]])
			}
		}
		values := sample[2] // how many, and nanoseconds
		s.functions, s.took = append(s.functions, stack), append(s.took, time.Duration(values[len(values)-1]))
	}
	return s, nil
}

func first(list []uint64) uint64 {
	if len(list) == 0 {
		return 0
	}
	return list[0]
}

var errProfile = errors.New("the processor profile is damaged")

// fields goes through a message.
func fields(raw []byte, each func(number protowire.Number, value uint64, body []byte)) error {
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return errProfile
		}
		raw = raw[n:]
		var value uint64
		var body []byte
		switch kind {
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(raw)
		case protowire.BytesType:
			body, n = protowire.ConsumeBytes(raw)
		default:
			n = protowire.ConsumeFieldValue(number, kind, raw)
		}
		if n < 0 {
			return errProfile
		}
		raw = raw[n:]
		each(number, value, body)
	}
	return nil
}

// numbers are the numbers in a message by field, packed ones or not; a location's lines, which are messages, go to line.
func numbers(raw []byte, line func([]byte)) map[protowire.Number][]uint64 {
	list := map[protowire.Number][]uint64{}
	_ = fields(raw, func(number protowire.Number, value uint64, body []byte) {
		switch {
		case body == nil:
			list[number] = append(list[number], value)
		case line != nil:
			line(body)
		default:
			for n := 0; len(body) > 0; body = body[n:] {
				if value, n = protowire.ConsumeVarint(body); n < 0 {
					return
				}
				list[number] = append(list[number], value)
			}
		}
	})
	return list
}

// sum is how long the profile was in stacks that count.
func (s *stacks) sum(counts func(stack []string) bool) (total time.Duration) {
	for i, stack := range s.functions {
		if counts(stack) {
			total += s.took[i]
		}
	}
	return total
}

// carriers are the packages that carry bytes to a peer, whoever it is: their time, and all that they call, is not what sharing is about.
var carriers = []string{
	"crypto/", "vendor/golang.org/x/crypto/", "golang.org/x/crypto/", "google.golang.org/grpc/internal/transport.", "golang.org/x/net/http2",
	"syscall.", "internal/syscall/", "internal/runtime/syscall", "internal/poll.", "runtime/internal/syscall",
}

// kernel are the functions of the runtime that do nothing but a system call.
var kernel = map[string]bool{
	"runtime.futex": true, "runtime.usleep": true, "runtime.osyield": true, "runtime.epollwait": true, "runtime.madvise": true, "runtime.sysMmap": true,
	"runtime.munmap": true, "runtime.tgkill": true, "runtime.write1": true, "runtime.timer_settime": true,
}

// carries reports whether a stack is one of carrying.
func carries(stack []string) bool {
	for _, function := range stack {
		if kernel[function] {
			return true
		}
		for _, prefix := range carriers {
			if strings.HasPrefix(function, prefix) {
				return true
			}
		}
	}
	return false
}
