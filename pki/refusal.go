package pki

import (
	"errors"
	"strconv"

	"banyan/model"
)

// Refusal is why a connection or an invitation was refused. Its name is stable on the wire.
type Refusal uint8

// The refusals.
const (
	RefusedOtherwise  Refusal = iota // a reason that this version does not know, or that was not told
	NoCertificate                    // nothing was shown, or nothing of ours
	UnknownNode                      // no root is pinned for the ID that the certificate claims
	WrongFingerprint                 // the ID is known, and the certificate is of a root that is not pinned for it
	WrongClass                       // a certificate of another class
	ExpiredLeaf                      // valid no longer
	NotYetValid                      // valid only later
	WrongProtocol                    // no ALPN protocol in common
	Plaintext                        // no TLS at all
	WrongRole                        // the link is agreed the other way round
	Revoked                          // the peer's link was revoked
	Disabled                         // the peer's link is switched off
	InvitationUsed                   // somebody joined by it already
	InvitationExpired                // its time is over
	InvitationForeign                // not made here, or withdrawn
	Cloned                           // another life of the same node was taken, which this one did not come from
	Withdrawn                        // what is asked for is not shown over the link, or not any more
)

// renewed is how a node comes back that the other end does not take by its certificate any more.
const renewed = "ask for `banyan invite --again LINK` at the other node, and `banyan join TOKEN` here: the link keeps everything that is set"

// refusals gives each its wire name, its kind, and what to do about it: first at the end that refuses, then at the end that is refused.
var refusals = [...]struct {
	name           string
	kind           model.ErrorKind
	local, foreign string
}{
	RefusedOtherwise: {"refused", model.KindUnauthenticated, "", ""},
	NoCertificate: {"no-certificate", model.KindUnauthenticated, "only nodes connect here: people use the API's port",
		"connect with a node's link certificate"},
	UnknownNode: {"unknown-node", model.KindUnauthenticated, "if it should be linked, make an invitation and let it join", ""},
	WrongFingerprint: {"wrong-fingerprint", model.KindUnauthenticated,
		"if it is the node that this link is for, `banyan invite --again LINK` here and `banyan join TOKEN` there renew what each has pinned of the other; if it was set up anew, remove the link and invite it",
		renewed},
	WrongClass: {"wrong-class", model.KindUnauthenticated, "check which port and which certificate the other end uses",
		"check which port and which certificate this node uses"},
	ExpiredLeaf: {"expired", model.KindUnauthenticated,
		"compare the clocks of both nodes; a node with the right time renews its certificate by itself, and one that was away too long comes back by `banyan invite --again LINK` here and `banyan join TOKEN` there",
		"compare the clocks of both nodes; if this one is right, " + renewed},
	NotYetValid: {"not-yet-valid", model.KindUnauthenticated, "compare the clocks of both nodes", "compare the clocks of both nodes"},
	WrongProtocol: {"wrong-protocol", model.KindUnsupported, "check which port the other end means, and both versions",
		"check that the address is that of the links' listener (port 7443 unless set otherwise), and both versions"},
	Plaintext: {"plaintext", model.KindUnauthenticated, "the other end must use TLS", "check that the address is that of the links' listener"},
	WrongRole: {"wrong-role", model.KindDenied, "make the link anew if the roles are to change", "make the link anew if the roles are to change"},
	Revoked:   {"revoked", model.KindDenied, "a new invitation makes a new link", "ask the other node's administrator for a new invitation"},
	Disabled:  {"disabled", model.KindDenied, "enable the link", "ask the other node's administrator to enable the link"},
	InvitationUsed: {"invitation-used", model.KindDenied, "if it was not you, see which node joined; make a new invitation",
		"ask for a new invitation, and say that this one was used already"},
	InvitationExpired: {"invitation-expired", model.KindDenied, "make a new invitation", "ask for a new invitation"},
	InvitationForeign: {"invitation-unknown", model.KindDenied, "make a new invitation", "check that the token is of the node that you join, or ask for a new one"},
	Cloned: {"clone", model.KindDenied, "stop the node that is not wanted; `banyan call /links/NAME:readmit` takes the one that comes next",
		"stop this node, or the other one with its ID; whoever administers the other end of the link says which of the two is taken"},
	Withdrawn: {"withdrawn", model.KindDenied, "", "ask the other node's administrator to show it over this link, or remove the mount"},
}

// String is the refusal's stable name.
func (r Refusal) String() string {
	if int(r) < len(refusals) {
		return refusals[r].name
	}
	return "refusal-" + strconv.Itoa(int(r))
}

// Refuse makes the error of a refusal: its kind, the detail, and what to do about it at the end that refuses.
func Refuse(reason Refusal, detail string) *model.Error {
	if int(reason) >= len(refusals) {
		reason = RefusedOtherwise
	}
	return &model.Error{Kind: refusals[reason].kind, Detail: detail, Remedy: refusals[reason].local, Err: refusalCause{reason}}
}

// RefusedBy is Refuse for a refusal that the other end told of: what to do about it is said for the end that is refused.
func RefusedBy(reason Refusal, detail string) *model.Error {
	err := Refuse(reason, detail)
	err.Remedy = refusals[reason].foreign
	return err
}

// RefusalOf is the refusal in err's chain, and whether there is one.
func RefusalOf(err error) (Refusal, bool) {
	var cause refusalCause
	ok := errors.As(err, &cause)
	return cause.reason, ok
}

// Told is the error of a refusal that a proven peer told by its stable name, with its words and what to do about it at the end that is refused.
func Told(name string, words error) error {
	reason := refusalNamed(name)
	told := &model.Error{Kind: refusals[reason].kind, Remedy: refusals[reason].foreign, Err: refusalCause{reason}, Detail: "refused"}
	var known *model.Error
	if errors.As(words, &known) && known.Detail != "" {
		told.Detail = Printable(known.Detail, maxDetailBytes)
	}
	return told
}

// refusalCause carries the reason without adding to the text.
type refusalCause struct{ reason Refusal }

func (refusalCause) Error() string { return "" }

// refusalNamed is the refusal of a wire name; a name that a newer version sends is RefusedOtherwise.
func refusalNamed(name string) Refusal {
	for i := range refusals {
		if refusals[i].name == name {
			return Refusal(i)
		}
	}
	return RefusedOtherwise
}
