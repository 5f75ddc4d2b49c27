package hostile

import (
	"context"
	"time"

	"banyan/pki"
	"banyan/proto/linkv1"
	"banyan/proto/modelv1"
)

// Bomb is one thing that a hostile peer does.
type Bomb struct {
	Name  string
	Sends string // for people
	// Reason is what the victim says of it, a part of that; empty where there is nothing to refuse, and the victim is to go on as if nothing had been.
	Reason string
	Aims   []string // types of messages, or fields of their oneofs, that it misuses
	Rude   bool     // it begins without a welcome, or without saying who it is
	Deaf   bool     // it never reads
	// Stranger says that it comes before it has proved who it is.
	Stranger bool
	Second   bool // a provider opens the bulk connection
	// Asks is what the victim has to be asked for, so that the bomb comes as an answer.
	Asks Question

	follow  func(*Following) error
	meet    func(*linkv1.MeetResponse)
	inspect func(*linkv1.InspectResponse)
	execute func(*linkv1.ExecuteRequest, *linkv1.ExecuteResponse)
	explain func(*linkv1.ExplainResponse)
	bulk    func(*Peer, linkv1.LinkService_BulkServer) error
	keep    func(*Keeping) error
	call    func(*Calling) error
	redeem  func(*linkv1.RedeemResponse)
	restore func(*Handing) error
}

// Question is what whoever throws a bomb asks the victim to do meanwhile.
type Question int

// The questions.
const (
	Nothing    Question = iota
	AskSet              // set a setting below the mount
	AskCall             // call a function there
	AskKept             // set a setting there until a time
	AskExplain          // ask what would be decided there
	AskInspect          // explain the link
	AskBackup           // keep backups of the provider
	AskJoin             // join by an invitation of the peer
	AskFetch            // fetch a backup that the peer says to keep
)

// Role is whose bomb it is.
func (b *Bomb) Role() pki.Role {
	if b.call != nil {
		return pki.RoleConsumer
	}
	return pki.RoleProvider
}

// Throw throws a bomb at the victim and returns when the victim has closed the connection, or ended what the bomb had begun, or when ctx ends. It is what
// the victim told of its reason, nil where that stands at the victim only.
func (p *Peer) Throw(ctx context.Context, b *Bomb) error {
	if b.Role() == pki.RoleConsumer {
		return p.throw(ctx, b)
	}
	return p.serve(ctx, b, false)
}

// Sweep is no bomb: a provider takes back all that it told, so that the next one begins with nothing.
func Sweep() *Bomb {
	return &Bomb{Name: "sweep", follow: func(f *Following) error {
		return f.Send(&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Farewell{Farewell: &linkv1.Farewell{Refusal: pki.Withdrawn.String(), Error: &modelv1.Error{Kind: 4}}}})
	}}
}

// Within bounds what one bomb sends that has no end.
var Within = time.Second / 2

// Bombs are all of them.
func Bombs() []*Bomb {
	var all []*Bomb
	for _, some := range [][]*Bomb{welcomeBombs(), schemaBombs(), deltaBombs(), sampleBombs(), toldBombs(), answerBombs(), churnBombs(), helloBombs(), requestBombs(), crowdBombs(), inviterBombs()} {
		all = append(all, some...)
	}
	return all
}
