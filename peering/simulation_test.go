package peering

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/follow"
	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/tree"

	pb "google.golang.org/protobuf/proto"
)

// The simulation runs a few nodes with their links in one goroutine: every frame is delivered by itself, urgent and bulk frames independently, and
// between any two of them anything may happen that the state machines must bear. At the end everything heals, and each consumer must have exactly
// what its provider shows. go test -run Simulation -sim.seed N -sim.runs 1 -v repeats one run.
var (
	simSeed = flag.Uint64("sim.seed", 0, "first seed; 0 takes the fixed ones")
	simRuns = flag.Int("sim.runs", 12, "how many seeds of each network are run")
)

const canary = "canary"

// shownPart hides contexts, kinds and entries whose name has the canary in it, and what below it is not wanted.
type shownPart struct {
	key  string
	only string // segment prefix of what is shown besides, all where empty
}

func (s shownPart) Key() string { return "part " + s.key + s.only }

func (s shownPart) Selects(path model.Path, kind string) bool {
	if strings.Contains(path.String(), canary) || strings.Contains(kind, canary) {
		return false
	}
	return s.only == "" || !strings.HasPrefix(path.Base(), "x")
}

func (s shownPart) Schema(full *model.Schema) (*model.Schema, error) {
	return proto.DeriveSchema(full, func(_ model.EntrySort, entry string) bool {
		return !strings.Contains(entry, canary) && (s.only == "" || entry != "text")
	})
}

var simSchemas = func() []*model.Schema {
	make := func(kind string, variables ...model.Variable) *model.Schema {
		s, err := proto.NewSchema(model.Schema{
			Kind: kind,
			Settings: []model.Setting{
				{Name: "canary_secret", Type: model.TypeString, Secret: true, Right: model.RightConfigure},
				{Name: "interval", Type: model.TypeDuration, Default: model.Duration(time.Second), Right: model.RightConfigure},
				{Name: "peer", Type: model.TypeRef, Right: model.RightConfigure},
			},
			Variables: variables,
		})
		if err != nil {
			panic(err)
		}
		return s
	}
	load, text := model.Variable{Name: "load", Type: model.TypeInt64}, model.Variable{Name: "text", Type: model.TypeString}
	ref, hidden := model.Variable{Name: "target", Type: model.TypeRef}, model.Variable{Name: "canary_var", Type: model.TypeString}
	return []*model.Schema{
		make("probe", load, text),
		make("probe", hidden, load, ref, text),
		make("probe", text, load, model.Variable{Name: "more", Type: model.TypeInt64}),
		make("canary_kind", load, text),
	}
}()

// simNode is a node: what it owns, what it mounts, and what outlives a restart.
type simNode struct {
	*node
	sim   *sim
	off   model.Time // how far its clock is off
	links []*simLink // of which it is the consumer
	views map[string]*follow.View

	reader *tree.Reader
	seen   map[string]model.Time // newest source time by path, ID and variable
	states []*simState
}

// simState is what a restart begins from.
type simState struct {
	chain  model.Chain
	head   uint64
	own    []tree.Put
	stones []tree.Tombstone
	kept   []simKept
}

// simKept is a mirror as its keeper has it on disk.
type simKept struct {
	rows map[model.Path]Row
	at   Place
	lost uint64 // least local number that is not in rows; 0 for none
}

// simKeeper writes batches behind: the newest ones get lost in a restart.
type simKeeper struct{ batches []simBatch }

type simBatch struct {
	gone []Gone
	rows []Row
	at   Place
}

func (k *simKeeper) Forget() { k.batches = nil }

func (k *simKeeper) Keep(gone []Gone, rows []Row, at Place) {
	k.batches = append(k.batches, simBatch{gone, rows, at})
}

// simLink is a link with the session that runs over it, if any.
type simLink struct {
	sim                *sim
	consumer, provider *simNode
	mount, root        model.Path
	selection          shownPart
	keeper             *simKeeper
	kept               simKept
	mirror             *Mirror

	p            *Provider
	c            *Consumer
	up           [][]byte
	urgent, bulk []Out
	waiting      *Out // for the bulk stream
	wanted       bool // the consumer was asked for the bulk stream
	deaf         bool // its bulk connection never comes
	owed         map[string]model.Time
	definitions  int
	removals     int
	paces        []follow.InterestRule
	marks        *Marks
	marked       model.Epoch
}

