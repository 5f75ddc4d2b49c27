package trials

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"banyan/proto/apiv1"
)

// saids are what a teller says of its word: each sort of name and text that a context has.
func saids(word string) []string {
	return []string{
		"/devices/" + word, word + "_kind", word + "-label", word + "_setting", word + "-setting", word + "_text", word + "-unit", word + "_table", word + "_column", word + "-cell",
		word + "-value", word + "_tell", word + "_given", word + "_result", word + "-error", word + "-refusal", "A " + word + " of a kind", "Of " + word,
	}
}

// converse has HQ ask the site in each way that links carry, about what it is shown. Who asked stays in the audit log.
func (h *hiding) converse() {
	h.Helper()
	shown := siteDevices + actedWord + "site"
	function := actedWord + "site_tell"
	for _, until := range []string{"", "1m"} { // a request that is kept is looked for as well
		if _, err := h.at("hq").Tree.Call(h.Context(), &apiv1.CallRequest{Path: shown, Function: function, Until: until}); err == nil || !strings.Contains(err.Error(), "-refusal") {
			h.Errorf("the function of what is shown: %v", err)
		}
	}
	if _, err := h.at("hq").Tree.Call(h.Context(), &apiv1.CallRequest{
		Path: "/system", Function: "explain_right", Texts: map[string]string{"user": "admin", "address": shown + ":" + function},
	}); err != nil {
		h.Error(err)
	}
	if _, err := h.at("hq").Tree.Call(h.Context(), &apiv1.CallRequest{Path: "/links/region", Function: "explain"}); err != nil {
		h.Error(err)
	}
	for _, address := range []string{"/mounts/region:interval", "/mounts/region:enrol_nodes"} { // what it wants, and whom it lets the region enrol
		if _, err := h.at("hq").Tree.Set(h.Context(), &apiv1.SetRequest{Address: address, Text: map[bool]string{true: "100ms", false: "5"}[strings.HasSuffix(address, "interval")]}); err != nil {
			h.Error(err)
		}
	}
}

// crossed checks that everything that a teller says is found in what crossed links, and nothing of what is hidden: else nothing proves that it would be.
func (h *hiding) crossed(shown string) {
	h.Helper()
	all := h.heard.since(nil)
	for _, said := range saids(shown) {
		if !slices.ContainsFunc(all, func(m *told) bool { return m.holds(said) }) {
			h.Errorf("%q crossed a link and is not found: the test cannot find anything", said)
		}
	}
	h.heard.nothingOf(nil, hiddenWord)
	h.Logf("%d messages and headers have crossed links, in %d connections", len(all), len(h.heard.files("-link-*.out")))
}

// uneasy are the frames that a provider tells when something has changed. Samples, beats and the freshness of hops come of themselves.
var uneasy = []string{"delta", "schema", "bindings", "overlays", "want_bulk", "welcome", "farewell"}

// movesNothing does at the site and at the region what nobody above is shown: no frame is made for it, at any link, nor does anybody ask anything.
func (h *hiding) movesNothing() {
	h.Helper()
	before := h.heard.now()
	for i := range 20 {
		for _, node := range []string{"site", "region"} {
			word := hiddenWord + node
			path := fmt.Sprintf("/devices/%s-%d", word, i)
			h.make(node, path, "folder", word, nil)
			h.make(node, path+"/below", "simulator", word, map[string]string{"poll_interval": "100ms"})
			// What is hidden inside of what is shown changes by itself. Its settings are not set: revisions are told, and those of what is hidden count.
			if _, err := h.at(node).Tree.Set(h.Context(), &apiv1.SetRequest{Address: "/devices/" + word + ":" + word + "_setting", Text: fmt.Sprint(word, i)}); err != nil {
				h.Fatal(err)
			}
			_, _ = h.at(node).Tree.Call(h.Context(), &apiv1.CallRequest{Path: "/devices/" + word, Function: word + "_tell"})
			if i%2 == 0 {
				if _, err := h.at(node).Tree.Remove(h.Context(), &apiv1.RemoveRequest{Path: path, Below: true}); err != nil {
					h.Fatal(err)
				}
			}
		}
	}
	<-time.After(2 * time.Second) // as long as anything could be held back
	count := map[string]int{}
	for _, m := range h.heard.since(before) {
		count[m.sort()]++
		_, kind, _ := strings.Cut(m.sort(), "/")
		if m.what == "headers" || slices.Contains(uneasy, m.frame) || !strings.HasPrefix(kind, "Follow ") {
			h.Errorf("something crossed a link for what is hidden, %s: %.200s %s", m.sort(), fmt.Sprint(m.body), m.header)
		}
	}
	if len(count) == 0 {
		h.Error("nothing crossed any link: the test cannot find anything")
	}
	h.Logf("beside what is hidden there crossed %v", count)
}

// silent are the sorts of messages that this trial does not have, by what they begin with, with the reason.
var silent = map[string]string{
	"banyan.link.v1.LinkService/Keep":    "backups are sealed: nobody can search them, and how long they are tells how much a node has",
	"banyan.link.v1.Keep":                "the same",
	"banyan.link.v1.JoinService/Recover": "it hands such a backup back",
	"banyan.link.v1.Recover":             "the same",
}

// everySort checks that each sort of message that links carry has crossed one: in one that has not, nothing was searched.
func (o *overheard) everySort() {
	o.Helper()
	missing := sorts()
	for _, m := range o.since(nil) {
		delete(missing, m.what)
		if m.frame != "" {
			delete(missing, fmt.Sprintf("%s %s", m.body.ProtoReflect().Descriptor().FullName(), m.frame))
		}
	}
	for sort := range missing {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(silent)), func(of string) bool { return strings.HasPrefix(sort, of) }) {
			o.Errorf("%s has not crossed a link: let the trial do what it is for, or say in silent why not", sort)
		}
	}
}
