package peering

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"banyan/model"
	"banyan/pki"
	"banyan/proto/linkv1"

	"google.golang.org/grpc"
)

// memoryShelf keeps one backup in memory.
type memoryShelf struct {
	most int64

	mu    sync.Mutex // guards kept and part
	kept  []byte
	part  []byte
	stops int
}

func (s *memoryShelf) Keeps(string) (int64, []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		return s.most, nil
	}
	sum := sha256.Sum256(s.kept)
	return s.most, sum[:]
}

func (s *memoryShelf) Take(_ string, sum []byte, size int64) (Taking, error) {
	if size <= 0 || size > s.most {
		return nil, model.Errorf(model.KindExhausted, "%d bytes are too many", size)
	}
	return &memoryTaking{s, sum, size}, nil
}

type memoryTaking struct {
	shelf *memoryShelf
	sum   []byte
	size  int64
}

func (t *memoryTaking) Write(b []byte) (int, error) {
	t.shelf.mu.Lock()
	defer t.shelf.mu.Unlock()
	if int64(len(t.shelf.part)+len(b)) > t.size {
		return 0, model.Errorf(model.KindInvalid, "more comes than was offered")
	}
	t.shelf.part = append(t.shelf.part, b...)
	return len(b), nil
}

func (t *memoryTaking) Offset() int64 {
	t.shelf.mu.Lock()
	defer t.shelf.mu.Unlock()
	return int64(len(t.shelf.part))
}

func (t *memoryTaking) Finish() error {
	t.shelf.mu.Lock()
	defer t.shelf.mu.Unlock()
	part := t.shelf.part
	t.shelf.part = nil
	if sum := sha256.Sum256(part); !bytes.Equal(sum[:], t.sum) {
		return model.Errorf(model.KindCorrupt, "it is another one")
	}
	t.shelf.kept = part
	return nil
}

func (t *memoryTaking) Stop() {
	t.shelf.mu.Lock()
	defer t.shelf.mu.Unlock()
	t.shelf.stops++
}

// memoryBackups has one backup, and remembers what was said of it.
type memoryBackups struct {
	mu      sync.Mutex // guards all
	content []byte
	said    []string
}

func (m *memoryBackups) Backup(string) (Backup, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.content == nil {
		return Backup{}, false
	}
	content, sum := m.content, sha256.Sum256(m.content)
	return Backup{Sum: sum[:], Size: int64(len(content)), Open: func() (io.ReadSeekCloser, error) { return nopCloser{bytes.NewReader(content)}, nil }}, true
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

func (m *memoryBackups) Sent(_ string, _ []byte, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	text := "kept"
	if err != nil {
		text = err.Error()
	}
	m.said = append(m.said, text)
}

func (m *memoryBackups) put(content []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.content = content
}

func (m *memoryBackups) last() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.said) == 0 {
		return ""
	}
	return m.said[len(m.said)-1]
}

// A backup goes up over the bulk connection, whichever end dials, a newer one after it over the same, and what is too large is not kept and not sent.
func TestBackupsGoUp(t *testing.T) {
	for _, providerDials := range []bool{true, false} {
		known := pins{}
		hq, berlin := newLinked(t, "hq", known), newLinked(t, "berlin", known)
		berlin.put("/a")
		shelf, backups := &memoryShelf{most: 1 << 20}, &memoryBackups{}
		hq.hub.cfg.Shelf, berlin.hub.cfg.Backups = shelf, backups
		hq.hub.Reconcile([]LinkConfig{consume(hq, berlin, !providerDials, berlin.address)})
		berlin.hub.Reconcile([]LinkConfig{provide(berlin, hq, providerDials, hq.address)})
		until(t, "both are up", func() bool {
			a, _ := hq.hub.Status("down")
			b, _ := berlin.hub.Status("up")
			return a.State == StateUp && b.State == StateUp
		})
		for round, size := range []int{1, 300_000, 1 << 20} {
			content := bytes.Repeat([]byte{byte(round + 1)}, size)
			backups.put(content)
			until(t, "the backup is kept", func() bool {
				berlin.hub.BackupReady("up")
				shelf.mu.Lock()
				defer shelf.mu.Unlock()
				return bytes.Equal(shelf.kept, content)
			})
			until(t, "the provider knows", func() bool { return backups.last() == "kept" })
		}
		backups.put(make([]byte, 1<<20+1))
		until(t, "the provider is told", func() bool {
			berlin.hub.BackupReady("up")
			return strings.Contains(backups.last(), "at most")
		})
		if a, _ := hq.hub.Status("down"); a.State != StateUp {
			t.Errorf("the link is %s", a.State)
		}
		hq.stop()
		berlin.stop()
	}
}