type sim struct {
	t       *testing.T
	rand    *rand.Rand
	now     model.Time
	counter int64
	nodes   []*simNode
	links   []*simLink
	large   bool
	log     []string
}

func (s *sim) note(format string, args ...any) {
	if len(s.log) > 4000 {
		s.log = s.log[1000:]
	}
	s.log = append(s.log, fmt.Sprintf(format, args...))
}

func (s *sim) fail(format string, args ...any) {
	s.t.Helper()
	tail := s.log[max(0, len(s.log)-60):]
	s.t.Fatalf("%s\nlast steps:\n%s", fmt.Sprintf(format, args...), strings.Join(tail, "\n"))
}

func (s *sim) addNode(name string) *simNode {
	n := &simNode{node: &node{hop: tree.Hop{Name: name}}, sim: s, seen: make(map[string]model.Time)}
	copy(n.hop.Node[:], name)
	n.begin(nil, 1, 1)
	s.nodes = append(s.nodes, n)
	return n
}

func (s *sim) addLink(consumer, provider *simNode, mount, root string) *simLink {
	l := &simLink{sim: s, consumer: consumer, provider: provider, mount: model.MustPath(mount), root: model.MustPath(root), keeper: &simKeeper{}}
	l.kept.rows = make(map[model.Path]Row)
	l.newMirror(nil, Place{})
	consumer.links = append(consumer.links, l)
	s.links = append(s.links, l)
	return l
}

func (l *simLink) newMirror(rows []Row, at Place) {
	l.mirror = NewMirror(MirrorConfig{Tree: l.consumer.tree, Mount: l.mount, Self: l.consumer.hop, Peer: l.provider.hop, Keeper: l.keeper}, rows, at)
	l.mirror.Want(l.paces)
}

// begin begins an epoch of a node with an empty tree.
func (n *simNode) begin(chain model.Chain, first, next uint64) {
	n.sim.counter++
	n.epoch = model.Epoch{Ordinal: chain.Last().Epoch.Ordinal + 1, Random: uint64(n.sim.counter)}
	n.chain = append(slices.Clone(chain), model.Begin{Epoch: n.epoch, First: first})
	n.tree = tree.New(tree.Config{FirstChange: next, RingFor: 1, Tombstones: 60, Now: func() time.Time { return n.clock().Std() }})
	n.views = make(map[string]*follow.View)
	if n.reader != nil {
		n.reader.Close()
	}
	n.reader = n.tree.NewReader()
}

// clock is what the node's clock shows.
func (n *simNode) clock() model.Time { return n.sim.now + n.off }

// view is the one view of equal content that a node has as long as it lives.
func (l *simLink) view() *follow.View {
	n := l.provider
	v := follow.NewView(n.tree, l.root, l.selection)
	key := fmt.Sprint(v.ID)
	if n.views[key] == nil {
		n.views[key] = v
	}
	return n.views[key]
}

// save remembers a state as it is on disk now, with the newest batches of the mirrors lost.
func (n *simNode) save() *simState {
	s := &simState{chain: n.chain, head: n.tree.ChangeHead()}
	first := s.head + 1
	unburied := make(map[uint64]bool)
	for _, l := range n.links {
		keep := len(l.keeper.batches)
		if n.sim.rand.IntN(2) == 0 {
			keep -= min(keep, n.sim.rand.IntN(4))
		}
		l.kept.take(l.keeper.batches[:keep])
		l.keeper.batches = l.keeper.batches[keep:]
		kept := simKept{maps.Clone(l.kept.rows), l.kept.at, 0}
		for _, b := range l.keeper.batches {
			for _, r := range b.rows {
				first = min(first, r.Local)
			}
			for _, g := range b.gone {
				first = min(first, max(1, g.Local))
				unburied[g.Local] = true
			}
		}
		s.kept = append(s.kept, kept)
	}
	d := n.tree.ChangesSince(0, 1<<30, nil)
	for _, c := range d.Contexts {
		if len(c.Route) == 0 {
			s.own = append(s.own, tree.Put{ID: c.ID, Path: c.Path, Label: c.Label, Schema: c.Schema, Settings: c.Settings, Version: c.Version, Number: c.Change})
		}
	}
	for _, stone := range d.Tombstones {
		if !unburied[stone.Change] {
			s.stones = append(s.stones, stone)
		}
	}
	s.own = slices.Clip(s.own)
	if d.Horizon > 0 {
		s.stones = append(s.stones, tree.Tombstone{Change: 0}) // stands for the horizon
		s.stones[len(s.stones)-1].Version.Number = d.Horizon
	}
	s.lostFrom(first)
	return s
}

