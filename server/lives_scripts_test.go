package server

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"banyan/access"
	"banyan/follow"
	"banyan/model"
	"banyan/peering"
	"banyan/pki"
	"banyan/proto"
	"banyan/store"
	"banyan/tree"

	pb "google.golang.org/protobuf/proto"
)

// go test ./server -run TestProvidersThatRollBack -lives.seed N -lives.scripts 1 repeats one script.
var (
	livesSeed    = flag.Uint64("lives.seed", 1, "first seed")
	livesScripts = flag.Int("lives.scripts", 500, "how many scripts are tried")
)

// life is a process of the provider: what it has in memory, of which an image is what it has on disk.
type life struct {
	name     string
	chain    model.Chain
	restores []peering.RestoreID
	tree     *tree.Tree
	marks    *peering.Marks
	puts     map[string]tree.Put
	stones   []tree.Tombstone
	head     uint64
}

// script is a provider that is stopped, started, copied, put back and restored at random, and a consumer that keeps what it is told.
type script struct {
	*testing.T
	rand    *rand.Rand
	hq      *linkedNode
	off     *atomic.Int64
	link    model.Path
	counter uint64
	log     []string

	images  []*life // what can be started
	running []*life

	linked   *life // whose session the consumer has
	known    model.Chain
	heard    model.Time
	restores []peering.RestoreID // of the life that was taken last
	given    map[model.Epoch]bool
	mirror   *peering.Mirror
	tree     *tree.Tree
	rows     map[model.Path]peering.Row

	refused, noted, rewritten int
}

func (s *script) note(format string, args ...any) {
	s.log = append(s.log, fmt.Sprintf(format, args...))
}

func (s *script) fail(format string, args ...any) {
	s.Helper()
	s.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(s.log, "\n"))
}

// Keep is the consumer's disk.
func (s *script) Keep(gone []peering.Gone, rows []peering.Row, _ peering.Place) {
	for _, g := range gone {
		if s.rows[g.Path].ID == g.ID {
			delete(s.rows, g.Path)
		}
	}
	for _, r := range rows {
		s.rows[r.Path] = r
	}
}

func (s *script) Forget() { clear(s.rows) }

var lifeSchema = func() *model.Schema {
	s, err := proto.NewSchema(model.Schema{Kind: "thing", Settings: []model.Setting{{Name: "token", Type: model.TypeString, Right: model.RightConfigure}}})
	if err != nil {
		panic(err)
	}
	return s
}()

var lifeNode = model.NodeID{7}

// begin starts a process from an image.
func (s *script) begin(image *life, restore bool) *life {
	s.counter++
	l := &life{name: fmt.Sprint("life ", s.counter), restores: slices.Clone(image.restores), marks: peering.NewMarks(), puts: maps.Clone(image.puts), stones: image.stones, head: image.head}
	if restore {
		l.restores = append(l.restores, peering.RestoreID{byte(s.counter), byte(s.counter >> 8), 1})
	}
	epoch := model.Epoch{Ordinal: image.chain.Last().Epoch.Ordinal + 1, Random: s.counter}
	l.chain = append(slices.Clone(image.chain), model.Begin{Epoch: epoch, First: image.head + 1})
	l.load()
	s.running = append(s.running, l)
	s.note("%s begins from %s, restored=%v: %v", l.name, image.name, restore, l.chain)
	return l
}

// load makes the tree of what there is.
func (l *life) load() {
	l.tree = tree.New(tree.Config{FirstChange: l.head + 1, RingFor: 1})
	for _, path := range slices.Sorted(maps.Keys(l.puts)) {
		l.tree.Apply([]tree.Put{l.puts[path]}, nil)
	}
	l.tree.Bury(l.stones, 0)
}

// image is what a process has on disk.
func (l *life) image() *life {
	return &life{
		name: l.name + "'s image", chain: l.chain, restores: l.restores, puts: maps.Clone(l.puts), stones: l.tree.ChangesSince(0, 1<<30, nil).Tombstones, head: l.head,
	}
}

// work commits some changes.
func (s *script) work(l *life) {
	for range 1 + s.rand.IntN(4) {
		path := fmt.Sprint("/thing", s.rand.IntN(6))
		s.counter++
		version := model.Version{Epoch: l.chain.Last().Epoch, Number: l.head + 1}
		old, there := l.puts[path]
		if there && s.rand.IntN(3) == 0 {
			removals := []tree.Removal{{Path: old.Path, Version: version}}
			l.tree.Apply(nil, removals)
			delete(l.puts, path)
			l.head = removals[0].Number
			continue
		}
		put := tree.Put{
			ID: model.ContextID{Node: lifeNode, Epoch: version.Epoch, Number: version.Number}, Path: model.MustPath(path), Schema: lifeSchema,
			Settings: []model.Value{model.String(fmt.Sprint("token ", s.counter))}, Version: version,
		}
		if there {
			put.ID = old.ID
		}
		puts := []tree.Put{put}
		l.tree.Apply(puts, nil)
		l.puts[path], l.head = puts[0], puts[0].Number
	}
}

