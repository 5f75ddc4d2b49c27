package server

import (
	"testing"

	"banyan/access"
	"banyan/backup"
	"banyan/model"
)

// TestKeyOfBackups: who may administer the node itself and not everything cannot have its backups sealed to a key of their own, in which they would read
// what is hidden from them.
func TestKeyOfBackups(t *testing.T) {
	n := startNode(t)
	key, err := backup.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	renew := Request{Op: OpCall, Path: systemPath, Name: functionSetRecovery, Arguments: []model.Argument{{Name: "recipient", Value: model.String(key.Recipient())}}}
	for _, who := range []access.Principal{
		n.user("keeper", rule("/system/**", model.RightAdminister)),
		n.user("almost", rule("/users/boss", model.RightView), rule("/**", model.RightAdminister)),
	} {
		if _, err := n.execute(who, renew); model.KindOf(err) != model.KindDenied {
			t.Errorf("%s: %v", who.Chain.Person.Name, err)
		}
	}
	n.must(renew)
}