// lostFrom notes the first number that the next epoch must count as its own.
func (s *simState) lostFrom(first uint64) {
	if len(s.kept) > 0 {
		s.kept[0].lost = first
	}
}

func (k *simKept) take(batches []simBatch) {
	for _, b := range batches {
		for _, g := range b.gone {
			if r, there := k.rows[g.Path]; there && r.ID == g.ID {
				delete(k.rows, g.Path)
			}
		}
		for _, r := range b.rows {
			k.rows[r.Path] = r
		}
		k.at = b.at
	}
}

// restart begins an epoch from a state, after all sessions were cut.
func (n *simNode) restart(from *simState) {
	for _, l := range n.sim.links {
		if l.consumer == n || l.provider == n {
			l.cut()
		}
	}
	n.drain()
	first := from.head + 1
	if len(from.kept) > 0 && from.kept[0].lost != 0 {
		first = max(from.chain.Last().First, min(first, from.kept[0].lost))
	}
	n.begin(from.chain, first, from.head+1)
	for _, stone := range from.stones {
		if stone.Change == 0 {
			n.tree.Bury(nil, stone.Version.Number)
			continue
		}
		n.tree.Bury([]tree.Tombstone{stone}, 0)
	}
	n.tree.Apply(slices.Clone(from.own), nil)
	for i, l := range n.links {
		kept := from.kept[i]
		l.keeper.batches, l.kept = nil, simKept{maps.Clone(kept.rows), kept.at, 0}
		var rows []Row
		for _, r := range kept.rows {
			path, _ := l.mount.Join(r.Path)
			n.tree.Apply([]tree.Put{{ID: r.ID, Path: path, Label: r.Label, Schema: r.Schema, Settings: r.Settings, Version: r.Version, Route: r.Route, Number: r.Local}}, nil)
			rows = append(rows, r)
		}
		at := kept.at
		at.Epoch = at.Chain.Last().Epoch
		if len(rows) == 0 {
			at = Place{Heard: at.Heard}
		}
		l.newMirror(rows, at)
	}
}

// join begins a session.
func (l *simLink) join() {
	if l.c != nil {
		return
	}
	l.sim.note("%s joins %s from %d %d in %v; %v at %d, horizon %d", l.consumer.hop.Name, l.provider.hop.Name, l.mirror.place.Changes, l.mirror.place.Samples, l.mirror.place.Chain, l.provider.chain, l.provider.tree.ChangeHead(), l.provider.tree.Horizon())
	p := l.provider
	l.c = NewConsumer(l.mirror, "link", []byte("0123456789abcdef"), testBeat)
	l.p = NewProvider(ProviderConfig{Tree: p.tree, View: l.view(), Node: p.hop.Node, Name: p.hop.Name, Epoch: p.epoch, Chain: p.chain, Beat: testBeat, Clock: p.clock, Marks: l.marksNow()})
	l.c.beats.clock = l.consumer.clock
	l.deaf = l.sim.rand.IntN(4) == 0
	l.owed, l.definitions, l.removals = nil, 0, 0
}

// marksNow are the numbers of the provider's process, which forgets them now and then.
func (l *simLink) marksNow() *Marks {
	if l.marks == nil || l.marked != l.provider.epoch || l.sim.rand.IntN(8) == 0 {
		l.marks, l.marked = NewMarks(), l.provider.epoch
	}
	return l.marks
}

// want has the consumer ask for other paces.
func (l *simLink) want(rules []follow.InterestRule) {
	l.paces = rules
	l.mirror.Want(rules)
}

