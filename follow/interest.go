package follow

import (
	"slices"
	"time"

	"banyan/model"
	"banyan/tree"
)

// Pace is how often samples are wanted, and from which difference on. The zero one is each sample as it comes.
type Pace struct {
	Interval time.Duration // least time between two of one variable, the newest being told when it is due; below 0 none are told
	Deadband float64       // a number that differs by less from the one that was told last is not told
}

// Never is the pace at which no sample is told.
var Never = Pace{Interval: -1}

// Live reports whether each sample is wanted as it comes.
func (p Pace) Live() bool { return p.Interval == 0 && p.Deadband == 0 }

// Or is the pace that serves both.
func (p Pace) Or(other Pace) Pace {
	switch {
	case p.Interval < 0:
		return other
	case other.Interval < 0:
		return p
	}
	return Pace{min(p.Interval, other.Interval), min(p.Deadband, other.Deadband)}
}

// more reports whether something is told at this pace that is not at another.
func (p Pace) more(than Pace) bool {
	return p.Interval >= 0 && (than.Interval < 0 || p.Interval < than.Interval || p.Deadband < than.Deadband)
}

// InterestRule is the pace at which what a pattern selects is wanted. Of several rules that match the last one holds, without one everything is live.
type InterestRule struct {
	Pattern model.Pattern // below the view's root
	Pace    Pace
}

// SetInterest says how often samples are wanted, in place of what was said before. What is wanted more often now is told its latest at once.
func (f *Follower) SetInterest(rules []InterestRule, now model.Time) {
	f.now = now
	was, is := f.held, newHeld(rules)
	if was == nil && is.live() {
		return
	}
	for _, p := range is.paces {
		if p.told = now; !f.reading {
			p.told -= model.Time(p.Interval) // nothing was told yet, live or at another pace
		}
		if was != nil {
			if i, there := was.find(p.Pace); there {
				p.told = was.paces[i].told
			}
		}
	}
	is.unsure = was == nil && f.reading
	if was != nil {
		is.unsure = was.unsure
		is.pages, is.due, is.count = was.pages, was.due, was.count
		is.members = make([]memberPace, len(was.members))
		for i := range was.members {
			is.members[i].definedAt = was.members[i].definedAt
		}
		f.view.mu.RLock()
		f.hold(was, is)
		f.view.mu.RUnlock()
	}
	f.held = is
	f.thaw()
}

// hold puts what was held back at one pace to where it belongs at another. View.mu is held.
func (f *Follower) hold(was, is *held) {
	for i, p := range is.pages {
		if p == nil {
			continue
		}
		for s := range p.state {
			p.state[s] &^= isListed
			if p.state[s]&isPending == 0 {
				continue
			}
			slot := tree.Slot(i<<pageBits + s)
			index, m := f.memberAt(slot)
			if m == nil {
				p.state[s] = 0
				continue
			}
			if pace := is.paceOf(index, m); pace.more(was.paceOf(index, m).Pace) {
				is.due = append(is.due, slot)
			} else if pace.Interval > 0 {
				is.wait(pace, slot)
			}
		}
	}
}

// memberAt is the context that a slot belongs to, nil where it is not shown. View.mu is held.
func (f *Follower) memberAt(slot tree.Slot) (tree.Index, *member) {
	v := f.view
	if int(slot>>pageBits) >= len(v.pages) {
		return 0, nil
	}
	p, s := v.pages[slot>>pageBits], slot&pageMask
	if p.key[s] == hidden {
		return 0, nil
	}
	return p.member[s], &v.members[p.member[s]]
}

// thaw forgets an interest that is live again, once everything that was held back is told.
func (f *Follower) thaw() {
	if len(f.held.due) == 0 && f.held.live() {
		f.withheld += f.held.count
		f.held = nil
	}
}

// Advance says what time it is: what is due by then is told by the calls of Samples that follow.
func (f *Follower) Advance(now model.Time) { f.now = now }

// Due is when something that is held back is to be told, and whether there is something.
func (f *Follower) Due() (due model.Time, some bool) {
	if f.held == nil {
		return 0, false
	}
	if len(f.held.due) > 0 {
		return f.now, true
	}
	for _, p := range f.held.paces {
		if at := p.told + model.Time(p.Interval); len(p.waiting) > 0 && (!some || at < due) {
			due, some = at, true
		}
	}
	return due, some
}

// Paced reports whether some samples wait for their time: Advance is to be called all the time.
func (f *Follower) Paced() bool { return f.held != nil }

// Withheld is how many samples the interest left out, which is apart from those that a follower was too slow for.
func (f *Follower) Withheld() uint64 {
	if f.held == nil {
		return f.withheld
	}
	return f.withheld + f.held.count
}

