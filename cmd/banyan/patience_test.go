package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
)

// TestPatience: what was refused for a while is asked again when the node said, and everything else once.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tooOften := connect.NewError(connect.CodeResourceExhausted, errors.New("too many requests"))
		tooOften.Meta().Set("Retry-After", "2")
		full := connect.NewError(connect.CodeResourceExhausted, errors.New("no more users"))
		for name, test := range map[string]struct {
			answers []error
			limit   time.Duration
			asked   int
			took    time.Duration
			fails   bool
		}{
			"at once":        {[]error{nil}, time.Minute, 1, 0, false},
			"later":          {[]error{tooOften, tooOften, nil}, time.Minute, 3, 4 * time.Second, false},
			"too late":       {[]error{tooOften, tooOften, nil}, 3 * time.Second, 2, 3 * time.Second, true},
			"another limit":  {[]error{full}, time.Minute, 1, 0, true},
			"another reason": {[]error{errors.New("no")}, time.Minute, 1, 0, true},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), test.limit)
			asked, began := 0, time.Now()
			_, err := patience{}.WrapUnary(func(context.Context, connect.AnyRequest) (connect.AnyResponse, error) {
				asked++
				return nil, test.answers[asked-1]
			})(ctx, nil)
			cancel()
			if asked != test.asked || time.Since(began) != test.took || (err != nil) != test.fails {
				t.Errorf("%s: asked %d times in %s: %v", name, asked, time.Since(began), err)
			}
		}
	})
}
