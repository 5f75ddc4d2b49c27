package server

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"strconv"

	"banyan/access"
	"banyan/model"
	"banyan/store"
)

// Op is what is asked for.
type Op uint8

// The operations.
const (
	OpSet Op = iota + 1
	OpCall
	OpCreate
	OpRemove
	OpApply
)

var opNames = [...]string{"", "set", "call", "create", "remove", "apply"}

// String is the operation's name in messages.
func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return "operation-" + strconv.Itoa(int(o))
}

// Request is something that somebody wants done: by a person who is logged in here, or by a neighbour on behalf of one. It is carried out by the
// owner of Path, and the same request has the same ID wherever it passes.
type Request struct {
	// ID makes it happen once, however often it is sent: what was done is answered again. Where it is zero the router draws one.
	ID [16]byte
	Op Op
	// Path is of the context, in this node's tree.
	Path model.Path
	// Name is of the setting or the variable (OpSet), or of the function (OpCall).
	Name string
	// Value is what to set; no value puts a setting's default back.
	Value model.Value
	// Arguments are those of a call, or the settings of a context to be created.
	Arguments []model.Argument
	// Kind and Label are of a context to be created.
	Kind, Label string
	// Expected is the revision that the context must have (OpSet, OpRemove); zero takes any.
	Expected model.Revision
	// Below takes everything below it away, too (OpRemove).
	Below bool
	// Edits are what a batch does (OpApply), in their order: as one commit or not at all. Its Path is not read.
	Edits []Edit
	// DryRun judges a batch and does nothing.
	DryRun bool

	extra []byte // what a later version asks for beside all this: handed on as it came
	// Until is until when the request is kept, and sent again, by this node's clock; zero sends it once.
	Until model.Time
	// Async answers as soon as it is kept (with Until).
	Async bool
	// Owner is the owner's newest revision when it said that the request is not done, of one that came over a link with Until.
	Owner model.Position
	// Attempt is how often it was sent before.
	Attempt uint32

	look    bool              // it only asks what became of it
	held    bool              // it is judged, and not done
	heard   *heard            // where what the next node says of it is put
	kept    *store.Ledger     // its row of the ledger, at its owner, which is written with what it does
	drawn   bool              // the ID was drawn here: nobody can send the request again, so that it need not be remembered
	shows   bool              // it only shows something, so that there is nothing to record
	relied  []store.Condition // what it was judged by, where it may give rights: they must still hold when it is committed
	audited bool              // it stands in the audit log, and how it ended will
}

// Edit is one thing that a batch does: OpCreate, OpSet or OpRemove. It is judged as if it were a request of its own, against the tree as the edits
// before it leave it.
type Edit struct {
	Op   Op
	Path model.Path
	// Kind is of a context to be created.
	Kind string
	// Label of one to be created, or the new one where it is not nil.
	Label *string
	// Settings are given to a context that is created, or changed; no value puts a setting's default back.
	Settings []model.Argument
	// Expected is the revision that the context must have (OpSet, OpRemove); zero takes any.
	Expected model.Revision
	// Below takes everything below it away, too (OpRemove).
	Below bool
}

// MaxEdits is how many edits one batch has at most.
const MaxEdits = 10_000

// Response is what became of a request.
type Response struct {
	// Revision of the context at its owner, where one changed.
	Revision model.Revision
	// ID of the context that was created.
	ID model.ContextID
	// Results of a call.
	Results []model.Argument
	// Mirrored says that this node's tree shows it already.
	Mirrored bool
	// Via are the nodes that the request went through, the owner last; empty where this node is the owner.
	Via []string
	// Change is this node's change number at which its tree shows it, 0 where that is not known. Whoever has passed it has seen it.
	Change uint64

	// Fate is what is known of a request with Until, and Kept its ID in the ledger.
	Fate model.Fate
	Kept [16]byte
	// Owner is the owner's newest revision, where it says that the request is not done.
	Owner model.Position

	handed bool // it left this node
	broken bool // it left this node, and the connection brought an error in place of an answer
	old    bool // a node on the way is of a version that knows no looks

	extra []byte // what a later version answers beside all this: handed back as it came
}

// address is what the request is about, as messages name it.
func (q *Request) address() model.Address { return model.Address{Path: q.Path, Name: q.Name} }

// draw gives a request without an ID one.
func (q *Request) draw() {
	if q.ID == [16]byte{} {
		_, _ = rand.Read(q.ID[:]) // it never fails
		q.drawn = true
	}
}

// digest is of everything that is asked for and of who asks, so that an ID answers nobody but whoever used it first.
func (q *Request) digest(who access.Principal) []byte {
	form := struct {
		Op                   Op
		Path                 model.Path
		Name                 string
		Value                model.Typed
		Arguments            []digestArgument
		Kind, Label          string
		Expected             model.Revision
		Below                bool
		Person, Node, Across string
		Edits                []digestEdit `json:",omitempty"`
		DryRun               bool         `json:",omitempty"`
		Extra                []byte       `json:",omitempty"`
	}{
		Op: q.Op, Path: q.Path, Name: q.Name, Value: model.Typed{Value: q.Value}, Kind: q.Kind, Label: q.Label, Expected: q.Expected, Below: q.Below,
		Person: who.Chain.Person.Name, Node: who.Chain.Person.Node, Across: who.Link,
		Arguments: digestArguments(q.Arguments), DryRun: q.DryRun, Extra: q.extra,
	}
	for _, e := range q.Edits {
		form.Edits = append(form.Edits, digestEdit{e.Op, e.Path, e.Kind, e.Label, digestArguments(e.Settings), e.Expected, e.Below})
	}
	encoded, _ := json.Marshal(form) // values, paths and names always encode
	sum := sha256.Sum256(encoded)
	return sum[:]
}

type digestEdit struct {
	Op       Op
	Path     model.Path
	Kind     string
	Label    *string
	Settings []digestArgument
	Expected model.Revision
	Below    bool
}

func digestArguments(arguments []model.Argument) []digestArgument {
	var form []digestArgument
	for _, a := range arguments {
		form = append(form, digestArgument{a.Name, model.Typed{Value: a.Value}})
	}
	return form
}

type digestArgument struct {
	Name  string
	Value model.Typed
}
