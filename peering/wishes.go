package peering

import (
	"sync"

	"banyan/follow"
)

// Wish is at which pace a consumer wants samples of what it is shown.
type Wish struct {
	View  *follow.View
	Rules []follow.InterestRule // by paths below the view's root
}

// wishes are those of the sessions that this node serves.
type wishes struct {
	mu  sync.Mutex // guards all
	all map[*providerSession]Wish
}

// Wishes is what the consumers of this node want now.
func (h *Hub) Wishes() []Wish {
	h.wishes.mu.Lock()
	defer h.wishes.mu.Unlock()
	list := make([]Wish, 0, len(h.wishes.all))
	for _, w := range h.wishes.all {
		list = append(list, w)
	}
	return list
}

// wish notes what a session's consumer wants, where that was said anew.
func (s *providerSession) wish(machine *Provider) {
	rules, anew := machine.Wanted()
	if !anew {
		return
	}
	h := s.link.hub
	h.wishes.mu.Lock()
	if h.wishes.all == nil {
		h.wishes.all = make(map[*providerSession]Wish)
	}
	h.wishes.all[s] = Wish{machine.cfg.View, rules}
	h.wishes.mu.Unlock()
	h.wished()
}

// unwish forgets what a session's consumer wanted.
func (s *providerSession) unwish() {
	h := s.link.hub
	h.wishes.mu.Lock()
	delete(h.wishes.all, s)
	h.wishes.mu.Unlock()
	h.wished()
}

func (h *Hub) wished() {
	if h.cfg.Wished != nil {
		h.cfg.Wished()
	}
}