// somePaces are interests, most of them of what is there.
func (s *sim) somePaces() []follow.InterestRule {
	paces := []follow.Pace{{}, follow.Never, {Interval: time.Second}, {Interval: 20 * time.Second}, {Deadband: 50}, {Interval: 3 * time.Second, Deadband: 50}}
	patterns := []string{"/**", "/own/**", "/a0/**", "/*/*", "/own/b1", "/berlin/**", "/north/berlin/**"}
	var rules []follow.InterestRule
	for range s.rand.IntN(4) {
		rules = append(rules, follow.InterestRule{
			Pattern: model.MustPattern(patterns[s.rand.IntN(len(patterns))]), Pace: paces[s.rand.IntN(len(paces))],
		})
	}
	return rules
}

// cut ends the session: what is on its way is lost.
func (l *simLink) cut() {
	if l.c == nil {
		return
	}
	l.sim.note("%s is cut from %s", l.consumer.hop.Name, l.provider.hop.Name)
	l.p.Close()
	l.p, l.c, l.up, l.urgent, l.bulk, l.waiting, l.wanted = nil, nil, nil, nil, nil, nil, false
	l.mirror.cutNow()
}

// steps that a session can take; each says whether it did something.
func (l *simLink) step(kind int) bool {
	if l.c == nil {
		return false
	}
	switch kind {
	case 0:
		frame, some := l.c.Next()
		if some {
			raw, _ := pb.Marshal(frame)
			l.up = append(l.up, raw)
		}
		return some
	case 1:
		return l.deliverUp()
	case 2:
		return l.produce()
	case 3:
		return l.deliver(&l.urgent)
	case 4:
		return l.deliver(&l.bulk)
	default:
		if l.waiting == nil || l.deaf || !l.wanted || len(l.bulk) > 3 {
			return false
		}
		l.bulk = append(l.bulk, *l.waiting)
		l.waiting = nil
		l.p.HoldBulk(false, l.sim.now)
		return true
	}
}

func (l *simLink) deliverUp() bool {
	if len(l.up) == 0 {
		return false
	}
	frame := newConsumerFrame(l.up[0])
	l.up = l.up[1:]
	if err := l.p.Receive(frame, l.sim.now); err != nil {
		l.sim.fail("%s refuses a frame of %s: %v", l.provider.hop.Name, l.consumer.hop.Name, err)
	}
	return true
}

func (l *simLink) produce() bool {
	if len(l.urgent) > 20 {
		return false // the connection is full
	}
	out, some := l.p.Next(l.sim.now)
	if err := l.p.Err(); err != nil {
		if model.KindOf(err) != model.KindUnavailable {
			l.sim.fail("%s fails: %v", l.provider.hop.Name, err)
		}
		l.cut()
		return true
	}
	if !some {
		return false
	}
	if out.Frame != nil {
		l.definitions += len(out.Frame.GetDelta().GetDefinitions())
		l.removals += len(out.Frame.GetDelta().GetRemovals())
		out.Raw, _ = pb.Marshal(out.Frame)
	}
	if bytes.Contains(out.Encoded(), []byte(canary)) && l.provider.hop.Name != canary {
		l.sim.fail("%s tells %s what is hidden: %v %q", l.provider.hop.Name, l.consumer.hop.Name, out.Frame, out.Encoded())
	}
	if out.Bulk {
		l.waiting = &out
		l.p.HoldBulk(true, l.sim.now)
		return true
	}
	l.urgent = append(l.urgent, out)
	return true
}

func (l *simLink) deliver(lane *[]Out) bool {
	if len(*lane) == 0 {
		return false
	}
	out := (*lane)[0]
	*lane = (*lane)[1:]
	wasCut := l.mirror.stale.link != nil
	if err := l.c.ReceiveRaw(&proto.RawFrame{Bytes: out.Encoded()}, l.sim.now); err != nil {
		l.sim.fail("%s refuses a frame of %s: %v\n%v", l.consumer.hop.Name, l.provider.hop.Name, err, out.Frame)
	}
	l.wanted = l.wanted || l.c.WantBulk()
	l.consumer.drain()
	if wasCut && l.mirror.stale.link == nil && !l.mirror.paced {
		l.caughtUp()
	}
	return true
}

// tick lets both ends look at the clock.
func (l *simLink) tick() {
	if l.c == nil {
		return
	}
	before := l.p.beats.next
	l.p.Tick(l.sim.now)
	if l.owed == nil && l.p.beats.next > before {
		l.owed = l.sources()
	}
	if l.p.ImpatientForBulk(l.sim.now, bulkPatience) && l.waiting != nil {
		l.sim.note("%s gives up bulk", l.provider.hop.Name)
		l.urgent = append(l.urgent, *l.waiting)
		l.waiting = nil
		l.p.GiveUpBulk()
	}
	l.c.Tick(l.sim.now)
}

