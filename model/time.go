package model

import (
	"math"
	"time"
)

// Time is an instant as nanoseconds since 1970-01-01 UTC: pointer-free, so that millions of them cost the collector nothing. It
// reaches from September 1677 to April 2262. Zero means "no time".
type Time int64

// The first and the last instant that a Time can hold.
var (
	earliest = time.Unix(0, math.MinInt64).UTC() // 1677-09-21T00:12:43.145224192Z
	latest   = time.Unix(0, math.MaxInt64).UTC() // 2262-04-11T23:47:16.854775807Z
)

// TimeOf converts from time.Time; the zero time.Time becomes 0, and what is out of range the nearest instant within.
func TimeOf(t time.Time) Time {
	switch {
	case t.IsZero():
		return 0
	case t.Before(earliest):
		return math.MinInt64
	case t.After(latest):
		return math.MaxInt64
	}
	return Time(t.UnixNano())
}

// Std converts to time.Time in UTC; 0 becomes the zero time.Time.
func (t Time) Std() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(t)).UTC()
}

// String is RFC 3339 with as many decimals as needed, empty for no time.
func (t Time) String() string {
	if t == 0 {
		return ""
	}
	return t.Std().Format(time.RFC3339Nano)
}

// ParseTime reads RFC 3339 within the range of a Time.
func ParseTime(text string) (Time, error) {
	std, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, invalidf("%s is not a time: use RFC 3339, like 2026-01-02T03:04:05.678Z", quoted(text))
	}
	if std.Before(earliest) || std.After(latest) {
		return 0, invalidf("time %s is not between %s and %s", quoted(text), earliest.Format(time.RFC3339), latest.Format(time.RFC3339))
	}
	return Time(std.UnixNano()), nil
}

// MarshalText is String.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText is ParseTime; empty text is no time.
func (t *Time) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*t = 0
		return nil
	}
	parsed, err := ParseTime(string(text))
	if err == nil {
		*t = parsed
	}
	return err
}