// takeHeld makes batches of what passes of a run.
func (f *Follower) takeHeld(run *tree.Run, oldest uint64) {
	passing := f.sift(run)
	f.encode(&passing, f.cuts(&passing))
	if !f.view.tree.Holds(oldest) {
		f.ready = nil
		f.held.mistaken(&passing)
		f.reader.Unread(run)
		return
	}
	f.conflated(run)
}

// sift is a run without what is held back.
func (f *Follower) sift(run *tree.Run) tree.Run {
	v, h := f.view, f.held
	kept := *run
	kept.Lapped, kept.Boxed = true, nil
	kept.Slots, kept.Bits, kept.Source, kept.Owner, kept.Quality, kept.Versions = nil, nil, nil, nil, nil, nil
	v.refresh()
	v.mu.RLock()
	defer v.mu.RUnlock()
	for i, slot := range run.Slots {
		index, m := f.memberAt(slot)
		if m == nil {
			continue
		}
		version := run.First + uint64(i) + 1
		if run.Lapped {
			version = run.Versions[i]
		}
		// What may not be told yet is left to translate, which remembers that there was something.
		if f.active(m) && !h.admits(h.paceOf(index, m), slot, m.typeAt(slot), run.Bits[i], run.Quality[i], version) {
			continue
		}
		appendSample(&kept, run, i, version)
	}
	return kept
}

// typeAt is the type of the variable at one of the member's slots.
func (m *member) typeAt(slot tree.Slot) model.Type {
	return m.full.Variables[slot-m.slots.First].Type
}

func appendSample(to, from *tree.Run, i int, version uint64) {
	if len(from.Boxed) > i && !from.Boxed[i].IsNone() {
		for len(to.Boxed) < len(to.Slots) {
			to.Boxed = append(to.Boxed, model.Value{})
		}
		to.Boxed = append(to.Boxed, from.Boxed[i])
	} else if to.Boxed != nil {
		to.Boxed = append(to.Boxed, model.Value{})
	}
	to.Slots = append(to.Slots, from.Slots[i])
	to.Bits = append(to.Bits, from.Bits[i])
	to.Source = append(to.Source, from.Source[i])
	to.Owner = append(to.Owner, from.Owner[i])
	to.Quality = append(to.Quality, from.Quality[i])
	to.Versions = append(to.Versions, version)
}

// takeDue makes batches of what was held back and is due, and reports whether there was something.
func (f *Follower) takeDue() bool {
	h := f.held
	for _, p := range h.paces {
		if len(p.waiting) == 0 || f.now < p.told+model.Time(p.Interval) {
			continue
		}
		for _, slot := range p.waiting {
			page, s := h.at(slot)
			page.state[s] &^= isListed
		}
		h.due, p.waiting, p.told = append(h.due, p.waiting...), nil, f.now
	}
	if len(h.due) == 0 {
		return false
	}
	part := h.due[:min(maxBatch, len(h.due))]
	h.due = h.due[len(part):]
	if run := f.latestOf(part); len(run.Slots) > 0 {
		head := run.Next
		run.Lapped, run.First, run.Next = true, f.at, f.at
		f.encode(&run, f.cuts(&run))
		if !f.view.tree.Holds(head) {
			f.ready = nil
			h.mistaken(&run)
			h.count += uint64(len(run.Slots))
			h.due = append(h.due, run.Slots...)
		}
	}
	f.thaw()
	return true
}

// latestOf collects the latest samples of slots that are due. As with those of a definition, what the ring has yet to bring comes from there. What is
// within its deadband waits on.
func (f *Follower) latestOf(slots []tree.Slot) tree.Run {
	h := f.held
	var contexts []tree.Index
	paces := make(map[tree.Slot]*paced, len(slots))
	f.view.mu.RLock()
	for _, slot := range slots {
		index, m := f.memberAt(slot)
		if p, s := h.at(slot); m != nil && f.active(m) && p.state[s]&(isPending|isOverdue) != 0 {
			contexts = appendNew(contexts, index)
			paces[slot] = h.paceOf(index, m)
		}
	}
	f.view.mu.RUnlock()
	slices.Sort(contexts)
	all := f.view.tree.LatestIn(slices.Compact(contexts))
	run := tree.Run{Next: all.Next}
	f.view.mu.RLock()
	defer f.view.mu.RUnlock()
	for i, slot := range all.Slots {
		pace := paces[slot]
		_, m := f.memberAt(slot)
		if pace == nil || m == nil {
			continue
		}
		p, s := h.at(slot)
		switch {
		case all.Versions[i] > f.at:
			h.expect(slot, all.Versions[i])
		case p.state[s]&isKnown != 0 && all.Quality[i] == p.quality[s] && pace.within(m.typeAt(slot), all.Bits[i], p.bits[s]):
		default:
			h.pass(slot, all.Bits[i], all.Quality[i])
			h.count -= min(h.count, 1)
			appendSample(&run, &all, i, all.Versions[i])
		}
	}
	return run
}