// sources are the newest source times of what the provider shows.
func (l *simLink) sources() map[string]model.Time {
	found := make(map[string]model.Time)
	l.shown(func(c *tree.Context, below model.Path, s *model.Schema) {
		for _, v := range s.Variables {
			if r, _ := l.provider.tree.Read(model.Address{Path: c.Path, Name: v.Name}); r.Sample.Source != 0 {
				found[fmt.Sprint(below, c.ID, s.Hash, ":", v.Name)] = r.Sample.Source
			}
		}
	})
	return found
}

// caughtUp checks, in the moment in which values become good, that each is as new as what the provider had when it told how far it was.
func (l *simLink) caughtUp() {
	n := l.consumer
	var contexts []tree.Context
	n.tree.Walk(l.mount, nil, func(c *tree.Context) bool {
		contexts = append(contexts, *c)
		return true
	})
	for _, c := range contexts {
		below, _ := l.mount.Below(c.Path)
		for _, v := range c.Schema.Variables {
			r, _ := n.tree.Read(model.Address{Path: c.Path, Name: v.Name})
			key := fmt.Sprint(below, c.ID, c.Schema.Hash, ":", v.Name)
			if r.Sample.Quality.Level == model.Good && r.Sample.Source < l.owed[key] {
				l.sim.fail("%s: %s:%s is good as of %d before %d has come", n.hop.Name, c.Path, v.Name, r.Sample.Source, l.owed[key])
			}
		}
	}
}

// shown visits what the provider shows to the consumer.
func (l *simLink) shown(visit func(c *tree.Context, below model.Path, s *model.Schema)) {
	var contexts []tree.Context
	l.provider.tree.Walk(l.root, nil, func(c *tree.Context) bool {
		contexts = append(contexts, *c)
		return true
	})
	for i := range contexts {
		c := &contexts[i]
		below, _ := l.root.Below(c.Path)
		loops := slices.ContainsFunc(c.Route, func(h tree.Hop) bool { return h.Node == l.consumer.hop.Node })
		if !l.selection.Selects(c.Path, c.Schema.Kind) || loops || len(c.Route)+1 > MaxHops {
			continue
		}
		s, err := l.selection.Schema(c.Schema)
		if err != nil {
			l.sim.fail("%v", err)
		}
		visit(c, below, s)
	}
}

// drain reads what was published at a node: no variable goes backwards.
func (n *simNode) drain() {
	var owners map[tree.Slot]string
	for run, some := n.reader.Next(); some; run, some = n.reader.Next() {
		if owners == nil {
			owners = make(map[tree.Slot]string)
			n.tree.Walk(model.Root, nil, func(c *tree.Context) bool {
				for i := range c.Slots.Count {
					owners[c.Slots.First+tree.Slot(i)] = fmt.Sprint(c.Path, " ", c.ID, " ", c.Schema.Variables[i].Name)
				}
				return true
			})
		}
		for i, slot := range run.Slots {
			owner := owners[slot]
			if owner == "" {
				continue
			}
			if run.Source[i] < n.seen[owner] {
				n.sim.fail("%s: %s goes back from %d to %d", n.hop.Name, owner, n.seen[owner], run.Source[i])
			}
			n.seen[owner] = run.Source[i]
		}
	}
}

