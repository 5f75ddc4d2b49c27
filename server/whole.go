package server

import "net/http"

// whole lets a message go down at once. It is written as a prefix of five bytes and the rest, and each that is longer than what is buffered below is a frame
// of its own then, which is handed to the connection's goroutine and waited for.
func whole(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		all := &wholeWriter{ResponseWriter: w}
		next.ServeHTTP(all, r)
		all.pass()
	})
}

// mostWhole is how many bytes are kept at most.
const mostWhole = 256 << 10

// wholeWriter keeps what is written until it is flushed, or is too much. That it could not be written is told by what is written next.
type wholeWriter struct {
	http.ResponseWriter
	kept []byte
	err  error
}

// Write keeps p.
func (w *wholeWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if w.kept = append(w.kept, p...); len(w.kept) >= mostWhole {
		w.pass()
	}
	return len(p), w.err
}

// pass writes what was kept.
func (w *wholeWriter) pass() {
	if len(w.kept) > 0 && w.err == nil {
		_, w.err = w.ResponseWriter.Write(w.kept)
	}
	w.kept = w.kept[:0]
}

// Flush sends what was written.
func (w *wholeWriter) Flush() {
	w.pass()
	if below, can := w.ResponseWriter.(http.Flusher); can && w.err == nil {
		below.Flush()
	}
}

// Unwrap lets http.ResponseController reach what lies below.
func (w *wholeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
