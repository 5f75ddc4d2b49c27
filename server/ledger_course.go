package server

import "banyan/model"

// course is how far a request has come at the node where it was made. It changes by plain functions of what was heard, so that every order of answers,
// losses and restarts can be tried. Before each time that it is sent its fate is looked for, which does nothing wherever it breaks off; it is sent
// only to the life of its owner that has just said that it is not done. So of all that was ever sent one at most is done, and what
// is not known is known to be so.
type course struct {
	fate     model.Fate
	doubt    bool           // something that was sent may have been done
	owner    model.Position // the owner's newest revision when it last said that the request was not done
	attempts uint32         // how often it was sent
	old      bool           // a node on the way is of an earlier version, which knows no looks: it is sent without, and its owner goes by the ID alone
	before   bool           // doubt as it was before the sending that is under way
}

// heard is what came of a look, or of a sending.
type heard struct {
	fate   model.Fate     // as the owner said, or whoever could not reach it; none where nobody did
	owner  model.Position // where the owner said that it is not done
	handed bool           // it left this node
	broken bool           // it left this node, and the connection brought an error in place of an answer
	via    []string
	err    error
}

// stride is what a course does next.
type stride uint8

const (
	strideRest stride = iota // wait, and look again
	strideSend               // it is not done: send it
	strideEnd                // its fate is known
)

// looked goes on after a look.
func (c course) looked(h *heard) (course, stride) {
	switch {
	case h.fate.Ended():
		return c.end(h.fate)
	case h.fate == model.FateStarted:
		c.fate, c.doubt = model.FateStarted, true
		return c, strideRest
	case h.fate == model.FatePending && !h.owner.IsZero():
		c.owner, c.doubt = h.owner, false
		return c, strideSend
	case h.broken && model.KindOf(h.err) == model.KindUnsupported:
		c.old = true
		return c, strideSend
	case h.fate == model.FateNone && refuses(h.err):
		return c.refused()
	}
	return c.waits(), strideRest
}

// sending is before it is sent.
func (c course) sending() course {
	c.before, c.doubt, c.fate = c.doubt, true, model.FateSent
	c.attempts++
	return c
}

// sent goes on after it was sent.
func (c course) sent(h *heard) (course, stride) {
	switch {
	case h.fate.Ended():
		return c.end(h.fate)
	case h.fate == model.FatePending && !h.owner.IsZero():
		c.owner, c.doubt = h.owner, false // the owner lives anew, and has not done it
		return c.waits(), strideRest
	case h.fate == model.FatePending || !h.handed && !refuses(h.err):
		c.doubt = c.before // it did not get there
		return c.waits(), strideRest
	case h.fate == model.FateStarted:
		c.fate = model.FateStarted
		return c, strideRest
	case h.fate == model.FateNone && h.err == nil:
		return c.end(model.FateDone) // a node of an earlier version tells no fate
	case h.fate == model.FateNone && refuses(h.err):
		c.doubt = c.before
		return c.refused()
	}
	c.fate = model.FateSent
	return c, strideRest
}

// refused is after a node on the way refused it, which says nothing of what its owner did before.
func (c course) refused() (course, stride) {
	if c.doubt {
		return c.end(model.FateUnknown)
	}
	return c.end(model.FateFailed)
}

// over is when its time is over, or somebody gave it up.
func (c course) over() course {
	c, _ = c.end(model.FateExpired)
	if c.doubt {
		c.fate = model.FateUnknown
	}
	return c
}

func (c course) waits() course {
	c.fate = model.FatePending
	if c.doubt {
		c.fate = model.FateSent
	}
	return c
}

func (c course) end(fate model.Fate) (course, stride) {
	c.fate = fate
	return c, strideEnd
}

// refuses reports whether an error is a refusal, which will be the same the next time: not one that says that something is away, full, or broken.
func refuses(err error) bool {
	if err == nil {
		return false
	}
	switch model.KindOf(err) {
	case model.KindUnavailable, model.KindTimeout, model.KindCanceled, model.KindUnknownFate, model.KindInternal, model.KindExhausted:
		return false
	}
	return true
}