// check compares what the consumer has with what the provider shows.
func (l *simLink) check() {
	n := l.consumer
	expected := make(map[model.Path]bool)
	l.shown(func(c *tree.Context, below model.Path, s *model.Schema) {
		path, _ := l.mount.Join(below)
		expected[path] = true
		got, there := n.tree.Lookup(path)
		if !there {
			l.sim.fail("%s has no %s (%v of %s, change %d, place %+v)", n.hop.Name, path, c.ID, l.provider.hop.Name, c.Change, l.mirror.place)
		}
		if got.ID != c.ID || got.Version != c.Version || got.Label != c.Label || got.Schema.Hash != s.Hash || len(got.Route) != len(c.Route)+1 {
			l.sim.fail("%s has %+v, %s has %+v", n.hop.Name, got, l.provider.hop.Name, c)
		}
		for _, definition := range s.Settings {
			if definition.Type == model.TypeRef || definition.Secret {
				continue
			}
			if want, have := c.SettingNamed(definition.Name), got.SettingNamed(definition.Name); fmt.Sprint(want) != fmt.Sprint(have) {
				l.sim.fail("%s has %s at %s:%s, not %s", n.hop.Name, have, path, definition.Name, want)
			}
		}
		for _, v := range s.Variables {
			l.checkVariable(model.Address{Path: c.Path, Name: v.Name}, model.Address{Path: path, Name: v.Name}, v.Type)
		}
	})
	n.tree.Walk(l.mount, nil, func(c *tree.Context) bool {
		if !expected[c.Path] {
			l.sim.fail("%s has %s, which %s does not show", n.hop.Name, c.Path, l.provider.hop.Name)
		}
		return true
	})
	if l.mirror.Count() != len(expected) {
		l.sim.fail("%s counts %d contexts, not %d", n.hop.Name, l.mirror.Count(), len(expected))
	}
}

func (l *simLink) checkVariable(at, mirrored model.Address, kind model.Type) {
	want, _ := l.provider.tree.Read(at)
	have, _ := l.consumer.tree.Read(mirrored)
	good := want.Sample.Quality.Level == model.Good
	same := fmt.Sprint(want.Sample.Value) == fmt.Sprint(have.Sample.Value) || kind == model.TypeRef && !have.Sample.Value.IsNone()
	if good && (!same || want.Sample.Quality != have.Sample.Quality || want.Sample.Source != have.Sample.Source) ||
		!good && have.Sample.Quality.Level == model.Good {
		l.sim.fail("%s has %v %v of %d at %s, %s has %v %v of %d; stale: %+v %+v %+v at %+v", l.consumer.hop.Name, have.Sample.Value, have.Sample.Quality, have.Sample.Source, mirrored,
			l.provider.hop.Name, want.Sample.Value, want.Sample.Quality, want.Sample.Source, l.mirror.stale.link, l.mirror.stale.restart, l.mirror.stale.told, l.mirror.place)
	}
}

// own are the node's own contexts.
func (n *simNode) own() []tree.Context {
	var own []tree.Context
	n.tree.Walk(model.Root, nil, func(c *tree.Context) bool {
		if len(c.Route) == 0 {
			own = append(own, *c)
		}
		return true
	})
	slices.SortFunc(own, func(a, b tree.Context) int { return a.Path.Compare(b.Path) })
	return own
}

func (n *simNode) somePath() model.Path {
	names := []string{"a", "b", "c", "d", "xe", "canary-f"}
	path := "/own/" + names[n.sim.rand.IntN(len(names))] + fmt.Sprint(n.sim.rand.IntN(3))
	if n.sim.rand.IntN(2) == 0 {
		path += "/" + names[n.sim.rand.IntN(len(names))]
	}
	return model.MustPath(path)
}

func (n *simNode) newPut(path model.Path) tree.Put {
	n.sim.counter++
	number := uint64(n.sim.counter)
	return tree.Put{
		ID: model.ContextID{Node: n.hop.Node, Epoch: n.epoch, Number: number}, Path: path, Label: "label", Schema: simSchemas[n.sim.rand.IntN(len(simSchemas))],
		Settings: []model.Value{model.String("canary value"), model.Duration(time.Duration(number)), n.someRef()},
		Version:  model.Version{Epoch: n.epoch, Number: number},
	}
}

func (n *simNode) someRef() model.Value {
	names := []string{"", "load", "canary_var"}
	return model.Ref(model.Address{Path: n.somePath(), Name: names[n.sim.rand.IntN(len(names))]})
}

