package peering

import (
	"slices"
	"sync/atomic"

	"banyan/follow"
	"banyan/model"
	"banyan/proto"
	"banyan/tree"
)

// Place is how far a mirror has come in its provider's streams. Samples and Bindings count within Epoch. While a comparison is under way, and in the
// middle of a stretch of changes, Chain is empty: nothing is sure then.
type Place struct {
	View     uint64
	Epoch    model.Epoch
	Chain    model.Chain
	Changes  uint64
	Samples  uint64
	Bindings uint32
	Heard    model.Time // when the provider was last proved to be there
}

// Row is a mirrored context as it is kept.
type Row struct {
	ID       model.ContextID
	Path     model.Path // below the mount
	Label    string
	Schema   *model.Schema
	Settings []model.Value
	Version  model.Version
	Change   uint64 // provider's change number
	Local    uint64 // this node's change number
	Route    tree.Route
	Extra    string // what a later version told of it beside all this, passed on as it came
}

// Keeper keeps what is mirrored, behind and in batches; it is a cache, and losing it costs a comparison. It must not block.
type Keeper interface {
	// Keep takes contexts that went, then those that came or changed, and the place that they make true.
	Keep(gone []Gone, rows []Row, at Place)
	// Forget gives up everything that is kept.
	Forget()
}

// Gone is a context that is mirrored no longer.
type Gone struct {
	ID      model.ContextID
	Path    model.Path // below the mount
	Version model.Version
	Local   uint64 // this node's change number
	// Withdrawn says that it may not be shown here any more: nothing of it is to be kept.
	Withdrawn bool
}

// MirrorConfig says where a mirror hangs and whose it is.
type MirrorConfig struct {
	Tree     *tree.Tree
	Mount    model.Path
	Self     tree.Hop // this node
	Peer     tree.Hop // the provider
	Keeper   Keeper
	MostRows int // contexts that are taken; a provider that tells more is cut off. Default 5,000,000
	// Room is how many contexts the whole tree has room for beside those that are there; any number where nil.
	Room func() int
}

// Mirror is a provider's export as it hangs in this node's tree. It outlives the sessions with the provider. It is for one goroutine at a time.
type Mirror struct {
	cfg         MirrorConfig
	place       Place
	applied     uint64 // every change up to this number was told by this session or is known to be here from before
	settled     uint64 // up to this change number the latest samples are here as well: a session that follows goes on from here
	exact       bool   // the mirror was up to date once since Samples began to count, so that Samples says all that it has
	paced       bool   // the session tells less than every sample: the mirror is not exact until another one has told everything
	newest      uint64 // greatest change number that something here was told with
	contexts    map[model.ContextID]*mirrored
	count       int
	schemas     map[model.SchemaHash]*model.Schema
	schemaBytes int
	learned     map[model.SchemaHash]bool // told since the provider began to tell them anew
	most        atomic.Int64              // see Bound
	ring        tree.Share                // samples in the tree's ring: what the mount may take beside what it holds
	holds       holding
	keys        keyTable
	waiting     waitingBindings
	comparison  *comparison // under way
	purged      bool        // everything was forgotten, staleness too, since the last session
	enrol       enrolment
	allowed     atomic.Pointer[Permission] // what is to be taken, as was said last
	admitted    *Permission                // what was taken in of that; nil while nothing narrows
	refusedNow  []refusedContext           // of the delta that is read
	loop        string                     // route of the last context that was refused since it passes through here
	batch       tree.Batch
	columns     proto.Samples
	stale       staleness
	beyond      beyond // safe for use beside the session
	wanted      atomic.Pointer[[]follow.InterestRule]
	stir        atomic.Pointer[func()] // lets the link look at what was said beside the session
}

// comparison is one that is under way, or was cut.
type comparison struct {
	chain model.Chain
	same  bool   // the provider has not been restarted: it has samples of all that it tells, and tells them
	ended bool   // everything was told
	at    uint64 // with this change number
}

type mirrored struct {
	path    model.Path // below the mount
	version model.Version
	schema  *model.Schema
	slots   tree.SlotRun
	key     uint32
	defined uint64    // change number of the definition that keys are for, 0 where an earlier session told it
	content uint64    // follow.Content of it as it was told
	change  uint64    // provider's number with which it was told
	next    *mirrored // same context at another path
	cost    int64     // see holding
}

