package proto

import (
	"strings"

	"google.golang.org/grpc/codes"
)

// plainWords are what Go and gRPC say where a connection fails, and what that is for people. The first that is found counts.
var plainWords = []struct{ part, says string }{
	{"connection refused", "the connection was refused"},
	{"reset by peer", "the connection was reset"},
	{"deadline exceeded", "no answer came in time"},
	{"i/o timeout", "no answer came in time"},
	{"context canceled", "it was given up before an answer came"},
	{"EOF", "the connection has ended"},
	{"transport is closing", "the connection has ended"},
	{"client connection is closing", "the connection has ended"},
	{"closed network connection", "the connection has ended"},
	{"broken pipe", "the connection has ended"},
	{"RST_STREAM", "the other end broke it off"},
}

// plain is what gRPC says of a call that nobody answered, in words for people. What a peer says itself comes as a detail, and is never looked at here.
func plain(code codes.Code, message string) string {
	if code != codes.Unavailable && code != codes.Canceled {
		return message
	}
	for _, w := range plainWords {
		if strings.Contains(message, w.part) {
			return w.says
		}
	}
	return message
}
