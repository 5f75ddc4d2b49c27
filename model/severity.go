package model

import (
	"slices"
	"strings"
)

// Severity says how much an event matters. The zero one is none: of an event that did not say, and of a limit that is not set.
type Severity uint8

// The severities in ascending order. Their numbers are part of the wire form.
const (
	SeverityDebug    Severity = 1 // for whoever looks for a fault
	SeverityInfo     Severity = 2 // it happened, as it should
	SeverityNotice   Severity = 3 // it happened, and somebody may want to know
	SeverityWarning  Severity = 4 // it will fail if nobody does anything
	SeverityError    Severity = 5 // it has failed
	SeverityCritical Severity = 6 // it has failed, and people depend on it
)

var severityNames = [...]string{"none", "debug", "info", "notice", "warning", "error", "critical"}

// String is the severity's name in settings and messages.
func (s Severity) String() string { return severityNames[min(int(s), len(severityNames)-1)] }

// ParseSeverity reads a severity's name.
func ParseSeverity(text string) (Severity, error) {
	if at := slices.Index(severityNames[:], text); at > 0 {
		return Severity(at), nil
	}
	return 0, invalidf("%s is not a severity: use %s or %s", quoted(text), strings.Join(severityNames[1:len(severityNames)-1], ", "),
		SeverityCritical)
}
