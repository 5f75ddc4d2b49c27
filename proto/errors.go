package proto

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"unicode"

	"banyan/model"
	"banyan/proto/modelv1"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// codeOf is the one table from kinds of errors to gRPC codes.
var codeOf = map[model.ErrorKind]codes.Code{
	model.KindInternal:        codes.Internal,
	model.KindInvalid:         codes.InvalidArgument,
	model.KindUnauthenticated: codes.Unauthenticated,
	model.KindDenied:          codes.PermissionDenied,
	model.KindNotFound:        codes.NotFound,
	model.KindExists:          codes.AlreadyExists,
	model.KindConflict:        codes.Aborted,
	model.KindUnavailable:     codes.Unavailable,
	model.KindTimeout:         codes.DeadlineExceeded,
	model.KindCanceled:        codes.Canceled,
	model.KindExhausted:       codes.ResourceExhausted,
	model.KindUnsupported:     codes.Unimplemented,
	model.KindCorrupt:         codes.DataLoss,
	model.KindUnknownFate:     codes.Unknown,
}

// Code is the gRPC code of an error's kind.
func Code(err error) codes.Code {
	if code, known := codeOf[model.KindOf(err)]; known {
		return code
	}
	return codes.Internal
}

// FromError is the wire form of an error. The text of its causes goes into the detail; an error without a kind gives away only that
// it happened, its text being for the log.
func FromError(err error) *modelv1.Error {
	if err == nil {
		return nil
	}
	var e *model.Error
	if !errors.As(err, &e) {
		switch kind := model.KindOf(err); kind {
		case model.KindTimeout:
			return &modelv1.Error{Kind: uint32(kind), Detail: "the deadline passed"}
		case model.KindCanceled:
			return &modelv1.Error{Kind: uint32(kind), Detail: "canceled"}
		default:
			return &modelv1.Error{Kind: uint32(model.KindInternal), Detail: "an internal error; the node's log has the detail"}
		}
	}
	bare := model.Error{Kind: e.Kind, Detail: e.Detail, Err: e.Err}
	detail := ""
	if e.Detail != "" || e.Err != nil {
		detail = bare.Error()
	}
	wire := &modelv1.Error{
		Kind: uint32(e.Kind), Operation: wireText(e.Op), Name: wireText(e.Name), Node: wireText(e.Node), Detail: wireText(detail), Remedy: wireText(e.Remedy),
	}
	if !e.Path.IsRoot() || e.Name != "" {
		wire.Path = e.Path.String()
	}
	if e.Edit > 0 && e.Edit <= math.MaxInt32 {
		wire.Edit = uint32(e.Edit)
	}
	for _, other := range e.Also[:min(len(e.Also), maxAlso)] {
		alone := *other
		alone.Also = nil
		wire.Also = append(wire.Also, FromError(&alone))
	}
	return wire
}

// maxAlso bounds how many further errors of a batch travel with the first one.
const maxAlso = 20

// maxErrorText bounds each text of an error: it travels in a trailer, for which there is little room.
const maxErrorText = 2048

// wireText makes text fit for the wire: protobuf refuses a whole message for one byte that is not UTF-8, and an error must always arrive.
func wireText(text string) string {
	if len(text) > maxErrorText {
		text = text[:maxErrorText] + "..."
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// heard is foreign text as people may read it: not longer than an honest node sends, and without what does something to a terminal.
func heard(text string) string {
	if harmless(text) {
		return text
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == '\n' {
			return r
		}
		return '\uFFFD'
	}, wireText(text))
}

// harmless reports whether there is nothing to be done about a text, as nearly always.
func harmless(text string) bool {
	for i := range len(text) {
		if (text[i] < ' ' || text[i] >= 0x7f) && text[i] != '\n' {
			return false
		}
	}
	return len(text) <= maxErrorText
}

// ToError reads an error; nil is none. A kind that cannot be one counts as internal, and a path that is no path is dropped: an error
// must always arrive. Its words are another node's, and come out harmless.
func ToError(wire *modelv1.Error) error {
	if wire == nil {
		return nil
	}
	e := &model.Error{
		Op: heard(wire.GetOperation()), Name: heard(wire.GetName()), Node: heard(wire.GetNode()),
		Detail: heard(wire.GetDetail()), Remedy: heard(wire.GetRemedy()),
	}
	if wire.GetKind() <= math.MaxUint8 {
		e.Kind = model.ErrorKind(wire.GetKind())
	}
	if path, err := model.ParsePath(wire.GetPath()); err == nil {
		e.Path = path
	}
	if wire.GetEdit() <= math.MaxInt32 {
		e.Edit = int(wire.GetEdit())
	}
	for _, other := range wire.GetAlso()[:min(len(wire.GetAlso()), maxAlso)] {
		alone := &modelv1.Error{
			Kind: other.GetKind(), Operation: other.GetOperation(), Path: other.GetPath(), Name: other.GetName(), Node: other.GetNode(),
			Detail: other.GetDetail(), Remedy: other.GetRemedy(), Edit: other.GetEdit(),
		}
		var read *model.Error
		if errors.As(ToError(alone), &read) {
			e.Also = append(e.Also, read)
		}
	}
	return e
}

// Status is an error as gRPC sends it, with its wire form as a detail.
func Status(err error) error {
	if err == nil {
		return nil
	}
	wire := FromError(err)
	s := status.New(Code(err), wire.GetDetail())
	if detailed, failed := s.WithDetails(wire); failed == nil {
		s = detailed
	}
	return s.Err()
}

// FromStatus is the error behind what a gRPC call returned.
func FromStatus(err error) error {
	if err == nil {
		return nil
	}
	s, isStatus := status.FromError(err)
	if !isStatus {
		return err
	}
	for _, detail := range s.Details() {
		if wire, ok := detail.(*modelv1.Error); ok {
			return ToError(wire)
		}
	}
	if s.Code() == codes.DeadlineExceeded {
		return &model.Error{Kind: model.KindTimeout, Detail: "the deadline passed", Err: context.DeadlineExceeded}
	}
	for kind, code := range codeOf {
		if code == s.Code() {
			return &model.Error{Kind: kind, Detail: heard(plain(s.Code(), s.Message()))}
		}
	}
	return &model.Error{Kind: model.KindInternal, Detail: heard(plain(s.Code(), s.Message()))}
}

// Told reports whether the error of a gRPC call was told by the program at the other end. Otherwise it is of what lies between: the connection, or this end.
func Told(err error) bool {
	s, isStatus := status.FromError(err)
	return isStatus && slices.ContainsFunc(s.Details(), func(detail any) bool { _, is := detail.(*modelv1.Error); return is })
}
