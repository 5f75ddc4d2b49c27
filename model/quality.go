package model

import "strconv"

// Level says how far a sample can be trusted, after OPC UA's three classes of status codes.
type Level uint8

// The levels. Their numbers are part of the wire form.
const (
	Good      Level = 0
	Uncertain Level = 1
	Bad       Level = 2
)

var levelNames = [...]string{"good", "uncertain", "bad"}

// String is the level's name.
func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return "level-" + strconv.Itoa(int(l))
}

// Reason says why a quality is not good, or is empty. Numbers unknown to this version pass through unchanged.
type Reason uint8

// The reasons. Their numbers are part of the wire form.
const (
	NoReason       Reason = 0
	ReasonStale    Reason = 1 // what is behind a link or a checkpoint may have changed since
	ReasonNoReply  Reason = 2 // the device did not answer
	ReasonRange    Reason = 3 // outside of what the device can mean
	ReasonNotSet   Reason = 4 // a setting that it needs is missing or wrong
	ReasonNotRead  Reason = 5 // never read since the context was made
	ReasonDisabled Reason = 6 // polling is switched off
	ReasonParent   Reason = 7 // what it depends on is down
	ReasonFailed   Reason = 8 // the device answered with an error

	ReasonUnsupported Reason = 9 // the device does not have it
)

var reasonNames = [...]string{"", "stale", "no-response", "out-of-range", "not-configured", "not-yet-read", "disabled", "suspended", "device-error", "not-supported"}

// String is the reason's name, empty for none.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "reason-" + strconv.Itoa(int(r))
}

// Quality is a level with its reason.
type Quality struct {
	Level  Level
	Reason Reason
}

// The qualities that are said most often.
var (
	QualityGood    = Quality{}
	QualityStale   = Quality{Uncertain, ReasonStale}
	QualityNotRead = Quality{Uncertain, ReasonNotRead}
	QualityNoReply = Quality{Bad, ReasonNoReply}
)

// Code packs the quality into 16 bits, good being 0: level in the high byte, reason in the low one.
func (q Quality) Code() uint16 { return uint16(q.Level)<<8 | uint16(q.Reason) }

// QualityFromCode unpacks what Code packed. A level that this version does not know counts as bad.
func QualityFromCode(code uint16) Quality {
	return Quality{Level: min(Level(code>>8), Bad), Reason: Reason(code & 0xff)}
}

// Worse is the less trustworthy of the two; of two equal levels it is q.
func (q Quality) Worse(other Quality) Quality {
	if other.Level > q.Level {
		return other
	}
	return q
}

// String is "good" or "level/reason".
func (q Quality) String() string {
	if q.Reason == NoReason {
		return q.Level.String()
	}
	return q.Level.String() + "/" + q.Reason.String()
}
