package main

import (
	"context"
	"strconv"
	"time"

	"connectrpc.com/connect"
)

// patience waits where a node says that it was asked too often and when to come again, as long as the command may take: a tree of many thousand
// contexts takes longer then, and does not fail half-way.
type patience struct{}

var _ connect.Interceptor = patience{}

// WrapUnary repeats a request that was not let in, and therefore not done.
func (patience) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		for {
			answer, err := next(ctx, request)
			wait := waitFor(err)
			if wait == 0 {
				return answer, err
			}
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return nil, err
			}
		}
	}
}

// waitFor is how long the node asks to wait, 0 where it does not.
func waitFor(err error) time.Duration {
	if connect.CodeOf(err) != connect.CodeResourceExhausted {
		return 0
	}
	refused, is := err.(*connect.Error) //nolint:errorlint // an interceptor gets it as it is
	if !is {
		return 0
	}
	seconds, err := strconv.Atoi(refused.Meta().Get("Retry-After"))
	if err != nil || seconds < 1 || seconds > 60 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// WrapStreamingClient leaves streams as they are: they are refused for other reasons than how often they are asked for.
func (patience) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler does nothing: this is a client.
func (patience) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}
