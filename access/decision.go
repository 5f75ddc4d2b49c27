package access

import (
	"fmt"

	"banyan/model"
)

// Cause is what a decision rests on.
type Cause uint8

// The causes. With the first two the rights are compared; the others refuse by themselves.
const (
	CauseRule       Cause = iota // a rule of the person, or that none matches
	CauseGrant                   // what the neighbour was granted
	CauseUnknown                 // who asks is nobody that this node knows, or not whom the connection proves
	CauseNobody                  // acting over a link without naming a person
	CauseLocal                   // it can be done at the node itself only
	CauseProtected               // links, exports, mounts or the node itself, over a link
	CauseUndeclared              // the schema declares no right for it
)

// Decision is the answer to a Question, with everything that explains it.
type Decision struct {
	Allowed   bool
	Visible   bool // where it is false, a refusal must look as if nothing were there: see Err
	Cause     Cause
	Rule      int         // the number of the rule that matched, counted from 1; 0 where none did or none was asked
	Scope     string      // the scope whose rule it was, empty where it was one of the person's
	Export    string      // the export that grants the most, over a link
	Node      string      // the node that decided
	Person    Person      // who asks; without a node where they are at home
	Neighbour string      // who handed the request over, empty for a person who is logged in here
	Has       model.Right // the right there is
	Need      model.Right // the right that is needed: at least what was asked for
}

// Explain is the decision as text for the audit and for whoever may see what it is about, like
// "denied by berlin, rule 3: alice@hq has operate, configure is needed".
func (d Decision) Explain() string {
	verdict := "denied"
	if d.Allowed {
		verdict = "allowed"
	}
	return verdict + " by " + d.Node + d.reason()
}

func (d Decision) reason() string {
	switch d.Cause {
	case CauseUnknown:
		return ": who asks is not known here"
	case CauseNobody:
		return fmt.Sprintf(": %s names no person, and acting is granted to people", d.Neighbour)
	case CauseLocal:
		return fmt.Sprintf(": this can be done at %s itself only, not over a link", d.Node)
	case CauseProtected:
		return fmt.Sprintf(": links, exports, mounts and the node itself are changed at %s only, not over a link", d.Node)
	case CauseUndeclared:
		return ": no right is declared for this, so nobody has it"
	case CauseGrant:
		where := ", no export selects it"
		if d.Export != "" {
			where = ", export " + d.Export
		}
		return where + d.compared(d.Neighbour)
	}
	whose := ""
	if d.Scope != "" {
		whose = " of " + d.Scope
	}
	where := ", no rule" + whose + " matches"
	if d.Rule > 0 {
		where = fmt.Sprintf(", rule %d", d.Rule) + whose
	}
	return where + d.compared(d.Person.String())
}

func (d Decision) compared(who string) string {
	if d.Allowed {
		return fmt.Sprintf(": %s has %s", who, d.Has)
	}
	return fmt.Sprintf(": %s has %s, %s is needed", who, d.Has, d.Need)
}

// Err is nil for what is allowed, the reason for what is refused, and NotFound for what must not be known of. op is what was being
// done; at is where, as the asker addressed it.
func (d Decision) Err(op string, at model.Address) error {
	switch {
	case d.Allowed:
		return nil
	case !d.Visible:
		return NotFound(op, at)
	}
	return &model.Error{Kind: model.KindDenied, Op: op, Path: at.Path, Name: at.Name, Node: d.Node, Detail: d.Explain()}
}

// NotFound is the one error for what is absent and for what is hidden from who asks. It carries nothing but what was asked: neither a
// node nor a rule, since either would tell the two apart. What is absent gets it whatever the asker's rights are.
func NotFound(op string, at model.Address) *model.Error {
	return &model.Error{Kind: model.KindNotFound, Op: op, Path: at.Path, Name: at.Name, Detail: "nothing is there that you may see"}
}