// scriptedKeep is the consumer's end of a stream whose provider says what a script says.
type scriptedKeep struct {
	grpc.ClientStream
	says []*linkv1.KeepResponse
	told []*linkv1.KeepRequest
}

func (s *scriptedKeep) Send(r *linkv1.KeepRequest) error {
	s.told = append(s.told, r)
	return nil
}

func (s *scriptedKeep) Recv() (*linkv1.KeepResponse, error) {
	if len(s.says) == 0 {
		return nil, io.EOF
	}
	next := s.says[0]
	s.says = s.says[1:]
	return next, nil
}

// A provider that lies about its backup takes no more room than was granted, and nothing of it counts as kept.
func TestHostileBackups(t *testing.T) {
	chunk := func(n int) *linkv1.KeepResponse {
		return &linkv1.KeepResponse{Body: &linkv1.KeepResponse_Chunk{Chunk: make([]byte, n)}}
	}
	offer := func(size uint64) *linkv1.KeepOffer {
		return &linkv1.KeepOffer{Sum: make([]byte, 32), Size: size}
	}
	tests := []struct {
		name  string
		offer *linkv1.KeepOffer
		says  []*linkv1.KeepResponse
		want  model.ErrorKind
	}{
		{"more than is granted", offer(1 << 40), nil, model.KindExhausted},
		{"a size beyond all numbers", offer(1<<64 - 1), nil, model.KindExhausted},
		{"nothing", offer(0), nil, model.KindExhausted},
		{"more than was offered", offer(10), []*linkv1.KeepResponse{chunk(11)}, model.KindInvalid},
		{"an empty chunk", offer(10), []*linkv1.KeepResponse{chunk(5), chunk(0)}, model.KindInvalid},
		{"another offer in the middle", offer(10), []*linkv1.KeepResponse{chunk(5), {Body: &linkv1.KeepResponse_Offer{Offer: offer(10)}}}, model.KindInvalid},
		{"something else", offer(10), []*linkv1.KeepResponse{chunk(10)}, model.KindCorrupt},
		{"the end in the middle", offer(10), []*linkv1.KeepResponse{chunk(5)}, model.KindInternal},
	}
	for _, test := range tests {
		shelf := &memoryShelf{most: 1 << 20}
		stream := &scriptedKeep{says: test.says}
		err := takeBackup(stream, shelf, "berlin", test.offer)
		if err == nil || model.KindOf(err) != test.want || test.want == model.KindInternal && !errors.Is(err, errStream) {
			t.Errorf("%s: %v", test.name, err)
		}
		if shelf.kept != nil || len(shelf.part) > 10 {
			t.Errorf("%s: kept %d bytes, a part of %d", test.name, len(shelf.kept), len(shelf.part))
		}
	}
}

// scriptedPour is the provider's end of a stream whose consumer says what a script says.
type scriptedPour struct {
	grpc.ServerStream
	sent int
}

func (*scriptedPour) Context() context.Context { return context.Background() }

func (s *scriptedPour) Send(r *linkv1.KeepResponse) error {
	s.sent += len(r.GetChunk())
	return nil
}

func (*scriptedPour) Recv() (*linkv1.KeepRequest, error) { return nil, io.EOF }

