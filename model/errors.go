package model

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrorKind is the class of an error: the same few on every tier, stable on the wire. What a program decides on is the kind;
// what a person reads is the text.
type ErrorKind uint8

// The kinds. Their numbers are part of the wire form and never change.
const (
	KindInternal        ErrorKind = 0  // a defect of this program; the detail is in the log
	KindInvalid         ErrorKind = 1  // the request can never succeed as it stands
	KindUnauthenticated ErrorKind = 2  // who asks is not known
	KindDenied          ErrorKind = 3  // who asks is known and may not
	KindNotFound        ErrorKind = 4  // absent, or hidden from who asks
	KindExists          ErrorKind = 5  // something of that name is there already
	KindConflict        ErrorKind = 6  // the expected revision is not the current one
	KindUnavailable     ErrorKind = 7  // the owner cannot be reached now; trying later can help
	KindTimeout         ErrorKind = 8  // the deadline passed
	KindCanceled        ErrorKind = 9  // who asked gave up
	KindExhausted       ErrorKind = 10 // a limit was reached
	KindUnsupported     ErrorKind = 11 // this version or this kind of context cannot do that
	KindCorrupt         ErrorKind = 12 // stored or received bytes are damaged
	KindUnknownFate     ErrorKind = 13 // it may or may not have been done
)

var kindNames = [...]string{
	"internal", "invalid", "unauthenticated", "denied", "not-found", "exists", "conflict", "unavailable", "timeout", "canceled",
	"exhausted", "unsupported", "corrupt", "unknown-fate",
}

// String is the kind's stable name.
func (k ErrorKind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind-" + strconv.Itoa(int(k))
}

// Error is the error type of all tiers. Every field but Kind may be empty.
type Error struct {
	Kind   ErrorKind
	Op     string // what was being done: "set", "call", "join"
	Path   Path   // where; the root when no path is meant
	Name   string // the setting, variable or function at Path
	Node   string // the name of the node that answered, where that is not this one
	Detail string // what happened, for a person
	Remedy string // what to do next, for a person
	Err    error  // the cause

	Edit int      // of a batch: which of its edits it is about, from 1; 0 where it is about none
	Also []*Error // of a batch: what else was wrong with it, in the order of its edits
}

// Error is "op path:name: detail: cause (remedy)".
func (e *Error) Error() string {
	var parts []string
	if e.Edit > 0 {
		parts = append(parts, "edit "+strconv.Itoa(e.Edit))
	}
	where := e.Op
	if !e.Path.IsRoot() || e.Name != "" {
		where = strings.TrimSpace(where + " " + Address{Path: e.Path, Name: e.Name}.String())
	}
	if where != "" {
		parts = append(parts, where)
	}
	if e.Detail != "" {
		parts = append(parts, e.Detail)
	}
	if e.Err != nil && e.Err.Error() != "" {
		parts = append(parts, e.Err.Error())
	}
	if e.Detail == "" && e.Err == nil {
		parts = append(parts, e.Kind.String())
	}
	text := strings.Join(parts, ": ")
	if e.Remedy != "" {
		text += " (" + e.Remedy + ")"
	}
	return text
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is(err, &Error{Kind: k}) a test of the kind alone.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	if !ok || t.Edit != 0 || t.Err != nil || len(t.Also) > 0 || !t.Path.IsRoot() {
		return false
	}
	return t.Op == "" && t.Name == "" && t.Node == "" && t.Detail == "" && t.Remedy == "" && e.Kind == t.Kind
}

// KindOf is the kind of the first *Error in err's chain; the context errors have kinds of their own, everything else is internal.
func KindOf(err error) ErrorKind {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.DeadlineExceeded):
		return KindTimeout
	case errors.Is(err, context.Canceled):
		return KindCanceled
	}
	return KindInternal
}

// Errorf makes an error of a kind with a detail; each %w keeps a cause.
func Errorf(kind ErrorKind, format string, args ...any) *Error {
	wrapped := fmt.Errorf(format, args...)
	e := &Error{Kind: kind, Detail: wrapped.Error()}
	var several interface{ Unwrap() []error }
	if errors.Unwrap(wrapped) != nil || errors.As(wrapped, &several) {
		e.Err = quietCause{wrapped}
	}
	return e
}

// quietCause keeps what was wrapped for errors.Is and errors.As; its text already stands in the detail.
type quietCause struct{ error }

func (q quietCause) Error() string { return "" }
func (q quietCause) Unwrap() error { return q.error }

func invalidf(format string, args ...any) error { return Errorf(KindInvalid, format, args...) }

// quoted shows foreign text in a message: escaped, and cut where it is long.
func quoted(text string) string {
	const most = 64
	if len(text) > most {
		return strconv.QuoteToASCII(text[:most]) + "..."
	}
	return strconv.QuoteToASCII(text)
}
