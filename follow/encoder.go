package follow

import "banyan/proto"

// encoder is the memory in which a batch is made. It belongs to the view: one that was used a moment ago, for whichever follower, is at hand for the
// processor still, and a follower that has nothing to encode has none.
type encoder struct {
	columns proto.Samples
	encoded []byte
	drops   uint64 // of the view, when it was taken
}

// mostIdle is how many encoders a view keeps.
const mostIdle = 2

// takeEncoder is one for the caller alone.
func (v *View) takeEncoder() *encoder {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := len(v.idle)
	if n == 0 {
		return &encoder{drops: v.drops}
	}
	e := v.idle[n-1]
	v.idle[n-1] = nil
	v.idle = v.idle[:n-1]
	return e
}

// giveBack keeps an encoder for another time, unless contexts were taken out meanwhile: nothing of them may stay.
func (v *View) giveBack(e *encoder) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if e.drops == v.drops && len(v.idle) < mostIdle {
		v.idle = append(v.idle, e)
	}
}
