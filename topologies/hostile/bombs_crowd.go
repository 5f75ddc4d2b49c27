package hostile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"banyan/pki"
	"banyan/proto/linkv1"
	"banyan/proto/modelv1"
)

// crowdBombs are many of something that is right by itself.
func crowdBombs() []*Bomb {
	return []*Bomb{
		{Name: "sessions without end", Sends: "300 sessions on one connection", Reason: "exports at most", Aims: []string{"ConsumerFrame.hello"}, call: func(c *Calling) error {
			ends := make(chan error, 300)
			for range cap(ends) {
				t, err := c.Talk(c.hello())
				if err != nil {
					return err
				}
				go func() { ends <- t.End() }()
			}
			for range cap(ends) {
				if err := <-ends; err != nil && strings.Contains(err.Error(), "exports at most") {
					return err
				}
			}
			return nil
		}},
		{Name: "streams that say nothing", Sends: "1,000 streams on which nothing is said", Aims: []string{"ConsumerFrame"}, call: func(c *Calling) error {
			c.note(&linkv1.ConsumerFrame{}) // nothing of it
			for range 1000 {
				if _, err := c.Talk(nil); err != nil {
					return err
				}
			}
			return c.rest()
		}},
		{Name: "connections without end", Sends: "500 connections at once, each with a session", Aims: []string{"ConsumerFrame.hello"}, call: func(c *Calling) error {
			var work sync.WaitGroup
			ctx, cancel := context.WithTimeout(c.ctx, Within)
			defer cancel()
			room := make(chan struct{}, 16)
			for range 500 {
				work.Go(func() {
					room <- struct{}{}
					other, err := c.Peer.call(ctx, pki.ProtocolConsumer)
					<-room
					if err != nil {
						return
					}
					defer other.Close()
					if _, err := other.Talk(other.hello()); err == nil {
						<-ctx.Done()
					}
				})
			}
			work.Wait()
			return nil
		}},
		{Name: "never reads", Sends: "a session of which nothing is read, with 60 streams beside", Deaf: true, Aims: []string{"ConsumerFrame.hello"}, call: func(c *Calling) error {
			for range 60 {
				if _, err := c.Talk(c.hello()); err != nil {
					return err
				}
			}
			return c.rest()
		}},
		{Name: "requests at once", Sends: "1,000 requests, 64 at once, each with as large a table as there may be", Aims: []string{"ExecuteRequest.set", "Table"}, call: func(c *Calling) error {
			return c.sets(wideTable(2, 64_000))
		}},
		{Name: "large requests at once", Sends: "1,000 requests, 64 at once, each with a table of 3 MiB", Aims: []string{"ExecuteRequest.set", "Table"}, call: func(c *Calling) error {
			value := wideTable(2, 60_000)
			value.GetTable().Columns[0].Name = strings.Repeat("x", 2<<20)
			return c.sets(value)
		}},
		{Name: "questions at once", Sends: "20,000 questions as fast as they go", Aims: []string{"ExplainRequest"}, call: func(c *Calling) error {
			q := &linkv1.ExplainRequest{Path: "/system", Principal: &linkv1.Principal{Person: "x"}}
			c.note(q)
			return c.crowd(20_000, func(int) error {
				_, err := c.Link.Explain(c.ctx, q)
				return err
			})
		}},
		{Name: "half a request", Sends: "900 requests of 3 MiB of which the end never comes", Aims: []string{"ExecuteRequest"}, Rude: true, call: halves},
		{Name: "packed request", Sends: "a request of 100 MiB of zeros, compressed", Reason: "Decompressor is not installed", Aims: []string{"ExecuteRequest"}, Rude: true, call: packed},
		{Name: "header as a book", Sends: "a request whose header has 1 MiB", Reason: "", Aims: []string{"ExecuteRequest"}, Rude: true, call: func(c *Calling) error {
			response, err := c.raw(http.Header{"Banyan-Book": []string{strings.Repeat("x", 1<<20)}}, strings.NewReader(""))
			if err == nil {
				_ = response.Body.Close()
				if code := response.Header.Get("Grpc-Status"); code == "0" {
					err = errors.New("a header of 1 MiB was taken")
				}
				return err
			}
			return nil
		}},
	}
}

// rest keeps what was begun for a while.
func (c *Calling) rest() error {
	select {
	case <-time.After(Within / 2):
	case <-c.ctx.Done():
	}
	return nil
}

// crowd does something so often, as much of it at once as the victim lets, and as long as one bomb may last.
func (c *Calling) crowd(count int, do func(i int) error) error {
	var work sync.WaitGroup
	began, room := time.Now(), make(chan struct{}, 64)
	for i := range count {
		if time.Since(began) > Within {
			break
		}
		room <- struct{}{}
		work.Go(func() {
			_ = do(i)
			<-room
		})
	}
	done := make(chan struct{})
	go func() {
		work.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(Within):
		c.Close()
		<-done
	}
	return nil
}

// sets asks a thousand times for a setting to become a value.
func (c *Calling) sets(value *modelv1.Value) error {
	return c.crowd(1000, func(i int) error {
		q := &linkv1.ExecuteRequest{Id: []byte(fmt.Sprintf("%016d", i)), Path: "/system", Operation: &linkv1.ExecuteRequest_Set{Set: &linkv1.SetOperation{Name: "label", Value: value}}}
		if i == 0 {
			c.note(q)
		}
		_, err := c.Link.Execute(c.ctx, q)
		return err
	})
}

// raw posts bytes to Execute over the connection, as HTTP/2 without gRPC.
func (c *Calling) raw(header http.Header, body io.Reader) (*http.Response, error) {
	c.note(&linkv1.ExecuteRequest{}) // what it is to be taken for
	conn, err := c.dial(c.ctx, pki.ProtocolConsumer)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(c.ctx, func() { _ = conn.Close() })
	protocols := &http.Protocols{}
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols, DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
	request, err := http.NewRequestWithContext(c.ctx, http.MethodPost, "http://victim"+linkv1.LinkService_Execute_FullMethodName, body)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("Te", "trailers")
	return transport.RoundTrip(request)
}
