package model

import "strconv"

// Fate is what is known of a request that is sent until it is answered. Its numbers are part of the wire form and never change.
type Fate uint8

// The fates.
const (
	FateNone    Fate = 0 // nothing is said of it
	FatePending Fate = 1 // it waits, and was not handed to its owner; or its owner says that it has not been done
	FateSent    Fate = 2 // it was sent, and no answer is here yet
	FateStarted Fate = 3 // its owner has begun with it
	FateDone    Fate = 4
	FateFailed  Fate = 5 // it was refused, and is not done
	FateExpired Fate = 6 // its time was over before it was done, and it is not done any more
	FateUnknown Fate = 7 // it may have been done or not, and nobody will find out
)

var fateNames = [...]string{"", "pending", "sent", "started", "done", "failed", "expired", "unknown"}

// String is the fate's stable name.
func (f Fate) String() string {
	if int(f) < len(fateNames) {
		return fateNames[f]
	}
	return "fate-" + strconv.Itoa(int(f))
}

// ParseFate reads what String wrote.
func ParseFate(text string) (Fate, error) {
	for f := FatePending; f <= FateUnknown; f++ {
		if fateNames[f] == text {
			return f, nil
		}
	}
	return FateNone, invalidf("%s is not the fate of a request", quoted(text))
}

// Ended reports whether nothing will become of the request any more.
func (f Fate) Ended() bool { return f >= FateDone && f <= FateUnknown }
