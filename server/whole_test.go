package server

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

// partsWritten notes how an answer was written.
type partsWritten struct {
	*httptest.ResponseRecorder
	sizes []int
	err   error
}

func (p *partsWritten) Write(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	p.sizes = append(p.sizes, len(b))
	return p.ResponseRecorder.Write(b)
}

// A message goes down in one part, whatever it is written in, and the last one when the handler ends.
func TestMessagesAreWrittenWhole(t *testing.T) {
	to := &partsWritten{ResponseRecorder: httptest.NewRecorder()}
	message := bytes.Repeat([]byte("m"), 20_000)
	whole(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 2 {
			_, _ = w.Write([]byte("12345"))
			_, _ = w.Write(message)
			w.(http.Flusher).Flush()
		}
		_, _ = w.Write(make([]byte, mostWhole)) // does not wait for the end
		_, _ = w.Write([]byte("end"))
	})).ServeHTTP(to, httptest.NewRequest(http.MethodPost, "/", nil))
	want := []int{20_005, 20_005, mostWhole, 3}
	if !slices.Equal(to.sizes, want) || !to.Flushed {
		t.Errorf("written in parts of %v, want %v", to.sizes, want)
	}

	to = &partsWritten{ResponseRecorder: httptest.NewRecorder(), err: errors.New("nobody is there")}
	whole(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(message)
		w.(http.Flusher).Flush()
		if _, err := w.Write(message); err == nil {
			t.Error("what follows a message that was not written is taken")
		}
	})).ServeHTTP(to, httptest.NewRequest(http.MethodPost, "/", nil))
}
