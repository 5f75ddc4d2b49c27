package server

import (
	"context"
	"time"

	"banyan/model"
	"banyan/store"
	"banyan/tree"
)

// tokensEvery is how often it is written down when tokens were used: no request waits for that.
const tokensEvery = 5 * time.Second

// Variables of a token.
const (
	variableUsed     = "used"
	variableUsedFrom = "used_from"
)

// Run writes down when and from where tokens were used, until ctx ends. The first use stands in the audit log.
func (t *tokens) Run(ctx context.Context) error {
	ticker := time.NewTicker(tokensEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-t.wake:
		case <-ctx.Done():
			t.tell(context.WithoutCancel(ctx))
			return nil
		}
		t.tell(ctx)
	}
}

// tell shows in the tree what was used since the last time.
func (t *tokens) tell(ctx context.Context) {
	t.mu.Lock()
	known := make([]*apiToken, 0, len(t.known))
	for _, token := range t.known {
		known = append(known, token)
	}
	t.mu.Unlock()
	var batch tree.Batch
	var first []store.Audit
	for _, token := range known {
		used, address, fresh := token.use()
		c, there := t.tree.Lookup(token.path)
		if !fresh || !there || c.ID != token.id {
			continue
		}
		at, from := c.Schema.VariableIndex(variableUsed), c.Schema.VariableIndex(variableUsedFrom)
		if at < 0 || from < 0 {
			continue
		}
		if last, there := t.tree.Read(model.Address{Path: c.Path, Name: variableUsed}); !there || last.Sample.Value.IsNone() {
			first = append(first, store.Audit{
				Who: token.user, From: auditText(address), Operation: "token", Path: token.path.String(), What: "used for the first time", Outcome: outcomeDone,
			})
		}
		batch.Add(c.Slots.First+tree.Slot(at), model.Sample{Value: model.Instant(used), Source: used})
		batch.Add(c.Slots.First+tree.Slot(from), model.Sample{Value: model.String(address), Source: used})
	}
	if len(first) > 0 {
		wait, cancel := context.WithTimeout(ctx, recordWait)
		defer cancel()
		if err := t.audit.write(wait, first...); err != nil {
			t.log.Warn("the first use of a token could not be recorded", "error", err)
		}
	}
	if len(batch.Slots) > 0 {
		t.tree.Publish(&batch)
	}
}

// use is when and from where the token was used last, and whether the tree does not say so yet; from now on it is taken to.
func (a *apiToken) use() (used model.Time, address string, fresh bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fresh = a.used != 0 && !a.told
	a.told = true
	return a.used, a.address, fresh
}

// present are the tokens of a user that were used, of everybody where none is named.
func (t *tokens) present(user string) []presence {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []presence
	for _, token := range t.known {
		token.mu.Lock()
		if (user == "" || token.user == user) && token.used != 0 {
			found = append(found, presence{
				id: token.path.Base(), user: token.user, from: token.address, kind: "token", used: token.used, expires: token.expires, streams: token.streams.Load(),
			})
		}
		token.mu.Unlock()
	}
	sortPresence(found)
	return found
}
