package server

import (
	"fmt"
	"testing"
	"time"

	"banyan/model"
	"banyan/store"
)

// TestLedgerForgetsAFlood keeps more requests that came over one link and were refused than are remembered: the ledger goes back to its size at once, and what
// was made here, which is older, is still known.
func TestLedgerForgetsAFlood(t *testing.T) {
	n := makeNode(t, "hq")
	now := model.TimeOf(time.Now())
	row := func(i int, link string, since model.Time) store.Ledger {
		l := store.Ledger{
			ID: store.RequestID{byte(i), byte(i >> 8), byte(i >> 16), 1}, Role: store.RoleOwner, Fate: model.FateFailed, Who: "x", Link: link,
			Operation: "set", Path: "/system", Made: since, Since: since, Until: now + model.Time(time.Hour),
		}
		if link == "" {
			l.Role, l.Person = store.RoleMade, "admin"
		}
		return l
	}
	mine := row(1<<20, "", now-model.Time(time.Hour))
	if err := n.ledger.put(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	n.ledger.mu.Lock()
	for i := range mostLedger + 3000 {
		l := row(i, fmt.Sprint("link", i%8/7), now-model.Time(i))
		n.ledger.rows[l.ID] = &kept{Ledger: l}
	}
	n.ledger.mu.Unlock()
	n.ledger.sweep(t.Context())
	counts := map[string]int{}
	for _, k := range n.ledger.all(true) {
		counts[k.Link]++
	}
	if counts[""] != 1 || counts["link0"] != mostLedgerOf || counts["link1"] != (mostLedger+3000)/8 {
		t.Errorf("remembered are %v", counts)
	}
}