// NewMirror makes a mirror from what was kept: rows whose contexts are in the tree already, and the place they make true.
func NewMirror(cfg MirrorConfig, rows []Row, at Place) *Mirror {
	if cfg.MostRows == 0 {
		cfg.MostRows = 5_000_000
	}
	m := &Mirror{
		cfg: cfg, place: at, applied: at.Changes, settled: at.Changes, newest: at.Changes, contexts: make(map[model.ContextID]*mirrored, len(rows)),
		schemas: make(map[model.SchemaHash]*model.Schema),
	}
	m.place.Bindings, m.place.Samples = 0, 0 // keys and values are not kept together with the rows: the provider tells all that it has published
	for i := range rows {
		r := &rows[i]
		path, err := cfg.Mount.Join(r.Path)
		if err != nil {
			continue
		}
		c, there := cfg.Tree.Lookup(path)
		if !there || c.ID != r.ID {
			continue
		}
		if _, known := m.schemas[r.Schema.Hash]; !known {
			m.schemas[r.Schema.Hash] = r.Schema
			m.schemaBytes += len(r.Schema.Raw)
		}
		m.newest = max(m.newest, r.Change)
		kept := &mirrored{path: r.Path, version: r.Version, schema: r.Schema, slots: c.Slots, content: m.content(r), change: r.Change, cost: rowCost(r)}
		m.holds.contexts += kept.cost
		m.add(r.ID, kept)
	}
	m.stale = staleness{tree: cfg.Tree, mount: cfg.Mount}
	since := at.Heard
	m.stale.cut(since, m.hop(), m.ends())
	return m
}

// Want says at which pace samples are wanted, by paths below the mount: of the session that runs, and of those that follow. Anybody may call it at any
// time.
func (m *Mirror) Want(rules []follow.InterestRule) {
	if !slices.EqualFunc(rules, m.Wanted(), sameRule) {
		m.wanted.Store(&rules)
		m.stirred()
	}
}

// stirs says whom to tell of what is said beside the session.
func (m *Mirror) stirs(stir func()) { m.stir.Store(&stir) }

func (m *Mirror) stirred() {
	if stir := m.stir.Load(); stir != nil {
		(*stir)()
	}
}

// Wanted is what Want said last.
func (m *Mirror) Wanted() []follow.InterestRule {
	if rules := m.wanted.Load(); rules != nil {
		return *rules
	}
	return nil
}

// find is the context at a path below the mount, nil where there is none with that ID.
func (m *Mirror) find(id model.ContextID, path model.Path) *mirrored {
	for c := m.contexts[id]; c != nil; c = c.next {
		if c.path == path {
			return c
		}
	}
	return nil
}

func (m *Mirror) add(id model.ContextID, c *mirrored) {
	c.next = m.contexts[id]
	m.contexts[id] = c
	m.count++
}

func (m *Mirror) drop(id model.ContextID, c *mirrored) {
	m.unbind(c)
	m.shed(c.slots)
	m.holds.contexts -= c.cost
	m.count--
	first := m.contexts[id]
	if first == c && c.next == nil {
		delete(m.contexts, id)
		return
	}
	if first == c {
		m.contexts[id] = c.next
		return
	}
	for first.next != c {
		first = first.next
	}
	first.next = c.next
}

// all calls visit for every context.
func (m *Mirror) all(visit func(model.ContextID, *mirrored)) {
	for id, c := range m.contexts {
		for ; c != nil; c = c.next {
			visit(id, c)
		}
	}
}

func (m *Mirror) hop() string { return m.cfg.Self.Name + " > " + m.cfg.Peer.Name }

func (m *Mirror) ends() tree.Ends { return tree.Ends{m.cfg.Self.Node, m.cfg.Peer.Node} }

// Place is how far the mirror has come.
func (m *Mirror) Place() Place { return m.place }

// Count is how many contexts are mirrored.
func (m *Mirror) Count() int { return m.count }

// Loop is the route by which something that this node exports came back to it, empty where nothing did.
func (m *Mirror) Loop() string { return m.loop }

// Purge takes everything that is mirrored out of the tree and forgets it.
func (m *Mirror) Purge() {
	r := &reading{}
	m.all(func(id model.ContextID, c *mirrored) { m.goes(r, id, c, true) })
	m.remove(r)
	m.contexts, m.count = make(map[model.ContextID]*mirrored), 0
	m.keys, m.waiting, m.place, m.comparison, m.holds = keyTable{}, nil, Place{}, nil, holding{}
	m.applied, m.settled, m.newest, m.exact, m.loop = 0, 0, 0, false, ""
	m.schemas, m.schemaBytes = make(map[model.SchemaHash]*model.Schema), 0
	m.stale.clear()
	m.beyond.forget()
	m.purged = true
	m.cfg.Keeper.Forget()
}
