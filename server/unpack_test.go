package server

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"net/http"
	"syscall"
	"testing"
	"time"

	"banyan/proto/apiv1/apiv1connect"
)

// packed is so many megabytes of zeros, packed one by one.
func packed(t *testing.T, megabytes int) []byte {
	t.Helper()
	var one bytes.Buffer
	w := gzip.NewWriter(&one)
	if _, err := w.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.Repeat(one.Bytes(), megabytes)
}

// processorTime is what this process has worked.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// TestBombsAreNotUnpacked: what is small packed and huge unpacked is refused without the work of unpacking it, from strangers and from people, by each
// protocol.
func TestBombsAreNotUnpacked(t *testing.T) {
	n := startNode(t)
	bomb := packed(t, 2048)
	small := packed(t, 60)
	if len(bomb) > maxBodyBytes || len(small) > strangersBody {
		t.Fatalf("%d and %d bytes are refused for another reason", len(bomb), len(small))
	}
	framed := func(body []byte) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{1}, uint32(len(body))), body...)
	}
	for name, test := range map[string]struct {
		method, kind, coding string
		body                 []byte
	}{
		"a stranger":                  {apiv1connect.SessionServiceLoginProcedure, "application/json", "Content-Encoding", small},
		"a stranger with a large one": {apiv1connect.SessionServiceLoginProcedure, "application/json", "Content-Encoding", bomb},
		"a stranger by gRPC":          {apiv1connect.SessionServiceLoginProcedure, "application/grpc", "Grpc-Encoding", framed(small)},
		"a person":                    {apiv1connect.TreeServiceSetProcedure, "application/json", "Content-Encoding", bomb},
		"a person by gRPC":            {apiv1connect.TreeServiceSetProcedure, "application/grpc", "Grpc-Encoding", framed(bomb)},
		"a person by REST":            {"/api/v1/edits", "application/json", "Content-Encoding", bomb},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.url()+test.method, bytes.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", test.kind)
		request.Header.Set(test.coding, "gzip")
		request.Header.Set("Authorization", "Bearer "+n.token)
		before := processorTime(t)
		response, err := n.client.Do(request)
		if err != nil {
			t.Fatal(name, err)
		}
		_ = response.Body.Close()
		if test.kind == "application/json" && response.StatusCode == http.StatusOK || test.kind == "application/grpc" && response.Trailer.Get("Grpc-Status") == "0" {
			t.Errorf("%s: %s", name, response.Status)
		}
		// Unpacking 2 GB takes seconds; unpacking what is allowed, some milliseconds.
		if worked := processorTime(t) - before; worked > 250*time.Millisecond {
			t.Errorf("%s costs %s", name, worked)
		} else {
			t.Logf("%s: %s, %s", name, response.Status, worked)
		}
	}
}
