package server

import (
	"compress/gzip"
	"io"
	"net/http"

	"banyan/access"
	"banyan/model"

	"connectrpc.com/connect"
)

// strangersBody bounds what a request may send to a method that answers anybody, in bytes: it is read before it is known who asks.
const strangersBody = 64 << 10

// unpackLimited is gzip that stops where a message becomes too large. Without it the rest would be unpacked, too, only to tell how large it is: two
// megabytes that unpack to two gigabytes would cost a second of work.
func unpackLimited() connect.HandlerOption {
	return connect.WithCompression("gzip",
		func() connect.Decompressor { return &unpacker{} },
		func() connect.Compressor { return gzip.NewWriter(io.Discard) },
	)
}

// unpacker unpacks one message after the other.
type unpacker struct {
	gzip gzip.Reader
	left int
}

var _ connect.Decompressor = (*unpacker)(nil)

// Reset begins a message.
func (u *unpacker) Reset(from io.Reader) error {
	u.left = maxBodyBytes + 1
	return u.gzip.Reset(from)
}

// Read unpacks, up to the limit and one byte more, by which it shows that it was passed.
func (u *unpacker) Read(p []byte) (int, error) {
	if u.left <= 0 {
		return 0, model.Errorf(model.KindExhausted, "the message is larger than %d bytes", maxBodyBytes)
	}
	n, err := u.gzip.Read(p[:min(len(p), u.left)])
	u.left -= n
	return n, err
}

// Close ends a message.
func (u *unpacker) Close() error { return u.gzip.Close() }

// bodyLimit is how much a request may send.
func bodyLimit(r *http.Request) int64 {
	if requirement, known := Methods[r.URL.Path]; known && requirement.Who == access.Public {
		return strangersBody
	}
	return maxBodyBytes + 1<<10
}
