package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"sync"
	"time"

	"banyan/proto/apiv1"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// writeWithin is how long a reader may take nothing before it is cut off; lastWords is how long it may take to hear why the stream ends.
const (
	writeWithin = 20 * time.Second
	lastWords   = 250 * time.Millisecond
)

// retryAfter is what a browser is told to wait before it comes again, in milliseconds.
const retryAfter = 2000

const watchDescription = `Readings as they change, as server-sent events (text/event-stream), until the caller goes away.

| event | data | meaning |
| --- | --- | --- |
| snapshot | Readings | everything watched as it is, when the stream begins; in several events where it is much, the last of them with complete |
| change | Readings | what has changed: each sample of a variable while the reader keeps up; conflated says that samples were left out, and these are the latest |
| problem | Problem | why the stream ends; nothing comes after it |

The field id numbers the events of one stream from 1, without gaps. State is not replayed: after a break, connect again and take the new
snapshot, which makes up for whatever was missed; the header Last-Event-ID is not read. A comment comes every 15 s where nothing else does:
a stream that is silent for longer is dead. It ends within a second of the session or the token that it was opened with, and when something
that is watched goes, or may no longer be seen. A reader that takes nothing for 20 s is cut off.`

// Readings are what an event of a watch carries.
type Readings struct {
	Readings  []Reading `json:"readings" nullable:"false" doc:"In the order in which they came."`
	Complete  bool      `json:"complete,omitempty" doc:"In a snapshot: everything has been told."`
	Conflated bool      `json:"conflated,omitempty" doc:"In a change: samples between the event before and this one were left out."`
}

type watchRequest struct {
	Addresses []string `query:"address,explode" minItems:"1" maxItems:"1000" required:"true" example:"[\"/devices/local:cpu_percent\"]" doc:"What to watch, once for each: PATH:NAME for a setting or a variable, PATH for all of a context."`
}

// addWatch adds the event stream.
func (h *Handler) addWatch() {
	register(h, operation{
		id: "watch", tag: "values", method: http.MethodGet, path: "/watch", summary: "Watch settings and variables",
		description: watchDescription, problems: []problemCase{badRequest, notThere},
		success: &huma.Response{Description: "The events.", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: h.eventsSchema()}}},
	}, func(ctx context.Context, in *watchRequest) (*huma.StreamResponse, error) {
		addresses := make([]string, len(in.Addresses))
		for i, a := range in.Addresses {
			addresses[i] = rooted(a)
		}
		return &huma.StreamResponse{Body: func(around huma.Context) {
			_, w := humago.Unwrap(around)
			h.stream(ctx, w, addresses)
		}}, nil
	})
}

// eventsSchema describes the stream as the list of its events.
func (h *Handler) eventsSchema() *huma.Schema {
	h.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Readings](), true, "")
	event := func(name, data string) *huma.Schema {
		return &huma.Schema{
			Type: huma.TypeObject, Title: "Event " + name, Required: []string{"event", "id", "data"},
			Properties: map[string]*huma.Schema{
				"event": {Type: huma.TypeString, Enum: []any{name}, Description: "What it is."},
				"id":    {Type: huma.TypeString, Description: "Its number in this stream."},
				"data":  {Ref: "#/components/schemas/" + data},
			},
		}
	}
	return &huma.Schema{
		Type: huma.TypeArray, Description: "The events, one after the other as text; data is JSON on one line.",
		Items: &huma.Schema{OneOf: []*huma.Schema{event("snapshot", "Readings"), event("change", "Readings"), event("problem", "Problem")}},
	}
}

// stream answers with events until what is watched, the caller, or its right to it ends. What is wrong before the first event is answered as for
// any other operation.
func (h *Handler) stream(ctx context.Context, w http.ResponseWriter, addresses []string) {
	s := &events{w: w, control: http.NewResponseController(w), within: writeWithin}
	ctx, cancel := context.WithCancel(ctx)
	var beating sync.WaitGroup
	beating.Go(func() {
		beat := time.NewTimer(h.cfg.Heartbeat)
		defer beat.Stop()
		for {
			select {
			case <-beat.C:
				next, err := s.comment(h.cfg.Heartbeat)
				if err != nil {
					cancel()
					return
				}
				beat.Reset(next)
			case <-ctx.Done():
				return
			}
		}
	})
	err := h.cfg.Core.Watch(ctx, &apiv1.WatchRequest{Addresses: addresses}, func(m *apiv1.WatchResponse, phase Phase) error {
		name := "change"
		if phase != Changes {
			name = "snapshot"
		}
		return s.send(name, Readings{Readings: readingsOf(m.GetReadings()), Complete: phase == Complete, Conflated: m.GetConflated()})
	})
	gone := ctx.Err() != nil
	cancel()
	beating.Wait()
	switch {
	case err == nil || gone:
	case s.sent == 0:
		problemOf(err).write(w)
	default:
		s.within = lastWords
		_ = s.send("problem", problemOf(err)) // whoever is gone does not hear it
	}
}

// events writes server-sent events.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
	within  time.Duration // of one writing

	mu     sync.Mutex // guards the rest, and writing
	sent   uint64
	last   time.Time // when something was written
	buffer bytes.Buffer
}

// send sends an event; the first one begins the answer.
func (s *events) send(name string, data any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buffer.Reset()
	if s.sent == 0 {
		s.w.Header().Set("Content-Type", "text/event-stream")
		s.w.Header().Set("X-Accel-Buffering", "no") // nginx would keep events back
		s.buffer.WriteString("retry: " + strconv.Itoa(retryAfter) + "\n\n")
	}
	s.sent++
	s.buffer.WriteString("event: " + name + "\nid: " + strconv.FormatUint(s.sent, 10) + "\ndata: ")
	if err := json.NewEncoder(&s.buffer).Encode(data); err != nil { // one line, with its end
		return err
	}
	s.buffer.WriteByte('\n')
	return s.flush()
}

// comment says that the stream lives, where nothing else has for so long, and returns when to look again.
func (s *events) comment(every time.Duration) (next time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent == 0 {
		return every, nil
	}
	if left := every - time.Since(s.last); left > 0 {
		return left, nil
	}
	s.buffer.Reset()
	s.buffer.WriteString(": alive\n\n")
	return every, s.flush()
}

func (s *events) flush() error {
	s.last = time.Now()
	// A writer that has no deadline, as in tests, is one that cannot stall.
	_ = s.control.SetWriteDeadline(time.Now().Add(s.within))
	if _, err := s.w.Write(s.buffer.Bytes()); err != nil {
		return err
	}
	return s.control.Flush()
}
