package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"banyan/model"
	"banyan/pki"
	"banyan/proto"
	"banyan/store"
)

// fixture is the directory of a node with a few contexts, and what opens its backups.
type fixture struct {
	Source
	t     testing.TB
	store *store.Store
	key   Key
}

// canary stands in the fixture where nobody may read it in a backup.
const canary = "canary-7f3a"

func newFixture(t testing.TB, name string) *fixture {
	t.Helper()
	f := &fixture{t: t}
	var err error
	if f.key, err = NewKey(); err != nil {
		t.Fatal(err)
	}
	f.Source = Source{
		Name: name, Dir: t.TempDir(), Program: "test", Recipient: f.key.Recipient(), Now: func() model.Time { return model.TimeOf(time.Now()) },
		Config: []byte("# " + canary + "\nname: " + name + "\ndata: /somewhere/else\nlisteners:\n  api: 10.0.0.1:8443\n  links: 10.0.0.1:7443\n"),
		Copy:   func(ctx context.Context, file string) error { return f.store.CopyTo(ctx, file) },
	}
	authority, err := pki.Create(f.Dir, name, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	f.Node = authority.ID()
	if _, err := pki.CreateSealer(f.Dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(f.Dir, profileDir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.Dir, profileDir, "meter.yaml"), []byte("name: "+canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f.store, err = store.Open(t.Context(), store.Config{Dir: f.Dir, Node: f.Node, Name: name}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.store.Close() })
	f.fill(50)
	return f
}

// fill creates contexts.
func (f *fixture) fill(contexts int) {
	f.t.Helper()
	schema, err := proto.NewSchema(model.Schema{Kind: "device", Settings: []model.Setting{{Name: "note", Type: model.TypeString}}})
	if err != nil {
		f.t.Fatal(err)
	}
	c := store.Commit{Class: store.ClassSettings, Changes: []store.Change{store.PutSchema{Schema: schema}}}
	for i := range contexts {
		c.Changes = append(c.Changes, store.Create{
			ID: f.store.NewID(), Path: model.MustPath(fmt.Sprintf("/d%d", i)), Schema: schema.Hash,
			Settings: []store.Setting{{Name: "note", Value: model.String(fmt.Sprint(canary, rand.Uint64()))}},
		})
	}
	tx, err := f.store.Begin()
	if err != nil {
		f.t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Apply(&c); err != nil {
		f.t.Fatal(err)
	}
	if _, err := tx.Commit(f.store.FirstChange()); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) make() (string, Header) {
	f.t.Helper()
	file := filepath.Join(f.t.TempDir(), "berlin.banyan")
	m, err := Make(f.t.Context(), f.Source, file, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return file, m.Header
}

func (f *fixture) restore(file, dir string) (Restored, error) {
	return Restore(f.t.Context(), file, Restoring{Dir: dir, Key: f.key, API: "127.0.0.1:1", Now: f.Now})
}

func kindIs(t testing.TB, what string, err error, want model.ErrorKind) {
	t.Helper()
	if model.KindOf(err) != want || err == nil {
		t.Errorf("%s: %v, want the kind %s", what, err, want)
	}
}

// left is what stands in a directory.
func left(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestRoundTrip: what is backed up comes back; nothing of it can be read without the key; nothing is left beside.
func TestRoundTrip(t *testing.T) {
	f := newFixture(t, "berlin")
	var told []Progress
	file := filepath.Join(t.TempDir(), "berlin.banyan")
	made, err := Make(t.Context(), f.Source, file, func(p Progress) { told = append(told, p) })
	if err != nil {
		t.Fatal(err)
	}
	h := made.Header
	if h.Node != f.Node || h.Name != "berlin" || h.Contexts != 50 || h.Revision.Epoch != f.store.Epoch() || h.Recipient != f.key.Recipient() {
		t.Errorf("the header is %+v", h)
	}
	if last := told[len(told)-1]; last.Doing != "verifying" || last.Done != h.Bytes || last.Total != h.Bytes {
		t.Errorf("at the end it told %+v of %d bytes", last, h.Bytes)
	}
	if names := left(t, filepath.Dir(file)); len(names) != 1 {
		t.Errorf("beside the backup there is %v", names)
	}
	if leftover, _ := filepath.Glob(filepath.Join(f.Dir, ScratchPrefix+"*")); len(leftover) > 0 {
		t.Errorf("in the node's directory there is %v", leftover)
	}
	sealed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{canary, "PRIVATE KEY", "SQLite format", "10.0.0.1", "meter"} {
		if bytes.Contains(sealed, []byte(secret)) {
			t.Errorf("%q can be read in the backup", secret)
		}
	}
	m, err := Verify(t.Context(), file, f.key, t.TempDir(), nil)
	if err != nil || m.Header != h || len(m.Parts) != 5 {
		t.Fatalf("verified: %+v, %v", m, err)
	}
	dir := filepath.Join(t.TempDir(), "new", "node")
	done, err := f.restore(file, dir)
	if err != nil {
		t.Fatal(err)
	}
	if config, _ := os.ReadFile(done.Config); !strings.Contains(string(config), `data: "."`) || !strings.Contains(string(config), `api: "127.0.0.1:1"`) ||
		!strings.Contains(string(config), "links: 10.0.0.1:7443") || !strings.Contains(string(config), "# "+canary) {
		t.Errorf("the configuration is\n%s", config)
	}
	for _, name := range []string{partRoot, partSecret, profileDir + "/meter.yaml"} {
		was, err1 := os.ReadFile(filepath.Join(f.Dir, name))
		is, err2 := os.ReadFile(filepath.Join(dir, name))
		if err := errors.Join(err1, err2); err != nil || !bytes.Equal(was, is) {
			t.Errorf("%s differs, %v", name, err)
		}
	}
	again, err := store.Open(t.Context(), store.Config{Dir: dir, Node: f.Node, Name: "berlin"})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if own, err := again.Own(t.Context()); err != nil || len(own) != 50 {
		t.Errorf("restored %d contexts, %v", len(own), err)
	}
	if r, just := again.JustRestored(); !just || r.ID != done.Restore.ID || r.Backup != h.Made {
		t.Errorf("the store says of its restore %+v %v", r, just)
	}
	if was, is := f.store.Epoch(), again.Epoch(); is.Ordinal != was.Ordinal+1 || !again.RevisionChain().Holds(h.Revision) {
		t.Errorf("epoch %s follows %s", is, was)
	}
	if names := left(t, filepath.Dir(dir)); len(names) != 1 {
		t.Errorf("beside the node there is %v", names)
	}
}

// TestDamage: whatever bit is flipped and wherever it is cut, nothing is restored, nothing is left, and the text says what it is.
func TestDamage(t *testing.T) {
	f := newFixture(t, "berlin")
	file, _ := f.make()
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	parent := t.TempDir()
	try := func(what string, content []byte) error {
		t.Helper()
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := f.restore(file, filepath.Join(parent, "node"))
		if err == nil {
			t.Fatalf("%s: restored", what)
		}
		if names := left(t, parent); len(names) > 0 {
			t.Fatalf("%s: left %v", what, names)
		}
		return err
	}
	line := bytes.IndexByte(whole, '\n') + 1
	at := []int{0, 1, len(magic), line - 1, line, line + 30, len(whole) - 1}
	for range 60 {
		at = append(at, random.IntN(len(whole)))
	}
	for _, i := range at {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 1 << random.IntN(8)
		err := try(fmt.Sprintf("a bit of byte %d", i), damaged)
		if i > line+300 && model.KindOf(err) != model.KindCorrupt {
			t.Errorf("a bit of byte %d: %v", i, err)
		}
		if err := try(fmt.Sprintf("cut at %d", i), whole[:i]); i > line && model.KindOf(err) != model.KindCorrupt {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	kindIs(t, "something follows", try("something follows", append(bytes.Clone(whole), 0)), model.KindCorrupt)
	kindIs(t, "a newer form", try("a newer form", bytes.Replace(whole, []byte(magic+"1 "), []byte(magic+"2 "), 1)), model.KindUnsupported)
	kindIs(t, "another file", try("another file", []byte("PK\x03\x04 something else\n")), model.KindInvalid)
	err = try("another header", bytes.Replace(whole, []byte(`"name":"berlin"`), []byte(`"name":"munich"`), 1))
	if kindIs(t, "another header", err, model.KindCorrupt); !strings.Contains(err.Error(), "header was changed") {
		t.Errorf("another header: %v", err)
	}
}

// TestWrongKeys: a key of somebody else, a recipient in place of a key, and a backup that was sealed by somebody who does not have the node's root.
func TestWrongKeys(t *testing.T) {
	f, other := newFixture(t, "berlin"), newFixture(t, "munich")
	file, _ := f.make()
	dir := filepath.Join(t.TempDir(), "node")
	f.key, other.key = other.key, f.key
	_, err := f.restore(file, dir)
	if kindIs(t, "another key", err, model.KindDenied); !strings.Contains(err.Error(), "age1") {
		t.Errorf("the recipients are not named: %v", err)
	}
	for text, want := range map[string]string{
		"": "empty", f.key.Recipient(): "the recipient", "hunter2": "begins with", f.key.Reveal()[:40]: "cut off", f.key.Reveal() + "\n" + other.key.Reveal(): "more than one",
	} {
		if _, err := ParseKey(text); err == nil || !strings.Contains(err.Error(), want) || len(text) > 20 && strings.Contains(err.Error(), text[18:]) {
			t.Errorf("key %.20q: %v", text, err)
		}
	}
	if k, err := ParseKey("# created: today\n# public key: age1\n" + strings.ToLower(f.key.Reveal()) + "\n"); err != nil || k.Recipient() != f.key.Recipient() {
		t.Errorf("a file with comments: %v", err)
	}
	if shown := fmt.Sprintf("%v %+v %#v %s %d", f.key, f.key, struct{ k Key }{f.key}, &f.key, f.key); strings.Contains(shown, "AGE-SECRET") {
		t.Error("a key can be printed")
	}
	// Who knows the recipient can seal something to it, but has no root of that node.
	forged := other.Source
	forged.Node, forged.Recipient = f.Node, other.key.Recipient()
	if _, err := Make(t.Context(), forged, filepath.Join(t.TempDir(), "forged"), nil); model.KindOf(err) != model.KindCorrupt {
		t.Errorf("a backup of another node's database: %v", err)
	}
}

// TestRestoreRefusals: nothing is restored over something.
func TestRestoreRefusals(t *testing.T) {
	f := newFixture(t, "berlin")
	file, _ := f.make()
	_, err := f.restore(file, f.Dir)
	if kindIs(t, "over a node", err, model.KindExists); !strings.Contains(err.Error(), "a node is there already") {
		t.Error(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = f.restore(file, dir)
	kindIs(t, "over something", err, model.KindExists)
	if names := left(t, dir); len(names) != 1 {
		t.Errorf("there is %v", names)
	}
	empty := t.TempDir()
	if _, err := f.restore(file, empty); err != nil {
		t.Fatal(err)
	}
	if names := strings.Join(left(t, empty), " "); names != "ca.pem node.db node.yaml profiles recovery.pub root.pem secret.key" {
		t.Errorf("in a directory that was there: %s", names)
	}
	if _, err := f.restore(filepath.Join(dir, "absent"), filepath.Join(dir, "node")); model.KindOf(err) != model.KindNotFound {
		t.Errorf("no backup: %v", err)
	}
}

// TestNoRoom: on a full disk neither a backup nor a restore leaves anything, and both say what it is.
func TestNoRoom(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("a small file system needs root")
	}
	f := newFixture(t, "berlin")
	f.fill2(4000)
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(small, 0) })
	_, err := Make(t.Context(), f.Source, filepath.Join(small, "berlin.banyan"), nil)
	if kindIs(t, "no room for the backup", err, model.KindExhausted); !strings.Contains(err.Error(), "no room") {
		t.Error(err)
	}
	if names := left(t, small); len(names) > 0 {
		t.Errorf("left %v", names)
	}
	file, _ := f.make()
	_, err = f.restore(file, filepath.Join(small, "node"))
	kindIs(t, "no room for the node", err, model.KindExhausted)
	if names := left(t, small); len(names) > 0 {
		t.Errorf("left %v", names)
	}
	f.Source.Dir = small // where the copy is made
	_, err = Make(t.Context(), f.Source, filepath.Join(t.TempDir(), "berlin.banyan"), nil)
	kindIs(t, "no room for the copy", err, model.KindExhausted)
	if names := left(t, small); len(names) > 0 {
		t.Errorf("left %v", names)
	}
}

// fill2 makes the database larger than a small disk.
func (f *fixture) fill2(contexts int) {
	f.t.Helper()
	schema, err := proto.NewSchema(model.Schema{Kind: "large", Settings: []model.Setting{{Name: "note", Type: model.TypeBytes}}})
	if err != nil {
		f.t.Fatal(err)
	}
	c := store.Commit{Class: store.ClassSettings, Changes: []store.Change{store.PutSchema{Schema: schema}}}
	for i := range contexts {
		note := make([]byte, 256)
		for j := range note {
			note[j] = byte(rand.Uint32())
		}
		c.Changes = append(c.Changes, store.Create{
			ID: f.store.NewID(), Path: model.MustPath(fmt.Sprintf("/l%d", i)), Schema: schema.Hash,
			Settings: []store.Setting{{Name: "note", Value: model.Bytes(note)}},
		})
	}
	tx, err := f.store.Begin()
	if err != nil {
		f.t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Apply(&c); err != nil {
		f.t.Fatal(err)
	}
	if _, err := tx.Commit(10_000); err != nil {
		f.t.Fatal(err)
	}
}

// TestCutOff: a backup that is ended in the middle leaves nothing under the name, and what was there before stays.
func TestCutOff(t *testing.T) {
	f := newFixture(t, "berlin")
	file, _ := f.make()
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, doing := range []string{"copying", "checking", "sealing", "verifying"} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Make(ctx, f.Source, file, func(p Progress) {
			if p.Doing == doing {
				cancel()
			}
		})
		cancel()
		kindIs(t, "ended while "+doing, err, model.KindCanceled)
		if names := left(t, filepath.Dir(file)); len(names) != 1 {
			t.Errorf("ended while %s: left %v", doing, names)
		}
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the backup that was there is another one, %v", err)
	}
	if leftover, _ := filepath.Glob(filepath.Join(f.Dir, ScratchPrefix+"*")); len(leftover) > 0 {
		t.Errorf("in the node's directory there is %v", leftover)
	}
	parent := t.TempDir()
	for _, doing := range []string{"checking", "writing"} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Restore(ctx, file, Restoring{Dir: filepath.Join(parent, "node"), Key: f.key, Now: f.Now, Tell: func(p Progress) {
			if p.Doing == doing {
				cancel()
			}
		}})
		cancel()
		kindIs(t, "a restore ended while "+doing, err, model.KindCanceled)
		if names := left(t, parent); len(names) > 0 {
			t.Errorf("a restore ended while %s left %v", doing, names)
		}
	}
}

// TestChallenge: only the key answers, for the node that asked and the one that was asked; a key opens nothing else as a challenge.
func TestChallenge(t *testing.T) {
	key, _ := NewKey()
	stranger, _ := NewKey()
	hq, berlin, thief := model.NodeID{1}, model.NodeID{2}, model.NodeID{3}
	c, err := NewChallenge(key.Recipient(), hq, berlin)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := key.Answer(c.Sealed, hq, berlin)
	if err != nil || !c.Matches(answer) {
		t.Errorf("the key's answer does not match, %v", err)
	}
	if other, err := key.Answer(c.Sealed, hq, thief); err != nil || c.Matches(other) {
		t.Error("an answer can be handed on")
	}
	if _, err := stranger.Answer(c.Sealed, hq, berlin); model.KindOf(err) != model.KindDenied {
		t.Errorf("another key answers: %v", err)
	}
	sealed, err := sealBytes(key.Recipient(), []byte("a backup's own secret"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := key.Answer(sealed, hq, berlin); model.KindOf(err) != model.KindCorrupt {
		t.Errorf("something else is opened as a challenge: %v", err)
	}
	if (Challenge{}).Matches(nil) || c.Matches(nil) {
		t.Error("nothing is an answer")
	}
}

// TestShelf: what comes is kept whole, goes on where it stopped, the newest two stay, and nothing of another node is taken.
func TestShelf(t *testing.T) {
	f, other := newFixture(t, "berlin"), newFixture(t, "munich")
	shelf := NewShelf(t.TempDir(), 2)
	put := func(node model.NodeID, content []byte, most int64) error {
		i, err := shelf.Take(node, Offer{int64(len(content)), sumOf(content)}, most)
		if err != nil {
			return err
		}
		half := (int64(len(content)) + i.Offset()) / 2
		if _, err := i.Write(content[i.Offset():half]); err != nil {
			return err
		}
		i.Stop()
		if i, err = shelf.Take(node, Offer{int64(len(content)), sumOf(content)}, most); err != nil {
			return err
		}
		if i.Offset() != half {
			t.Errorf("it goes on at %d, stopped at %d", i.Offset(), half)
		}
		if _, err := shelf.Take(node, Offer{1, Sum{1}}, 10); model.KindOf(err) != model.KindConflict {
			t.Errorf("two at once: %v", err)
		}
		if _, err := i.Write(content[half:]); err != nil {
			return err
		}
		_, err = i.Finish()
		return err
	}
	var last []byte
	for range 3 {
		file, _ := f.make()
		var err error
		if last, err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
		if err := put(f.Node, last, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	kept, there := shelf.Newest(f.Node)
	if names := left(t, filepath.Join(shelf.dir, f.Node.String())); !there || len(names) != 2 || kept.Sum != sumOf(last) || kept.Name != "berlin" || kept.Came == 0 {
		t.Errorf("kept %+v of %v", kept, names)
	}
	kindIs(t, "too large", put(f.Node, last, int64(len(last))-1), model.KindExhausted)
	kindIs(t, "of another node", put(other.Node, last, 1<<20), model.KindDenied)
	kindIs(t, "no backup", put(other.Node, []byte("something else"), 1<<20), model.KindInvalid)
	if _, there := shelf.Newest(other.Node); there {
		t.Error("something was kept for munich")
	}
	i, err := shelf.Take(other.Node, Offer{4, Sum{1}}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Write([]byte("12345")); err == nil {
		t.Error("more than was offered is taken")
	}
	_, _ = i.Write([]byte("1234"))
	_, err = i.Finish()
	kindIs(t, "altered on the way", err, model.KindCorrupt)
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() { shelf.Newest(f.Node) })
	}
	work.Wait()
}

func sumOf(content []byte) Sum {
	o := origin{bytes: content}
	p, _ := o.measure(context.Background())
	return p.Sum
}
