package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/topologies"

	"google.golang.org/protobuf/encoding/protojson"
)

// calmWithin is how long everything may take to be as it should be after all causes have ended.
const calmWithin = 60 * time.Second

// calm waits until the network is at rest, with nobody asking for anything, and compares everything with the books.
func (w *world) calm(ctx context.Context) {
	began := time.Now()
	problem := "nothing was looked at"
	for problem != "" && time.Since(began) < calmWithin && ctx.Err() == nil {
		if problem = w.unsettled(ctx); problem != "" {
			wait(ctx, 500*time.Millisecond)
		}
	}
	if ctx.Err() != nil {
		return
	}
	if problem != "" {
		w.books.fail("E7 everything comes back by itself within 60 s", "%s", problem)
	}
	w.writtenAreThere(ctx)
	w.callsAreTrue(ctx)
	w.everyViewWorks(ctx)
	for _, m := range w.members {
		m.auditHolds(ctx)
		m.usersAreThere(ctx)
	}
	w.say("calm after %s; %s", time.Since(began).Round(100*time.Millisecond), w.brief())
}

// unsettled says what is not as it should be yet, the first thing that it finds.
func (w *world) unsettled(ctx context.Context) string {
	for _, l := range w.links {
		for m, path := range l.ends() {
			if state := m.says(ctx, path+":state"); state != "up" {
				return fmt.Sprintf("link %s is %s at %s: %s", l, state, m.name, m.says(ctx, path+":detail"))
			}
		}
	}
	for _, l := range w.links {
		if problem := w.mirrorDiffers(ctx, l); problem != "" {
			return problem
		}
	}
	for _, v := range w.views {
		if !w.shown(v, setDevice) {
			continue
		}
		if r, err := w.members[v.at].get(ctx, v.prefix+setDevice+":seed"); err != nil || r.GetQuality() != "good" {
			return fmt.Sprintf("%s%s is %s %s at %s: %v", v.prefix, setDevice, r.GetQuality(), r.GetReason(), w.members[v.at].name, err)
		}
	}
	return ""
}

// shown reports whether all exports on the way show something of the owner, with which right.
func (w *world) shown(v view, path string) bool { _, is := w.granted(v, path); return is }

func (w *world) granted(v view, path string) (least model.Right, is bool) {
	least = model.RightAdminister
	for _, index := range v.route {
		l := w.links[index]
		l.mu.Lock()
		paths, text := l.paths, l.right
		l.mu.Unlock()
		right, err := model.ParseRight(text)
		if err != nil || !selects(paths, path) {
			return 0, false
		}
		least, path = min(least, right), "/from/"+l.provider.name+path
	}
	return least, true
}

// selects reports whether one of the patterns of an export selects a path.
func selects(patterns, path string) bool {
	parsed, err := model.ParsePath(path)
	return err == nil && slices.ContainsFunc(strings.Split(patterns, ","), func(text string) bool {
		pattern, err := model.ParsePattern(text)
		return err == nil && pattern.Matches(parsed)
	})
}

// mirrorDiffers compares what a consumer has with what its provider has and shows.
func (w *world) mirrorDiffers(ctx context.Context, l *link) string {
	own, err := l.provider.export(ctx, "/")
	if err != nil {
		return fmt.Sprintf("%s does not tell what it has: %s", l.provider.name, err)
	}
	mount := "/from/" + l.provider.name
	mirrored, err := l.consumer.export(ctx, mount)
	if err != nil {
		if kind, told := kindOf(err); !told || kind != model.KindNotFound {
			return fmt.Sprintf("%s does not tell what it has: %s", l.consumer.name, err)
		}
	}
	l.mu.Lock()
	paths := l.paths
	l.mu.Unlock()
	wanted := 0
	for path, text := range own {
		if !selects(paths, path) {
			if _, there := mirrored[path]; there {
				return fmt.Sprintf("link %s: %s has %s, which the export (%s) does not show", l, l.consumer.name, path, paths)
			}
			continue
		}
		wanted++
		if mirrored[path] != text {
			return fmt.Sprintf("link %s: of %s %s has %q and %s has %q", l, path, l.consumer.name, mirrored[path], l.provider.name, text)
		}
	}
	if len(mirrored) != wanted {
		for path := range mirrored {
			if _, there := own[path]; !there {
				return fmt.Sprintf("link %s: %s has %s, which %s has not", l, l.consumer.name, path, l.provider.name)
			}
		}
	}
	return ""
}

// export is everything at and below a path, each as a text, by the paths below it.
func (m *member) export(ctx context.Context, path string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := m.at(ctx)
	if err != nil {
		return nil, err
	}
	stream, err := c.Tree.Export(ctx, &apiv1.ExportRequest{Path: path})
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }()
	found, kinds := map[string]string{}, map[uint32]string{}
	for stream.Receive() {
		for _, k := range stream.Msg().GetKinds() {
			kinds[k.GetKey()] = k.GetName()
		}
		for _, c := range stream.Msg().GetContexts() {
			text := c.GetLabel() + " " + kinds[c.GetKind()] + " " + c.GetRevision()
			for _, name := range slices.Sorted(maps.Keys(c.GetSettings())) {
				value, err := protojson.Marshal(c.GetSettings()[name])
				if err != nil {
					return nil, err
				}
				text += " " + name + "=" + string(value)
			}
			found["/"+strings.TrimPrefix(strings.TrimPrefix(c.GetPath(), strings.TrimSuffix(path, "/")), "/")] = text
		}
	}
	return found, stream.Err()
}