// back makes a process what it was when an image of its memory was taken: a machine that was put back while it ran.
func (s *script) back(l, image *life) {
	l.puts, l.stones, l.head = maps.Clone(image.puts), image.stones, image.head
	l.load()
	if s.linked == l {
		s.cut()
	}
	s.note("%s is put back to change %d while it runs", l.name, l.head)
}

func (s *script) now() model.Time { return model.TimeOf(s.hq.cfg.Now()) }

func (s *script) cut() {
	s.linked = nil
	s.heard = s.now()
}

func (s *script) stop(l *life) {
	s.note("%s is stopped at change %d", l.name, l.head)
	s.images = append(s.images, l.image())
	s.running = slices.DeleteFunc(s.running, func(other *life) bool { return other == l })
	if s.linked == l {
		s.cut()
	}
}

// content is what a tree has below a path, as text.
func content(t *tree.Tree, root model.Path) string {
	var lines []string
	t.Walk(root, nil, func(c *tree.Context) bool {
		below, _ := root.Below(c.Path)
		lines = append(lines, fmt.Sprintf("%s %s %s %v", below, c.ID, c.Version, c.Settings))
		return true
	})
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (s *script) stored() string {
	var lines []string
	for path, r := range s.rows {
		lines = append(lines, fmt.Sprintf("%s %s %s %v", path, r.ID, r.Version, r.Settings))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (s *script) shown(name string) string {
	r, _ := s.hq.Tree().Read(model.Address{Path: s.link, Name: name})
	return r.Sample.Value.Text()
}

// connect lets a process answer the consumer, and holds what becomes of it against what is to become of it.
func (s *script) connect(l *life) {
	before, last := s.stored(), s.known.Last().Epoch
	s.hq.peers.(*links).publishValues(s.context(), map[string]model.Value{variableClone: model.String(""), variableRolledBack: model.String("")})
	m := peering.Meeting{
		Link: s.link.Base(), Address: l.name, Told: peering.Life{Chain: l.chain, Restores: l.restores}, Known: s.known, Heard: s.heard,
		Live: s.linked != nil && s.linked != l,
	}
	err := s.hq.peers.(*links).meet(context.Background(), m)
	s.note("%s answers, live=%v: %v", l.name, m.Live, err)
	givenUp := slices.ContainsFunc(l.chain, func(b model.Begin) bool { return s.given[b.Epoch] })
	onward := last.IsZero() || l.chain.Index(last) >= 0
	if err != nil {
		s.refused++
		reason, refused := pki.RefusalOf(err)
		if !refused || reason != pki.Cloned || !strings.Contains(s.shown(variableClone), l.name) {
			s.fail("%s is refused by %v, and the link says %q", l.name, err, s.shown(variableClone))
		}
		if onward && !givenUp && slices.Equal(l.restores, s.restores) {
			s.fail("%s goes on from what was taken, and is refused: %v", l.name, err)
		}
		if s.stored() != before {
			s.fail("%s is refused, and what is stored is\n%s\nbefore it was\n%s", l.name, s.stored(), before)
		}
		return
	}
	switch {
	case givenUp:
		s.fail("%s is of a life that was given up, and is taken", l.name)
	case m.Live && !onward:
		s.fail("%s forks off from one that is linked, and is taken", l.name)
	case !onward:
		s.noted++
		s.given[last] = true
		if told := s.shown(variableRolledBack); !strings.Contains(told, l.name) || !strings.Contains(told, last.String()) {
			s.fail("%s does not know %s, and the link says %q", l.name, last, told)
		}
	}
	if s.linked != nil && s.linked != l {
		s.cut()
	}
	s.known, s.restores, s.linked = l.chain, l.restores, l
	s.session(l)
	if want := content(l.tree, model.Root); s.stored() != want || content(s.tree, model.MustPath("/m")) != want {
		s.fail("%s has\n%s\nand stored is\n%s\nand in the tree\n%s", l.name, want, s.stored(), content(s.tree, model.MustPath("/m")))
	}
}

// session lets everything cross that there is.
func (s *script) session(l *life) {
	selection, err := access.NewSelection(access.Export{Name: "all", Paths: []model.Pattern{model.MustPattern("/**")}, Right: model.RightView}, access.Areas{})
	if err != nil {
		s.Fatal(err)
	}
	c := peering.NewConsumer(s.mirror, "link", []byte("0123456789abcdef"), time.Second)
	p := peering.NewProvider(peering.ProviderConfig{
		Tree: l.tree, View: follow.NewView(l.tree, model.Root, follow.Export(selection)), Node: lifeNode, Name: "berlin", Epoch: l.chain.Last().Epoch, Chain: l.chain,
		Beat: time.Second, Marks: l.marks,
	})
	defer p.Close()
	defer c.Cut()
	for now, rounds := s.now(), 0; rounds < 4; now += model.Time(time.Second) {
		p.Tick(now)
		c.Tick(now)
		rounds++
		for moved := true; moved; {
			moved = false
			for frame, some := c.Next(); some; frame, some = c.Next() {
				moved = true
				if err := p.Receive(frame, now); err != nil {
					s.fail("%s: %v", l.name, err)
				}
			}
			for out, some := p.Next(now); some; out, some = p.Next(now) {
				moved = true
				raw := out.Encoded()
				if out.Frame != nil {
					raw, _ = pb.Marshal(out.Frame)
				}
				if err := c.ReceiveRaw(&proto.RawFrame{Bytes: raw}, now); err != nil {
					s.fail("%s: %v", l.name, err)
				}
			}
		}
	}
}

func (s *script) context() *tree.Context {
	c, there := s.hq.Tree().Lookup(s.link)
	if !there {
		s.fail("the link is gone")
	}
	return &c
}

// step does one thing that happens to machines.
func (s *script) step() {
	if len(s.running) == 0 {
		s.begin(s.images[len(s.images)-1-min(s.rand.IntN(3), len(s.images)-1)], s.rand.IntN(4) == 0)
	}
	l := s.running[s.rand.IntN(len(s.running))]
	switch kind := s.rand.IntN(20); {
	case kind < 5:
		s.work(l)
	case kind < 9:
		s.connect(l)
	case kind < 12:
		s.stop(l)
	case kind < 13: // a copy of a directory that is in use
		s.images = append(s.images, l.image())
		s.note("%s is copied at change %d", l.name, l.head)
	case kind < 16 && len(s.running) < 3: // put back, cloned, or simply started
		s.begin(s.images[s.rand.IntN(len(s.images))], s.rand.IntN(4) == 0)
	case kind < 17:
		image := l.image()
		s.work(l)
		s.connect(l)
		s.back(l, image)
		s.rewritten++
		s.connect(l)
	default:
		s.off.Add(int64(time.Duration(s.rand.IntN(120)) * time.Second))
	}
}

// TestProvidersThatRollBack: a provider that was put back to an earlier copy, copied, restored, or goes on from there with the numbers that it gave before is
// noticed at both ends; whoever is refused changes nothing of what is stored, and who is taken is mirrored exactly.
func TestProvidersThatRollBack(t *testing.T) {
	scripts := *livesScripts
	hq := makeNode(t, "hq")
	hq.stop()
	var off atomic.Int64
	hq = clocked(t, hq.dir, "hq", &off)
	hq.call("/links", functionInvite, textArgument("name", "berlin"), textArgument("role", "consumer"), textArgument("mount", "/berlin"))
	refused, noted, rewritten := 0, 0, 0
	for seed := *livesSeed; seed < *livesSeed+uint64(scripts); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := &script{
				T: t, rand: rand.New(rand.NewPCG(seed, 9)), hq: hq, off: &off, link: model.MustPath("/links/berlin"), given: make(map[model.Epoch]bool),
				tree: tree.New(tree.Config{FirstChange: 1, RingFor: 1}), rows: make(map[model.Path]peering.Row),
			}
			s.mirror = peering.NewMirror(peering.MirrorConfig{
				Tree: s.tree, Mount: model.MustPath("/m"), Self: tree.Hop{Node: model.NodeID{1}, Name: "hq"}, Peer: tree.Hop{Node: lifeNode, Name: "berlin"}, Keeper: s,
			}, nil, peering.Place{})
			if _, err := hq.commits.Do(t.Context(), store.Commit{Changes: []store.Change{store.Set{Target: target(s.context()), Settings: []store.Setting{
				{Name: settingPeer, Value: model.String(lifeNode.String())}, {Name: settingPeerName, Value: model.String("berlin")},
				{Name: settingPeerRestores}, {Name: settingPeerLeft}, {Name: settingPeerEpoch},
			}}}}); err != nil {
				t.Fatal(err)
			}
			s.begin(&life{name: "nothing", puts: map[string]tree.Put{}, head: 0}, false)
			s.work(s.running[0])
			s.connect(s.running[0])
			s.images = append(s.images, s.running[0].image())
			for range 40 {
				s.step()
			}
			refused, noted, rewritten = refused+s.refused, noted+s.noted, rewritten+s.rewritten
		})
	}
	t.Logf("%d scripts from seed %d: %d times a life was refused, %d times an older one was taken and named, %d times numbers were given again",
		scripts, *livesSeed, refused, noted, rewritten)
	if scripts >= 50 && min(refused, noted, rewritten) < scripts/4 {
		t.Error("the scripts hardly roll anything back")
	}
}
