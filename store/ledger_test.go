package store

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"banyan/model"

	"github.com/google/go-cmp/cmp"
)

// TestLedger writes a request through its fates: its row stays whose it was, its content is sealed, and gone from the row once it has ended.
func TestLedger(t *testing.T) {
	n := openNode(t, Config{Dir: t.TempDir()})
	id := RequestID{1}
	body, err := n.SealContent(id, "body", []byte("hush hush"))
	if err != nil {
		t.Fatal(err)
	}
	row := Ledger{
		ID: id, Role: RoleMade, Fate: model.FatePending, Who: "alice", Person: "alice", Account: "user 1", Digest: []byte("digest"), Operation: "set", Path: "/a", Name: "password", Made: 1, Until: 9, Since: 1,
		Body: body,
	}
	n.do(row)
	row.Fate, row.Since, row.Attempts, row.Doubt, row.Body = model.FateSent, 2, 1, true, nil
	row.Owner = model.Position{Epoch: model.Epoch{Ordinal: 7, Random: 1 << 63}, Number: 12}
	row.Via, row.Problem = []string{"north", "berlin"}, []byte("problem")
	n.do(row)
	n = n.reopen()
	known, err := n.Ledger(t.Context())
	if diff := cmp.Diff([]Ledger{row}, known); diff != "" || err != nil {
		t.Errorf("%v, (-want +got):\n%s", err, diff)
	}
	sealed, _, _, err := n.LedgerContent(t.Context(), id)
	if plain, opened := n.OpenContent(id, "body", sealed); string(plain) != "hush hush" || opened != nil || err != nil {
		t.Errorf("the body is %q, %v, %v", plain, opened, err)
	}
	if _, err = n.OpenContent(RequestID{2}, "body", sealed); err == nil {
		t.Error("the body of one request opens as that of another")
	}
	for name, other := range map[string]Ledger{
		"another role":   {ID: id, Role: RolePassed, Fate: model.FateDone, Person: "alice"},
		"another person": {ID: id, Role: RoleMade, Fate: model.FateDone, Person: "bob"},
		"another link":   {ID: id, Role: RoleMade, Fate: model.FateDone, Person: "alice", Link: "north"},
	} {
		_, errs := n.submit(Commit{Changes: []Change{other}})
		if model.KindOf(errs[0]) != model.KindInvalid {
			t.Errorf("%s: %v", name, errs[0])
		}
	}
	row.Fate = model.FateDone
	n.do(row)
	if sealed, _, known, err := n.LedgerContent(t.Context(), id); len(sealed) != 0 || !known || err != nil {
		t.Errorf("after its end %d bytes of its body are kept, %v, %v", len(sealed), known, err)
	}
	for _, name := range []string{"node.db", "node.db-wal"} {
		if raw, err := os.ReadFile(filepath.Join(n.cfg.Dir, name)); err == nil && bytes.Contains(raw, []byte("hush hush")) {
			t.Errorf("%s has what was asked for in the open", name)
		}
	}
	n.do(ForgetLedger{IDs: []RequestID{id}})
	if known, err := n.Ledger(t.Context()); len(known) != 0 || err != nil {
		t.Errorf("after it was forgotten: %v, %v", known, err)
	}
}
