package hostile

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"

	"banyan/pki"
	"banyan/proto/linkv1"
)

// packed sends a request that unpacks to a hundred times its length and more.
func packed(c *Calling) error {
	var zipped bytes.Buffer
	to, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	for range 100 {
		_, _ = to.Write(make([]byte, 1<<20))
	}
	_ = to.Close()
	message := binary.BigEndian.AppendUint32([]byte{1}, uint32(zipped.Len()))
	response, err := c.raw(http.Header{"Grpc-Encoding": []string{"gzip"}}, bytes.NewReader(append(message, zipped.Bytes()...)))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if text := response.Trailer.Get("Grpc-Message") + response.Header.Get("Grpc-Message"); text != "" {
		return errors.New(text)
	}
	return errors.New("status " + response.Trailer.Get("Grpc-Status") + response.Header.Get("Grpc-Status"))
}

// halves sends the greater part of many requests at once over one connection.
func halves(c *Calling) error {
	c.note(&linkv1.ExecuteRequest{}) // what it is to be taken for
	conn, err := c.dial(c.ctx, pki.ProtocolConsumer)
	if err != nil {
		return err
	}
	defer conn.Close()
	protocols := &http.Protocols{}
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		Protocols: protocols, DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }, MaxConnsPerHost: 1,
		HTTP2: &http.HTTP2Config{StrictMaxConcurrentRequests: true},
	}
	ctx, cancel := context.WithTimeout(c.ctx, Within)
	defer cancel()
	var work sync.WaitGroup
	for range 900 {
		work.Go(func() {
			head := binary.BigEndian.AppendUint32([]byte{0}, 3<<20+1)
			body := io.MultiReader(bytes.NewReader(head), io.LimitReader(zeros{}, 3<<20), waiting{ctx})
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://victim"+linkv1.LinkService_Execute_FullMethodName, body)
			if err != nil {
				return
			}
			request.Header.Set("Content-Type", "application/grpc")
			request.Header.Set("Te", "trailers")
			if response, err := transport.RoundTrip(request); err == nil {
				_ = response.Body.Close()
			}
		})
	}
	work.Wait()
	return nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// waiting never has anything to read.
type waiting struct{ ctx context.Context } //nolint:containedctx // it is a reader, which has no other way

func (w waiting) Read([]byte) (int, error) {
	<-w.ctx.Done()
	return 0, w.ctx.Err()
}