// A consumer that lies about what it has ends the sending; one that acknowledges nothing is sent no more than the window.
func TestHostileKeepers(t *testing.T) {
	const size = 1 << 20
	answer := func(a *linkv1.KeepAnswer) *linkv1.KeepRequest {
		return &linkv1.KeepRequest{Body: &linkv1.KeepRequest_Answer{Answer: a}}
	}
	received := func(n uint64) *linkv1.KeepRequest {
		return &linkv1.KeepRequest{Body: &linkv1.KeepRequest_Received{Received: n}}
	}
	tests := []struct {
		name string
		says []*linkv1.KeepRequest
	}{
		{"has more than there is", []*linkv1.KeepRequest{answer(&linkv1.KeepAnswer{From: size + 1})}},
		{"says nothing of where from", []*linkv1.KeepRequest{received(7)}},
		{"keeps what it cannot have", []*linkv1.KeepRequest{answer(&linkv1.KeepAnswer{}), answer(&linkv1.KeepAnswer{Kept: true})}},
		{"acknowledges what was not sent", []*linkv1.KeepRequest{answer(&linkv1.KeepAnswer{}), received(1 << 60), received(1 << 61)}},
		{"acknowledges backwards", []*linkv1.KeepRequest{answer(&linkv1.KeepAnswer{}), received(10), received(0), received(5)}},
	}
	for _, test := range tests {
		stream := &scriptedPour{}
		k := &keeping{stream: stream, in: make(chan *linkv1.KeepRequest, len(test.says))}
		for _, r := range test.says {
			k.in <- r
		}
		close(k.in)
		err := k.send(Backup{Sum: make([]byte, 32), Size: size, Open: func() (io.ReadSeekCloser, error) { return nopCloser{bytes.NewReader(make([]byte, size))}, nil }})
		if err == nil || stream.sent > keepWindow+keepChunk {
			t.Errorf("%s: %v, %d bytes were sent", test.name, err, stream.sent)
		}
	}
}

// A life that is refused is told why, shows that its link is refused, and leaves the session that stands alone; a restart of the provider is none.
func TestMeetRefuses(t *testing.T) {
	known := pins{}
	hq, berlin := newLinked(t, "hq", known), newLinked(t, "berlin", known)
	berlin.put("/a")
	var mu sync.Mutex
	refuse, meetings := false, []Meeting(nil)
	hq.hub.cfg.Meet = func(_ context.Context, m Meeting) error {
		mu.Lock()
		defer mu.Unlock()
		meetings = append(meetings, m)
		if refuse {
			return pki.Refuse(pki.Cloned, "clone: \x1b[31mnot this one")
		}
		return nil
	}
	hq.hub.Reconcile([]LinkConfig{consume(hq, berlin, false)})
	berlin.hub.Reconcile([]LinkConfig{provide(berlin, hq, true, hq.address)})
	until(t, "the value is there", hq.reads("/m/a:interval", "1s good"))
	mu.Lock()
	refuse = true
	if m := meetings[0]; m.Link != "down" || m.Told.Chain.Last().Epoch != berlin.epoch || m.Live || len(m.Known) != 0 {
		t.Errorf("it met %+v", m)
	}
	mu.Unlock()
	berlin.hub.Reconcile([]LinkConfig{off(provide(berlin, hq, true, hq.address))})
	until(t, "it is stale", hq.reads("/m/a:interval", "1s uncertain/stale"))
	berlin.hub.Reconcile([]LinkConfig{provide(berlin, hq, true, hq.address)})
	until(t, "the provider shows why", func() bool {
		s, _ := berlin.hub.Status("up")
		return s.State == StateRefused && strings.Contains(s.Detail, "not this one") && !strings.Contains(s.Detail, "\x1b")
	})
	until(t, "the consumer shows it", func() bool {
		s, _ := hq.hub.Status("down")
		return s.State == StateRefused
	})
	if got := readingOf(hq.node, "/m/a:interval"); got != "1s uncertain/stale" {
		t.Errorf("of a life that is refused the value is %s", got)
	}
	mu.Lock()
	refuse = false
	if m := meetings[len(meetings)-1]; m.Known.Last().Epoch != berlin.epoch || m.Heard == 0 {
		t.Errorf("it met %+v, and knows another", m)
	}
	mu.Unlock()
	until(t, "it comes back", hq.reads("/m/a:interval", "1s good"))
}

// FuzzLife: whatever a provider tells of its lives, reading it neither panics nor takes more than the bounds.
func FuzzLife(f *testing.F) {
	f.Add([]byte{1, 2, 3}, 3, uint8(16))
	f.Fuzz(func(t *testing.T, raw []byte, count int, length uint8) {
		response := &linkv1.MeetResponse{}
		for i := 0; i < min(count, 2000); i++ {
			response.Restores = append(response.Restores, bytes.Repeat(raw[:min(1, len(raw))], int(length)))
		}
		life, err := readLife(response)
		if err == nil && (len(life.Restores) > mostRestores || len(life.Restores) > 0 && len(response.GetRestores()[0]) != len(RestoreID{})) {
			t.Errorf("%d restores were read", len(life.Restores))
		}
	})
}