// change changes something that the node owns.
func (n *simNode) change() {
	s := n.sim
	own := n.own()
	path := n.somePath()
	at, there := n.tree.Lookup(path)
	switch kind := s.rand.IntN(10); {
	case !there || kind == 0:
		if there { // another one in its place
			n.tree.Apply([]tree.Put{n.newPut(path)}, []tree.Removal{{Path: path, Version: at.Version}})
		} else {
			n.tree.Apply([]tree.Put{n.newPut(path)}, nil)
		}
	case kind == 1 || kind == 2:
		n.tree.Apply(nil, []tree.Removal{{Path: path, Version: at.Version}})
	case kind == 3: // moved
		to := n.somePath()
		if _, taken := n.tree.Lookup(to); taken {
			return
		}
		p := n.newPut(to)
		p.ID, p.Schema = at.ID, at.Schema
		n.tree.Apply([]tree.Put{p}, []tree.Removal{{Path: path, Version: at.Version}})
	case kind == 4: // another schema of the same kind
		p := n.newPut(path)
		p.ID = at.ID
		if p.Schema.Kind != at.Schema.Kind {
			return
		}
		n.tree.Apply([]tree.Put{p}, nil)
	case kind == 5 && len(own) > 0: // much at once
		if s.large && s.rand.IntN(8) == 0 {
			var puts []tree.Put
			for i := range 600 {
				puts = append(puts, n.newPut(model.MustPath(fmt.Sprintf("/own/big/d%03d", i))))
			}
			if _, there := n.tree.Lookup(puts[0].Path); there {
				var removals []tree.Removal
				for _, p := range puts {
					removals = append(removals, tree.Removal{Path: p.Path, Version: p.Version})
				}
				n.tree.Apply(nil, removals)
			} else {
				n.tree.Apply(puts, nil)
			}
		}
	default:
		p := n.newPut(path)
		p.ID, p.Schema = at.ID, at.Schema
		n.tree.Apply([]tree.Put{p}, nil)
	}
}

// publish publishes a few samples of what the node owns, or so many that slow readers are lapped.
func (n *simNode) publish() {
	own := n.own()
	if len(own) == 0 {
		return
	}
	s := n.sim
	count := 1 + s.rand.IntN(5)
	if s.rand.IntN(60) == 0 {
		count = 70_000
	}
	var b tree.Batch
	for range count {
		c := &own[s.rand.IntN(len(own))]
		i := s.rand.IntN(len(c.Schema.Variables))
		s.counter++
		sample := model.Sample{Source: model.Time(s.counter)}
		switch v := &c.Schema.Variables[i]; {
		case strings.Contains(v.Name, canary) || strings.Contains(c.Schema.Kind, canary) || strings.Contains(c.Path.String(), canary):
			sample.Value = model.String("canary sample")
			if v.Type == model.TypeInt64 {
				sample.Value = model.Int64(s.counter)
			}
		case v.Type == model.TypeInt64:
			sample.Value = model.Int64(s.counter)
		case v.Type == model.TypeRef:
			sample.Value = n.someRef()
		default:
			sample.Value = model.String(fmt.Sprint("text ", s.counter))
		}
		b.Add(c.Slots.First+tree.Slot(i), sample)
	}
	n.tree.Publish(&b)
	n.drain()
}

// disturb does something that is not a frame.
func (s *sim) disturb() {
	n := s.nodes[s.rand.IntN(len(s.nodes))]
	l := s.links[s.rand.IntN(len(s.links))]
	switch kind := s.rand.IntN(100); {
	case kind < 30:
		n.change()
	case kind < 60:
		n.publish()
	case kind < 75:
		l.join()
	case kind < 80:
		l.cut()
	case kind < 82:
		s.note("%s restarts", n.hop.Name)
		n.restart(n.save())
	case kind < 83 && len(n.states) > 0:
		s.note("%s is rolled back", n.hop.Name)
		n.restart(n.states[s.rand.IntN(len(n.states))])
	case kind < 85:
		n.states = append(n.states, n.save())
		n.states = n.states[max(0, len(n.states)-3):]
	case kind < 86:
		l.cut()
		l.selection.only = [...]string{"", "narrow"}[s.rand.IntN(2)]
		s.note("%s shows %s %q", l.provider.hop.Name, l.consumer.hop.Name, l.selection.only)
	case kind < 90:
		l.want(s.somePaces())
		s.note("%s wants of %s %v", l.consumer.hop.Name, l.provider.hop.Name, l.paces)
	case kind < 92:
		n.off = model.Time(s.rand.IntN(int(4*time.Hour))) - model.Time(2*time.Hour)
		s.note("the clock of %s is set, by %s", n.hop.Name, time.Duration(n.off))
	default:
		s.now += model.Time(s.rand.IntN(int(testBeat)))
		for _, l := range s.links {
			l.tick()
		}
	}
}