// writtenAreThere compares what was confirmed with what the owners have.
func (w *world) writtenAreThere(ctx context.Context) {
	for i, m := range w.members {
		text := m.says(ctx, setDevice+":seed")
		got, err := strconv.ParseInt(text, 10, 64)
		book := w.books.written[i]
		if err == nil && book.last() == 0 && got == 1 {
			continue // what a simulator begins with
		}
		if err != nil || !book.possible(got) {
			w.books.fail("D1 what was confirmed is at its owner", "%s has %s, confirmed last was %d", m.name, text, book.last())
		}
	}
}

// callsAreTrue compares what was said of calls with how often they were done.
func (w *world) callsAreTrue(ctx context.Context) {
	counted := make([]map[string]int, len(w.members))
	for i, m := range w.members {
		counted[i] = map[string]int{}
		raw, err := os.ReadFile(filepath.Join(w.network.Dir(), "nodes", m.name, "counted"))
		if err != nil && !os.IsNotExist(err) {
			w.say("%s: %s", m.name, err)
		}
		for _, word := range strings.Fields(string(raw)) {
			counted[i][word]++
		}
	}
	w.books.mu.Lock()
	calls := w.books.calls
	w.books.calls = nil
	w.books.mu.Unlock()
	for _, a := range calls {
		if !a.until.IsZero() && time.Now().Before(a.until.Add(10*time.Second)) {
			w.books.mu.Lock()
			w.books.calls = append(w.books.calls, a) // in the next calm
			w.books.mu.Unlock()
			continue
		}
		w.judgeCall(ctx, a, counted[a.owner.index][a.word])
	}
}

func (w *world) judgeCall(ctx context.Context, a *asked, times int) {
	said := [...]string{unknown: "unknown", done: "done", refused: "refused", kept: "kept"}[a.answer]
	if a.answer == kept {
		said = a.from.fate(ctx, a.id)
		if owner := a.owner.fate(ctx, a.id); said == "failed" && owner == "done" || said == "done" && owner == "failed" {
			w.books.fail("a request has one fate", "%s says that %s is %s, its owner %s that it is %s", a.from.name, a.id, said, a.owner.name, owner)
		}
	}
	w.books.mu.Lock()
	w.books.judged[said]++
	w.books.mu.Unlock()
	switch {
	case times > 1:
		w.books.fail("nothing is done twice", "call %s at %s was done %d times; it was said to be %s", a.word, a.owner.name, times, said)
	case said == "done" && times != 1, (said == "refused" || said == "failed" || said == "expired") && times != 0:
		w.books.fail("what is said of a request is true", "call %s (request %s) made at %s at %s was said to be %s, and %s has done it %d times: %v", a.word, a.id, a.from.name,
			a.made.UTC().Format(time.RFC3339Nano), said, a.owner.name, times, a.problem)
	case said == "pending" || said == "sent" || said == "started":
		w.books.fail("a request ends in time", "request %s, made at %s for %s, is %s %s after it had to end", a.id, a.from.name, a.owner.name, said, time.Since(a.until).Round(time.Second))
	case strings.HasPrefix(said, "error"):
		w.books.fail("a request's fate is kept", "request %s, made at %s: %s", a.id, a.from.name, said)
	}
}

// fate is what a node says of a request; empty where it knows none of that.
func (m *member) fate(ctx context.Context, id string) string {
	answer, err := ask(ctx, m, func(c *topologies.Client) func(context.Context, *apiv1.RequestsRequest) (*apiv1.RequestsResponse, error) {
		return c.Tree.Requests
	}, &apiv1.RequestsRequest{Id: id})
	if err != nil {
		return "error: " + err.Error()
	}
	if len(answer.GetRequests()) == 0 {
		return "error: it knows nothing of it"
	}
	return answer.GetRequests()[0].GetFate()
}

// everyViewWorks sets something through every view that allows it.
func (w *world) everyViewWorks(ctx context.Context) {
	for _, v := range w.views {
		right, is := w.granted(v, setDevice)
		if !is || right < model.RightConfigure {
			continue
		}
		book := w.books.written[v.owner]
		value := book.next()
		err := w.members[v.at].set(ctx, v.prefix+setDevice+":seed", strconv.FormatInt(value, 10))
		book.tell(value, judge(err))
		if err != nil && ctx.Err() == nil {
			w.books.fail("what is granted works", "set %s%s at %s: %s", v.prefix, setDevice, w.members[v.at].name, err)
		}
	}
}

// auditHolds has the node walk its audit log, from heads that are remembered here.
func (m *member) auditHolds(ctx context.Context) {
	m.mu.Lock()
	texts := map[string]string{}
	if len(m.heads) > 0 {
		texts["head"] = m.heads[len(m.heads)-1]
	}
	m.mu.Unlock()
	answer, err := m.request(ctx, &apiv1.CallRequest{Path: "/system", Function: "verify_audit", Texts: texts})
	if err != nil {
		m.world.say("%s does not walk its audit log: %s", m.name, err)
		return
	}
	whole := false
	for _, r := range answer.GetResults() {
		switch r.GetName() {
		case "whole":
			whole = r.GetValue().GetBoolValue()
		case "head":
			m.mu.Lock()
			m.heads = append(m.heads, r.GetValue().GetStringValue())
			m.mu.Unlock()
		}
	}
	if !whole {
		m.world.books.fail("U5 the audit log holds", "%s, from %q: %s", m.name, texts["head"], answer)
	}
}

func (m *member) usersAreThere(ctx context.Context) {
	m.mu.Lock()
	users := maps.Clone(m.users)
	m.mu.Unlock()
	for path, wanted := range users {
		_, err := m.get(ctx, path+":enabled")
		if kind, told := kindOf(err); err != nil && (!told || kind != model.KindNotFound) {
			continue
		}
		if (err == nil) != wanted {
			m.world.books.fail("D1 what was confirmed is at its owner", "%s at %s: it is there: %v, it was confirmed to be: %v", path, m.name, err == nil, wanted)
		}
	}
}
