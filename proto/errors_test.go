package proto

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"banyan/model"
	"banyan/proto/modelv1"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

func TestErrorsRoundTrip(t *testing.T) {
	kinds := map[codes.Code]model.ErrorKind{}
	for kind := model.KindInternal; kind <= model.KindUnknownFate; kind++ {
		sent := &model.Error{Kind: kind, Op: "set", Path: model.MustPath("/a"), Name: "b", Node: "berlin", Detail: "d \u00fc\n", Remedy: "r", Edit: 3}
		sent.Also = []*model.Error{{Kind: kind, Path: model.MustPath("/b"), Edit: 9, Detail: "too"}}
		err := Status(fmt.Errorf("wrapped: %w", sent))
		code := status.Code(err)
		if other, taken := kinds[code]; taken || code == codes.OK {
			t.Errorf("%s and %s have the same code %s", kind, other, code)
		}
		kinds[code] = kind
		var got *model.Error
		if !errors.As(FromStatus(err), &got) || !reflect.DeepEqual(got, sent) {
			t.Errorf("%s came back as %+v", kind, got)
		}
		if bare := FromStatus(status.Error(code, "text")); model.KindOf(bare) != kind {
			t.Errorf("code %s alone became %s", code, model.KindOf(bare))
		}
		if again := FromStatus(Status(&model.Error{Kind: kind})); model.KindOf(again) != kind || again.Error() != kind.String() {
			t.Errorf("a bare %s came back as %v", kind, again)
		}
	}
	if Status(nil) != nil || FromStatus(nil) != nil || FromError(nil) != nil || ToError(nil) != nil {
		t.Error("no error became one")
	}
	if Code(&model.Error{Kind: 99}) != codes.Internal || !errors.Is(FromStatus(io.EOF), io.EOF) || model.KindOf(FromStatus(status.Error(77, "x"))) != model.KindInternal {
		t.Error("what is not known is not internal")
	}
	if err := FromStatus(status.Error(codes.DeadlineExceeded, "x")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a deadline became %v", err)
	}
	cause := &model.Error{Kind: model.KindCorrupt, Op: "read", Detail: "page 7", Err: io.ErrUnexpectedEOF}
	if wire := FromError(cause); wire.GetDetail() != "page 7: unexpected EOF" || wire.GetPath() != "" {
		t.Errorf("got %v", wire)
	}
	if wire := FromError(&model.Error{Name: "x"}); wire.GetPath() != "/" {
		t.Errorf("the root is lost: %v", wire)
	}
}

// What gRPC says of a connection is told in words for people; what a peer says, and what is of something else, is left as it is.
func TestBrokenConnectionsAreToldPlainly(t *testing.T) {
	for message, want := range map[string]string{
		"error reading from server: EOF": "the connection has ended", "transport is closing": "the connection has ended",
		`connection error: desc = "transport: Error while dialing: dial tcp 10.0.0.1:7443: connect: connection refused"`: "the connection was refused",
		"error reading from server: read tcp 1.2.3.4:5->6.7.8.9:10: read: connection reset by peer":                      "the connection was reset",
		"context deadline exceeded": "no answer came in time", "the node stops": "the node stops",
	} {
		var got *model.Error
		if !errors.As(FromStatus(status.Error(codes.Unavailable, message)), &got) || got.Detail != want {
			t.Errorf("%q became %v, want %q", message, got, want)
		}
	}
	var got *model.Error
	if !errors.As(FromStatus(status.Error(codes.InvalidArgument, "the file ends with EOF")), &got) || got.Detail != "the file ends with EOF" {
		t.Errorf("what is no connection's became %v", got)
	}
	if !errors.As(FromStatus(Status(&model.Error{Kind: model.KindUnavailable, Detail: "unexpected EOF in the profile"})), &got) || got.Detail != "unexpected EOF in the profile" {
		t.Errorf("what the peer says became %v", got)
	}
}

func TestErrorsLeakNothing(t *testing.T) {
	const secret = "password=canary at /var/lib"
	for _, err := range []error{
		errors.New(secret), fmt.Errorf("%s: %w", secret, io.EOF), fmt.Errorf("%s: %w", secret, context.DeadlineExceeded), fmt.Errorf("%s: %w", secret, context.Canceled),
		errors.Join(errors.New(secret), context.Canceled), fmt.Errorf("%s: %w", secret, &model.Error{Kind: model.KindDenied, Detail: "no"}),
	} {
		s, _ := status.FromError(Status(err))
		raw, _ := proto.Marshal(s.Proto())
		if strings.Contains(string(raw), "canary") {
			t.Errorf("%v: sent %v", err, s)
		}
		if got := FromStatus(s.Err()); model.KindOf(got) != model.KindOf(err) {
			t.Errorf("%v came back as %v", err, got)
		}
	}
}

// TestErrorsAlwaysArrive: text of devices and file systems is not always UTF-8, nor short.
func TestErrorsAlwaysArrive(t *testing.T) {
	odd := "no such file \xff\xfe\x00"
	err := Status(&model.Error{Kind: model.KindConflict, Op: odd, Name: odd, Node: odd, Detail: strings.Repeat("ü", 1<<20), Remedy: odd})
	var got *model.Error
	if !errors.As(FromStatus(err), &got) || got.Kind != model.KindConflict || !strings.HasPrefix(got.Remedy, "no such file") || got.Node == "" || len(got.Detail) > 3000 {
		t.Errorf("got %.300v", got)
	}
	if _, err := proto.Marshal(FromError(&model.Error{Detail: odd})); err != nil {
		t.Error(err)
	}
	for _, wire := range []*modelv1.Error{{Kind: 256 + uint32(model.KindDenied)}, {Kind: 1<<32 - 1}, {Path: "../..", Name: "x"}} {
		if err := ToError(wire); model.KindOf(err) != model.KindInternal {
			t.Errorf("%v became %s", wire, model.KindOf(err))
		}
	}
	if kind := model.KindOf(ToError(&modelv1.Error{Kind: 200})); kind != 200 {
		t.Errorf("a kind of a newer version became %s", kind)
	}
}
