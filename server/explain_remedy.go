package server

import (
	"fmt"
	"strings"

	"banyan/model"
)

// remedyFor says what is to be done so that all allow it that are known of, empty where they do. It goes by the words of the first refusal: a node that is
// asked over links tells no more than those.
func remedyFor(hops []explainedHop, who string, address model.Address) string {
	for i := range hops {
		if h := &hops[i]; h.known && !h.allowed {
			return h.remedy(who, address)
		}
	}
	return ""
}

func (h *explainedHop) remedy(who string, address model.Address) string {
	says := func(words string) bool { return strings.Contains(h.text, words) }
	switch {
	case says("nothing of that name is there"):
		return "look how it is called: banyan get " + address.Path.String()
	case says(" itself only, not over a link"), says(" only, not over a link"):
		return "log in at " + h.node + " and do it there"
	case says("no export selects it"):
		return fmt.Sprintf("have it shown at %s: paths, kinds and hide of an export for this link; `banyan exports preview` shows what is", h.node)
	case says(", export "):
		_, name, _ := strings.Cut(h.text, ", export ")
		name, _, _ = strings.Cut(name, ":")
		return fmt.Sprintf("raise what the link is granted, at %s: banyan set /exports/%s:right %s", h.node, name, h.need)
	case says("names no person"):
		return "ask as a person who is logged in"
	case strings.HasPrefix(h.origin, "rule "):
		return fmt.Sprintf("change %s at %s, or put one before it: it gives %s on this, and the first that matches counts", h.origin, h.node, h.has)
	case h.origin != "" || says(" of token "):
		return "use a token whose scope lets it through"
	case says(", no rule matches"):
		return fmt.Sprintf("give %s a rule for it at %s, or a role that has one: nothing is allowed without", who, h.node)
	case says(", rule "):
		return fmt.Sprintf("change the rule at %s that is for %s: a context of kind "+KindForeign+" below /users there", h.node, who)
	}
	return "ask whoever administers " + h.node
}
