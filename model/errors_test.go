package model

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"testing"
)

func TestErrorText(t *testing.T) {
	at := MustPath("/a")
	for _, test := range []struct {
		err  *Error
		want string
	}{
		{&Error{}, "internal"}, {&Error{Kind: KindDenied}, "denied"}, {&Error{Kind: 77}, "kind-77"}, {&Error{Kind: KindDenied, Op: "set"}, "set: denied"},
		{&Error{Op: "set", Path: at, Name: "b", Detail: "no"}, "set /a:b: no"}, {&Error{Path: at, Detail: "no"}, "/a: no"}, {&Error{Op: "get", Name: "b", Detail: "no"}, "get /:b: no"},
		{&Error{Op: "call", Path: at, Err: io.EOF}, "call /a: EOF"}, {&Error{Op: "x", Detail: "d", Err: io.EOF, Remedy: "try y"}, "x: d: EOF (try y)"},
		{Errorf(KindCorrupt, "reading %s: %w", "f", io.EOF), "reading f: EOF"}, {&Error{Kind: KindTimeout, Remedy: "wait"}, "timeout (wait)"},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestErrorChains(t *testing.T) {
	cause := &fs.PathError{Op: "open", Path: "f", Err: fs.ErrNotExist}
	inner := Errorf(KindNotFound, "reading: %w", cause)
	outer := fmt.Errorf("start: %w", Errorf(KindUnavailable, "first %w, then %w", inner, io.EOF))
	var e *Error
	var p *fs.PathError
	switch {
	case KindOf(outer) != KindUnavailable || KindOf(inner) != KindNotFound:
		t.Error("the kind is not that of the first error")
	case !errors.As(outer, &e) || e.Kind != KindUnavailable || !errors.As(outer, &p) || p != cause:
		t.Error("As does not find what was wrapped")
	case !errors.Is(outer, fs.ErrNotExist) || !errors.Is(outer, io.EOF) || errors.Is(outer, io.ErrUnexpectedEOF):
		t.Error("Is does not find what was wrapped")
	case !errors.Is(outer, &Error{Kind: KindUnavailable}) || !errors.Is(outer, &Error{Kind: KindNotFound}) || errors.Is(outer, &Error{Kind: KindDenied}):
		t.Error("Is does not test the kind")
	case errors.Is(inner, &Error{Kind: KindNotFound, Op: "set"}):
		t.Error("more than a kind is taken for a kind")
	case outer.Error() != "start: first reading: open f: file does not exist, then EOF":
		t.Errorf("got %q", outer)
	case Errorf(KindInvalid, "plain").Unwrap() != nil:
		t.Error("a cause out of nothing")
	}
	for want, err := range map[ErrorKind]error{
		KindTimeout: fmt.Errorf("dial: %w", context.DeadlineExceeded), KindCanceled: context.Canceled, KindInternal: io.EOF,
		KindConflict: errors.Join(io.EOF, &Error{Kind: KindConflict}),
	} {
		if got := KindOf(err); got != want {
			t.Errorf("%v: got %s, want %s", err, got, want)
		}
	}
	if KindOf(nil) != KindInternal || KindUnknownFate.String() != "unknown-fate" || len(kindNames) != int(KindUnknownFate)+1 {
		t.Error("kinds and their names")
	}
}
