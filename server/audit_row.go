package server

import (
	"context"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"banyan/access"
	"banyan/model"
	"banyan/store"
)

// Outcomes of audited requests, as the rows have them. A failure has its kind and detail behind the word.
const (
	outcomeDone      = "done"
	outcomeBegun     = "begun"
	outcomeForwarded = "forwarded"
	outcomeRefused   = "refused"
	outcomeFailed    = "failed"
	outcomeUnknown   = "unknown"
	outcomeQueued    = "queued"
)

// mostShown bounds one value in a row, bytes.
const mostShown = 200

// whereFrom is from where a request came: the link that handed it over, or the address and the session of who asks here.
func whereFrom(ctx context.Context, who access.Principal) string {
	if who.Link != "" {
		return "link " + who.Link
	}
	return callerOf(ctx).From
}

// auditRow is the row of a request, with all that a row may say of it.
func (r *Router) auditRow(ctx context.Context, who access.Principal, q *Request, outcome string) store.Audit {
	return store.Audit{
		Who: auditText(who.Chain.String()), From: auditText(whereFrom(ctx, who)), Operation: q.Op.String(), Path: q.Path.String(), Name: auditText(q.Name),
		What: auditText(r.auditWhat(q)), Decision: auditText(r.auditDecision(who, q)), Outcome: auditText(outcome), Request: q.ID,
	}
}

// auditDecision is what the request was decided by. What is hidden from who asks is told here: the log is for whoever administers the node.
func (r *Router) auditDecision(who access.Principal, q *Request) string {
	if q.Op == OpApply {
		return ""
	}
	entity, need := access.Entity{Path: q.Path, Kind: q.Kind, Name: q.Name}, model.RightConfigure
	c, there := r.tree.Lookup(q.Path)
	if there {
		entity.Kind = c.Schema.Kind
	} else if q.Op != OpCreate {
		return "nothing is there"
	}
	if q.Op == OpSet && q.Name == "" { // an edit, which is of several settings or of the label
		for _, a := range q.Arguments {
			if i := c.Schema.SettingIndex(a.Name); i >= 0 {
				need = max(need, c.Schema.Settings[i].Right)
			}
		}
		return r.decide(who, entity, need, true).Explain()
	}
	switch q.Op {
	case OpSet:
		e, known := settable(c.Schema, q.Name)
		if !known {
			return "nothing is there"
		}
		entity.Sort, entity.Secret, entity.Local, need = e.sort, e.secret, e.local, e.right
	case OpCall:
		at := c.Schema.FunctionIndex(q.Name)
		if at < 0 {
			return "nothing is there"
		}
		entity.Sort, entity.Local, need = model.EntryFunction, c.Schema.Functions[at].Local, c.Schema.Functions[at].Right
	}
	return r.decide(who, entity, need, true).Explain()
}

// auditWhat is what was to become, in short. A value is told only where it is known to be no secret.
func (r *Router) auditWhat(q *Request) string {
	var schema *model.Schema
	if c, there := r.tree.Lookup(q.Path); there {
		schema = c.Schema
	}
	switch q.Op {
	case OpApply:
		return strconv.Itoa(len(q.Edits)) + " edits"
	case OpSet:
		if q.Name == "" {
			return strings.TrimSpace(shownSettings(schema, q.Arguments))
		}
		return shownSetting(schema, q.Name, q.Value)
	case OpCall:
		return shownArguments(schema, q)
	case OpCreate:
		what := "kind " + q.Kind
		schema = nil
		if k, known := r.kinds[q.Kind]; known {
			schema = k.Schema
		}
		return what + shownSettings(schema, q.Arguments)
	case OpRemove:
		if q.Below {
			return "with everything below it"
		}
	}
	return ""
}

func shownSettings(schema *model.Schema, settings []model.Argument) string {
	text := ""
	for _, a := range settings {
		text += " " + a.Name + "=" + shownSetting(schema, a.Name, a.Value)
	}
	return text
}

// shownSetting is a value that is to be set, or only that it was.
func shownSetting(schema *model.Schema, name string, v model.Value) string {
	if v.IsNone() {
		return "default"
	}
	if schema == nil {
		return "set"
	}
	if i := schema.SettingIndex(name); i >= 0 && !schema.Settings[i].Secret || schema.VariableIndex(name) >= 0 {
		return shownValue(v)
	}
	return "set"
}

func shownArguments(schema *model.Schema, q *Request) string {
	var parts []string
	for _, a := range q.Arguments {
		if a.Value.IsNone() {
			continue
		}
		shown := "set"
		if schema != nil {
			if at := schema.FunctionIndex(q.Name); at >= 0 {
				for _, f := range schema.Functions[at].Parameters {
					if f.Name == a.Name && !f.Secret {
						shown = shownValue(a.Value)
					}
				}
			}
		}
		parts = append(parts, a.Name+"="+shown)
	}
	return strings.Join(parts, " ")
}

// shownValue is a value in short. What looks like a secret of ours is none that a row may have, wherever somebody put it.
func shownValue(v model.Value) string {
	text := clip(v.String(), mostShown)
	for _, prefix := range secretPrefixes {
		if strings.Contains(strings.ToLower(text), prefix) {
			return "set"
		}
	}
	return text
}

// auditText is one line of a row: what cannot be shown as text is replaced, what is too long is cut.
func auditText(text string) string {
	text = strings.Map(func(c rune) rune {
		if c == utf8.RuneError || unicode.IsControl(c) {
			return '?'
		}
		return c
	}, text)
	return clip(text, store.MaxAuditText)
}

// clip cuts text at most bytes, between letters.
func clip(text string, most int) string {
	const mark = "..."
	if len(text) <= most {
		return text
	}
	cut := most - len(mark)
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + mark
}

// failedText is the outcome of what did not work.
func failedText(err error) string {
	word := outcomeFailed
	switch {
	case unknown(err):
		word = outcomeUnknown
	case model.KindOf(err) == model.KindDenied || model.KindOf(err) == model.KindNotFound:
		word = outcomeRefused
	}
	text := word + ": " + model.KindOf(err).String()
	if model.KindOf(err) != model.KindInternal {
		text += ": " + err.Error()
	}
	return text
}