// settle heals everything, wants everything live, and lets everything arrive.
func (s *sim) settle() {
	for _, l := range s.links {
		l.want(nil)
	}
	for range 6 + 2*len(s.nodes) {
		for _, l := range s.links {
			l.join()
			l.tick()
		}
		for moved, steps := true, 0; moved; steps++ {
			moved = false
			for _, l := range s.links {
				l.deaf = false
				l.join()
				for kind := range 6 {
					moved = l.step(kind) || moved
				}
			}
			if steps > 200_000 {
				s.fail("it does not come to rest")
			}
		}
		s.now += model.Time(testBeat)
	}
}

func (s *sim) run(steps int) {
	for range steps {
		if s.rand.IntN(6) == 0 {
			s.disturb()
			continue
		}
		l := s.links[s.rand.IntN(len(s.links))]
		l.step(s.rand.IntN(6))
	}
}

// resume checks that a cut costs exactly what changed meanwhile.
func (s *sim) resume(l *simLink) {
	l.cut()
	changed := 0
	for _, c := range l.provider.own() {
		if s.rand.IntN(3) > 0 || !l.root.Contains(c.Path) {
			continue
		}
		p := l.provider.newPut(c.Path)
		p.ID, p.Schema = c.ID, c.Schema
		l.provider.tree.Apply([]tree.Put{p}, nil)
		if l.selection.Selects(c.Path, c.Schema.Kind) {
			changed++
		}
	}
	s.settle()
	if l.definitions != changed || l.removals != 0 {
		s.fail("%d definitions and %d removals crossed after %d changes", l.definitions, l.removals, changed)
	}
	l.check()
}

// networks are what is simulated: nodes and their links.
var networks = map[string]func(*sim){
	"chain": func(s *sim) {
		hq, north, berlin := s.addNode("hq"), s.addNode("north"), s.addNode("berlin")
		s.addLink(north, berlin, "/sites/berlin", "/")
		s.addLink(hq, north, "/regions/north", "/")
	},
	"renamed root and hidden mount": func(s *sim) {
		hq, north, berlin, secret := s.addNode("hq"), s.addNode("north"), s.addNode("berlin"), s.addNode("canary")
		s.addLink(north, berlin, "/own/berlin", "/own")
		s.addLink(north, secret, "/own/canary-site", "/")
		s.addLink(hq, north, "/north", "/own")
	},
	"diamond": func(s *sim) {
		top, hq, north, south, berlin := s.addNode("top"), s.addNode("hq"), s.addNode("north"), s.addNode("south"), s.addNode("berlin")
		s.addLink(north, berlin, "/berlin", "/")
		s.addLink(south, berlin, "/berlin", "/own")
		s.addLink(hq, north, "/north", "/")
		s.addLink(hq, south, "/south", "/")
		s.addLink(top, hq, "/hq", "/")
	},
	"ring": func(s *sim) {
		a, b, c := s.addNode("a"), s.addNode("b"), s.addNode("c")
		s.addLink(a, b, "/b", "/")
		s.addLink(b, c, "/c", "/")
		s.addLink(c, a, "/a", "/")
	},
}

func TestSimulation(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(networks)) {
		t.Run(name, func(t *testing.T) {
			first := *simSeed
			if first == 0 {
				first = 1
			}
			for seed := first; seed < first+uint64(*simRuns); seed++ {
				if !t.Run(fmt.Sprint(seed), func(t *testing.T) { simulate(t, name, seed) }) {
					return
				}
			}
		})
	}
}

func simulate(t *testing.T, network string, seed uint64) {
	s := &sim{t: t, rand: rand.New(rand.NewPCG(seed, 7)), now: 100 * second, counter: 1000}
	s.large = seed%4 == 0
	networks[network](s)
	for range 2 {
		s.run(1500)
		s.settle()
		for _, l := range s.links {
			l.check()
		}
	}
	l := s.links[s.rand.IntN(len(s.links))]
	s.resume(l)
	for _, l := range s.links {
		l.cut()
	}
}

func newConsumerFrame(raw []byte) *linkv1.ConsumerFrame {
	frame := &linkv1.ConsumerFrame{}
	if err := pb.Unmarshal(raw, frame); err != nil {
		panic(err)
	}
	return frame
}
