package rest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"
)

// watches is a core that sends what it is handed.
type watches struct {
	Core
	send chan *apiv1.WatchResponse
	err  error
}

func (w watches) Watch(ctx context.Context, q *apiv1.WatchRequest, send func(*apiv1.WatchResponse, Phase) error) error {
	phase := Complete
	for {
		select {
		case m, more := <-w.send:
			if !more {
				return w.err
			}
			if err := send(m, phase); err != nil {
				return err
			}
			phase = Changes
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// recorder is an answer that is read while it is written, by a reader who may stop.
type recorder struct {
	mu      sync.Mutex
	answer  *httptest.ResponseRecorder
	stalled bool
}

func (r *recorder) Header() http.Header { return r.answer.Header() }
func (r *recorder) WriteHeader(s int)   { r.answer.WriteHeader(s) }
func (r *recorder) Flush()              {}
func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stalled {
		return 0, os.ErrDeadlineExceeded
	}
	return r.answer.Write(p)
}
func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.answer.Body.String()
}

// watching runs a watch in fake time; test gets what it wrote so far whenever it asks.
func watching(t *testing.T, core watches, test func(w *recorder, cancel func())) {
	synctest.Test(t, func(t *testing.T) {
		core.send = make(chan *apiv1.WatchResponse)
		w := &recorder{answer: httptest.NewRecorder()}
		ctx, cancel := context.WithCancel(t.Context())
		request := httptest.NewRequestWithContext(ctx, http.MethodGet, Prefix+"/watch?address=/a:b&address=c", nil)
		done := make(chan struct{})
		go func() {
			defer close(done)
			New(Config{Core: core, Enter: letIn}).ServeHTTP(w, request)
		}()
		go func() {
			core.send <- &apiv1.WatchResponse{Readings: []*apiv1.Reading{{Path: "/a", Name: "b", Type: "int64", Quality: "good"}}}
			time.Sleep(time.Minute)
			core.send <- &apiv1.WatchResponse{Conflated: true}
			close(core.send)
		}()
		test(w, cancel)
		<-done
		for range core.send {
		}
	})
}

// TestEvents: their form, their numbers, and the comments between them where nothing else comes.
func TestEvents(t *testing.T) {
	watching(t, watches{err: model.Errorf(model.KindUnauthenticated, "the session has ended")}, func(w *recorder, _ func()) {
		time.Sleep(time.Second)
		const first = "retry: 2000\n\nevent: snapshot\nid: 1\ndata: {\"readings\":[{\"path\":\"/a\",\"name\":\"b\",\"type\":\"int64\",\"value\":null,\"quality\":\"good\"}],\"complete\":true}\n\n"
		if got := w.text(); got != first || w.Header().Get("Content-Type") != "text/event-stream" {
			t.Errorf("%v %s", w.Header(), got)
		}
		time.Sleep(50 * time.Second)
		if got := w.text(); got != first+strings.Repeat(": alive\n\n", 3) {
			t.Errorf("after 51 s: %s", got)
		}
		time.Sleep(time.Minute)
		got := w.text()
		if !strings.Contains(got, "\n\nevent: change\nid: 2\ndata: {\"readings\":[],\"conflated\":true}\n\n") ||
			!strings.Contains(got, "\n\nevent: problem\nid: 3\ndata: {\"type\":\"urn:banyan:problem:unauthenticated\"") || strings.Contains(got, "id: 4") {
			t.Errorf("%s", got)
		}
	})
}

// TestStreamOfNobody ends, whether its reader says so or takes nothing more.
func TestStreamOfNobody(t *testing.T) {
	watching(t, watches{}, func(w *recorder, cancel func()) {
		time.Sleep(time.Second)
		cancel()
	})
	watching(t, watches{}, func(w *recorder, _ func()) {
		time.Sleep(time.Second)
		w.mu.Lock()
		w.stalled = true
		w.mu.Unlock()
	})
}

// TestWatchOfNothing is an ordinary problem, since nothing was sent yet.
func TestWatchOfNothing(t *testing.T) {
	send := make(chan *apiv1.WatchResponse)
	close(send)
	for err, status := range map[error]int{
		model.Errorf(model.KindNotFound, "nothing"): 404, model.Errorf(model.KindExhausted, "too many"): 429, errors.New("canary"): 500,
	} {
		answer, p := ask(New(Config{Core: watches{err: err, send: send}, Enter: letIn}), http.MethodGet, Prefix+"/watch?address=/a")
		if answer.Code != status || p.Status != status || strings.Contains(answer.Body.String(), "canary") {
			t.Errorf("%v: %d %s", err, answer.Code, answer.Body)
		}
	}
	if answer, _ := ask(New(Config{Core: watches{send: send}, Enter: letIn}), http.MethodGet, Prefix+"/watch"); answer.Code != http.StatusBadRequest {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}

// FuzzIfMatch: whatever the header says, it names a revision, any, or is refused; and a revision in every form is found again.
func FuzzIfMatch(f *testing.F) {
	for _, seed := range []string{"", "*", `"7-0123456789abcdef@42"`, `W/"7-0123456789abcdef@42"`, "7-0123456789abcdef@42", `"`, `""`, `"a", "b"`, "W/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got, err := Precondition{IfMatch: header}.revision()
		if err != nil {
			if model.KindOf(err) != model.KindInvalid || got != "" {
				t.Errorf("%q: %q, %v", header, got, err)
			}
			return
		}
		at, err := model.ParsePosition(got)
		if err != nil || at.IsZero() != (got == "") {
			t.Errorf("%q: %q, %v", header, got, err)
		}
		if got == "" {
			if form := strings.TrimSpace(header); form != "" && form != "*" {
				t.Errorf("%q takes any revision", header)
			}
			return
		}
		for _, form := range []string{got, etag(got), "W/" + etag(got), " " + etag(got) + " "} {
			if again, err := (Precondition{IfMatch: form}).revision(); err != nil || again != got {
				t.Errorf("%q: %q, %v", form, again, err)
			}
		}
	})
}
