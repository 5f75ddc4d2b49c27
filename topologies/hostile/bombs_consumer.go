package hostile

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/proto/modelv1"
)

func (p *Peer) hello() *linkv1.Hello {
	return &linkv1.Hello{Version: 2, Link: p.Name, Session: []byte(fmt.Sprintf("%016d", p.next()))}
}

// helloBombs are what a consumer says in its stream.
func helloBombs() []*Bomb {
	lie := func(name, sends, reason string, aims []string, spoil func(*linkv1.Hello)) *Bomb {
		return &Bomb{Name: name, Sends: sends, Reason: reason, Aims: append(aims, "ConsumerFrame.hello", "Hello"), call: func(c *Calling) error {
			hello := c.hello()
			spoil(hello)
			t, err := c.Talk(hello)
			if err != nil {
				return err
			}
			return t.End()
		}}
	}
	after := func(name, sends, reason string, aims []string, make func() []*linkv1.ConsumerFrame) *Bomb {
		return &Bomb{Name: name, Sends: sends, Reason: reason, Aims: append(aims, "ConsumerFrame"), call: func(c *Calling) error {
			t, err := c.Talk(c.hello())
			if err != nil {
				return err
			}
			for _, frame := range make() {
				if t.Send(frame) != nil {
					break // End says why
				}
			}
			return t.End()
		}}
	}
	rules := func(count int, rule *linkv1.InterestRule) *linkv1.ConsumerFrame {
		i := &linkv1.Interest{}
		for range count {
			i.Rules = append(i.Rules, rule)
		}
		return &linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Interest{Interest: i}}
	}
	permit := func(p *linkv1.Permit) []*linkv1.ConsumerFrame {
		return []*linkv1.ConsumerFrame{{Body: &linkv1.ConsumerFrame_Permit{Permit: p}}}
	}
	return []*Bomb{
		lie("history without end", "a hello with a history of 150,000 epochs", "more than 100000 begins", []string{"Chain"}, func(h *linkv1.Hello) { h.Chain = longChain(150_000) }),
		lie("samples that nobody told", "a hello that has all samples there can be", "nobody told it", nil, func(h *linkv1.Hello) { h.Version, h.Samples = math.MaxUint32, math.MaxUint64 }),
		lie("export of nobody", "a hello for an export with a name of 1 MiB that rings", "no export of this name", nil, func(h *linkv1.Hello) { h.Export = ring(1 << 20) }),
		lie("deadband that is none", "a hello with a deadband that is no number", "deadband", []string{"Interest", "InterestRule"}, func(h *linkv1.Hello) {
			h.Interest = &linkv1.Interest{Rules: []*linkv1.InterestRule{{Pattern: "/**", Deadband: math.NaN()}}}
		}),
		after("two hellos", "a second hello", "second hello", nil, func() []*linkv1.ConsumerFrame {
			return []*linkv1.ConsumerFrame{{Body: &linkv1.ConsumerFrame_Hello{Hello: &linkv1.Hello{}}}}
		}),
		after("no body", "a frame without a body", "does not know", nil, func() []*linkv1.ConsumerFrame { return []*linkv1.ConsumerFrame{{}} }),
		after("bulk in the wrong place", "the beginning of a bulk stream", "does not know", []string{"ConsumerFrame.join_bulk", "JoinBulk"}, func() []*linkv1.ConsumerFrame {
			return []*linkv1.ConsumerFrame{{Body: &linkv1.ConsumerFrame_JoinBulk{JoinBulk: &linkv1.JoinBulk{Session: make([]byte, 1<<20)}}}}
		}),
		after("rules without end", "an interest of 130,000 rules", "more than 512 rules", []string{"ConsumerFrame.interest", "Interest"}, func() []*linkv1.ConsumerFrame {
			return []*linkv1.ConsumerFrame{rules(130_000, &linkv1.InterestRule{Pattern: "/**"})}
		}),
		after("pattern that is none", "an interest in a pattern of 2,000 stars", "pattern", []string{"InterestRule"}, func() []*linkv1.ConsumerFrame {
			return []*linkv1.ConsumerFrame{rules(1, &linkv1.InterestRule{Pattern: strings.Repeat("/**", 2000), IntervalNanoseconds: math.MinInt64})}
		}),
		after("permit without end", "a permit that revokes 60,000 nodes", "more than 10000 revoked", []string{"ConsumerFrame.permit", "Permit"}, func() []*linkv1.ConsumerFrame {
			p := &linkv1.Permit{Nodes: math.MaxUint32, By: ring(100)}
			for range 60_000 {
				p.Revoked = append(p.Revoked, make([]byte, 32))
			}
			return permit(p)
		}),
		after("crooked permit", "a permit that revokes a node with an ID of 3 bytes", "node's ID", []string{"Permit"}, func() []*linkv1.ConsumerFrame {
			return permit(&linkv1.Permit{Revoked: [][]byte{{1, 2, 3}}})
		}),
		after("comparison that nobody asked for", "a comparison that nobody asked for", "not asked for", []string{"ConsumerFrame.known", "Known"}, func() []*linkv1.ConsumerFrame {
			return []*linkv1.ConsumerFrame{{Body: &linkv1.ConsumerFrame_Known{Known: &linkv1.Known{Last: true}}}}
		}),
		{Name: "no hello", Sends: "a comparison in place of a hello", Reason: "before the hello", Aims: []string{"ConsumerFrame.known"}, call: func(c *Calling) error {
			t, err := c.Talk(nil)
			if err != nil {
				return err
			}
			_ = t.Send(&linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Known{Known: &linkv1.Known{}}})
			return t.End()
		}},
		{Name: "comparison without end", Sends: "that it has contexts, as many as go through", Reason: "to be compared", Aims: []string{"Known", "KnownContext", "Origin"}, call: knownWithoutEnd},
		{Name: "crooked comparison", Sends: "a comparison with an origin that was not told", Reason: "was not told", Aims: []string{"KnownContext"}, call: func(c *Calling) error {
			hello := c.hello()
			hello.Changes = 99
			t, err := c.Talk(hello)
			if err != nil {
				return err
			}
			_ = t.Send(&linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Known{Known: &linkv1.Known{Contexts: []*linkv1.KnownContext{{Origin: math.MaxUint32, Path: "/../x"}}}}})
			return t.End()
		}},
		{Name: "acknowledged without having it", Sends: "acknowledgements of what was never sent, and beats that go back, 200,000 times", Aims: []string{"ConsumerFrame.ack", "Ack", "ConsumerFrame.beat", "Beat"}, call: func(c *Calling) error {
			t, err := c.Talk(c.hello())
			if err != nil {
				return err
			}
			defer time.AfterFunc(Within, c.Close).Stop() // a victim that reads slowly lets the last one wait
			for began, n := time.Now(), uint64(0); n < 100_000 && time.Since(began) < Within; n++ {
				ack := &linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Ack{Ack: &linkv1.Ack{Changes: math.MaxUint64 - n, Samples: math.MaxUint64 - n, Bytes: math.MaxUint64 - n}}}
				beat := &linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Beat{Beat: &linkv1.Beat{Number: n, Echo: math.MaxUint64 - n, Clock: math.MinInt64, Lanes: []*linkv1.Lane{{Kind: linkv1.LaneKind(n)}}}}}
				if n == 0 {
					c.note(ack)
					c.note(beat)
				}
				if t.stream.Send(ack) != nil || t.stream.Send(beat) != nil {
					return nil
				}
			}
			return nil
		}},
		{Name: "interest that changes", Sends: "another interest of 512 rules each time, as often as goes through", Aims: []string{"ConsumerFrame.interest"}, call: func(c *Calling) error {
			t, err := c.Talk(c.hello())
			if err != nil {
				return err
			}
			began := time.Now()
			for n := int64(0); time.Since(began) < Within; n++ {
				i := &linkv1.Interest{}
				for k := range int64(512) {
					i.Rules = append(i.Rules, &linkv1.InterestRule{Pattern: fmt.Sprintf("/d%d/**", k), IntervalNanoseconds: n + k})
				}
				send := t.stream.Send
				if n == 0 {
					send = t.Send // which notes it
				}
				if send(&linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Interest{Interest: i}}) != nil {
					return nil
				}
			}
			return nil
		}},
	}
}

func knownWithoutEnd(c *Calling) error {
	hello := c.hello()
	hello.Changes, hello.Chain = 99, longChain(3)
	t, err := c.Talk(hello)
	if err != nil {
		return err
	}
	id := c.ID()
	at := 0
	for began := time.Now(); time.Since(began) < Within; {
		k := &linkv1.Known{Origins: []*linkv1.Origin{{Node: id[:], Epoch: proto.FromEpoch(c.epoch)}}}
		for range 1000 {
			at++
			k.Contexts = append(k.Contexts, &linkv1.KnownContext{Number: uint64(at), Path: fmt.Sprintf("/known/%d", at), Content: uint64(at)})
		}
		if at == 1000 {
			c.note(k)
		}
		if t.stream.Send(&linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_Known{Known: k}}) != nil {
			break
		}
	}
	return t.End()
}

// requestBombs are single questions and requests of a consumer.
func requestBombs() []*Bomb {
	execute := func(name, sends, reason string, aims []string, make func() *linkv1.ExecuteRequest) *Bomb {
		return &Bomb{Name: name, Sends: sends, Reason: reason, Aims: append(aims, "ExecuteRequest"), call: func(c *Calling) error {
			q := make()
			if q.Id == nil {
				q.Id = []byte(fmt.Sprintf("%016d", c.next()))
			}
			c.note(q)
			response, err := c.Link.Execute(c.ctx, q)
			return errors.Join(proto.FromStatus(err), proto.ToError(response.GetError()))
		}}
	}
	meet := func(name, sends, reason string, aims []string, q *linkv1.MeetRequest) *Bomb {
		return &Bomb{Name: name, Sends: sends, Reason: reason, Aims: append(aims, "MeetRequest"), Rude: true, call: func(c *Calling) error {
			c.note(q)
			response, err := c.Link.Meet(c.ctx, q)
			return errors.Join(proto.FromStatus(err), proto.ToError(response.GetError()))
		}}
	}
	set := func(value *modelv1.Value) func() *linkv1.ExecuteRequest {
		return func() *linkv1.ExecuteRequest {
			return &linkv1.ExecuteRequest{Path: "/system", Operation: &linkv1.ExecuteRequest_Set{Set: &linkv1.SetOperation{Name: "label", Value: value}}}
		}
	}
	who := func(p *linkv1.Principal, path string) func() *linkv1.ExecuteRequest {
		return func() *linkv1.ExecuteRequest {
			return &linkv1.ExecuteRequest{Principal: p, Path: path, Operation: &linkv1.ExecuteRequest_Call{Call: &linkv1.CallOperation{Function: "poke"}}}
		}
	}
	relays := make([]string, 100_000)
	for i := range relays {
		relays[i] = "x"
	}
	arguments := func(count int) (list []*modelv1.Argument) {
		for range count {
			list = append(list, &modelv1.Argument{Name: "a", Value: &modelv1.Value{Kind: &modelv1.Value_Bytes{Bytes: []byte("x")}}})
		}
		return list
	}
	many := make([][]byte, 200_000)
	for i := range many {
		many[i] = make([]byte, 16)
	}
	return []*Bomb{
		execute("crooked request", "a request with an ID of 1 MiB", "ID of 16 bytes", nil, func() *linkv1.ExecuteRequest { return &linkv1.ExecuteRequest{Id: make([]byte, 1<<20), Path: "/system"} }),
		execute("request for nothing", "a request without an operation", "does not know", nil, func() *linkv1.ExecuteRequest { return &linkv1.ExecuteRequest{Path: "/system"} }),
		execute("request that climbs", "a request for a path that climbs", "path", nil, who(nil, "/../users/admin")),
		execute("relays without end", "a request that passed 100,000 nodes", "more than 64 relays", []string{"Principal"}, who(&linkv1.Principal{Person: "admin", Node: "hq", Relays: relays}, "/system")),
		execute("forged person", "a request as the victim's own administrator", "nothing is there that you may see", []string{"Principal"}, func() *linkv1.ExecuteRequest {
			return &linkv1.ExecuteRequest{Principal: &linkv1.Principal{Person: "admin"}, Path: "/users/admin", Operation: &linkv1.ExecuteRequest_Remove{Remove: &linkv1.RemoveOperation{Below: true}}}
		}),
		execute("removed by a stranger", "a request to remove everything, for another context than is there", "nothing is there that you may see", []string{"ExecuteRequest.remove", "RemoveOperation", "ContextId"}, func() *linkv1.ExecuteRequest {
			return &linkv1.ExecuteRequest{Path: "/", Until: math.MaxInt64, Target: &modelv1.ContextId{Node: make([]byte, 3), Number: math.MaxUint64},
				Operation: &linkv1.ExecuteRequest_Remove{Remove: &linkv1.RemoveOperation{Below: true, Expected: &modelv1.Position{Number: math.MaxUint64}}}}
		}),
		execute("set to a book", "a value of 3 MiB", "a value of", []string{"ExecuteRequest.set", "SetOperation"}, set(&modelv1.Value{Kind: &modelv1.Value_Bytes{Bytes: make([]byte, 3<<20)}})),
		execute("set to a table", "a table of 100,000 rows", "more than 65536 rows", []string{"SetOperation", "Table"}, set(wideTable(1, 100_000))),
		execute("arguments without end", "a call with 80,000 arguments", "more than 1024 arguments", []string{"ExecuteRequest.call", "CallOperation", "Argument"}, func() *linkv1.ExecuteRequest {
			return &linkv1.ExecuteRequest{Operation: &linkv1.ExecuteRequest_Call{Call: &linkv1.CallOperation{Function: "x", Arguments: arguments(80_000)}}}
		}),
		execute("created with everything", "a context with 80,000 settings and a label of 1 MiB", "more than 1024 settings", []string{"ExecuteRequest.create", "CreateOperation"}, func() *linkv1.ExecuteRequest {
			return &linkv1.ExecuteRequest{Path: "/devices/x", Operation: &linkv1.ExecuteRequest_Create{Create: &linkv1.CreateOperation{Kind: "simulator", Label: ring(1 << 20), Settings: arguments(80_000)}}}
		}),
		execute("edits without end", "a batch of 80,000 edits", "more than 10000 edits", []string{"ExecuteRequest.apply", "ApplyOperation", "Edit", "Edit.create", "Edit.change", "Edit.remove", "ChangeOperation"}, func() *linkv1.ExecuteRequest {
			a := &linkv1.ApplyOperation{DryRun: true, Edits: []*linkv1.Edit{
				{Path: "/a", Operation: &linkv1.Edit_Change{Change: &linkv1.ChangeOperation{Settings: arguments(3)}}},
				{Path: "/b", Operation: &linkv1.Edit_Remove{Remove: &linkv1.RemoveOperation{}}},
			}}
			for range 80_000 {
				a.Edits = append(a.Edits, &linkv1.Edit{Path: "/x", Operation: &linkv1.Edit_Create{Create: &linkv1.CreateOperation{Kind: "x"}}})
			}
			a.Edits[2], a.Edits[0] = a.Edits[0], a.Edits[2]
			return &linkv1.ExecuteRequest{Operation: &linkv1.ExecuteRequest_Apply{Apply: a}}
		}),
		execute("unknown in a request", "a request with 1 MiB that no version knows", "does not know", nil, func() *linkv1.ExecuteRequest {
			q := who(nil, "/system")()
			q.ProtoReflect().SetUnknown(append([]byte("\xfa\x3f\x80\x80\x40"), make([]byte, 1<<20)...))
			return q
		}),
		execute("request that is too long", "a request of 100 MiB", "larger than max", nil, set(&modelv1.Value{Kind: &modelv1.Value_String_{String_: strings.Repeat("x", 100<<20)}})),
		execute("values of all types", "a batch whose values have every type that there is", "", []string{"Value.int64", "Value.float64", "Value.bytes", "Value.time", "Value.duration", "Value.ref"}, func() *linkv1.ExecuteRequest {
			list := []*modelv1.Argument{
				{Name: "a", Value: &modelv1.Value{Kind: &modelv1.Value_Int64{Int64: math.MinInt64}}}, {Name: "b", Value: &modelv1.Value{Kind: &modelv1.Value_Float64{Float64: math.NaN()}}},
				{Name: "c", Value: &modelv1.Value{Kind: &modelv1.Value_Bytes{}}}, {Name: "d", Value: &modelv1.Value{Kind: &modelv1.Value_Time{Time: math.MinInt64}}},
				{Name: "e", Value: &modelv1.Value{Kind: &modelv1.Value_Duration{Duration: math.MinInt64}}}, {Name: "f", Value: &modelv1.Value{Kind: &modelv1.Value_Ref{Ref: &modelv1.Ref{Path: "/x", Name: "y"}}}},
			}
			return &linkv1.ExecuteRequest{Operation: &linkv1.ExecuteRequest_Call{Call: &linkv1.CallOperation{Function: "x", Arguments: list}}, Path: "/system"}
		}),
		{Name: "look for nothing", Sends: "a look at a request that is not kept", Reason: "until which they are sent", Aims: []string{"ExecuteRequest"}, call: func(c *Calling) error {
			q := set(wideTable(1, 1))()
			q.Id = make([]byte, 16)
			c.note(q)
			_, err := c.Link.Look(c.ctx, q)
			return proto.FromStatus(err)
		}},
		{Name: "question as a book", Sends: "a question about a name of 2 MiB, for a right that there is not", Reason: "name", Aims: []string{"ExplainRequest"}, call: func(c *Calling) error {
			q := &linkv1.ExplainRequest{Path: "/system", Name: ring(2 << 20), Right: math.MaxInt32}
			c.note(q)
			response, err := c.Link.Explain(c.ctx, q)
			return errors.Join(proto.FromStatus(err), proto.ToError(response.GetError()))
		}},
		{Name: "told of itself without end", Sends: "200,000 exports and 1 MiB of words about itself", Reason: "more than 1024 exports", Aims: []string{"InspectRequest", "InspectResponse", "InspectedExport"}, call: func(c *Calling) error {
			told := &linkv1.InspectResponse{Name: ring(1 << 20), Clock: math.MinInt64, State: "\a"}
			for range 80_000 {
				told.Exports = append(told.Exports, &linkv1.InspectedExport{Name: "\a", Problem: "\x1b[2J"})
			}
			q := &linkv1.InspectRequest{Consumer: told}
			c.note(q)
			_, err := c.Link.Inspect(c.ctx, q)
			return proto.FromStatus(err)
		}},
		meet("endless life of a consumer", "a life of 150,000 epochs", "more than 100000 begins", []string{"Chain"}, &linkv1.MeetRequest{Version: 2, Chain: longChain(150_000)}),
		meet("restores of a consumer", "a life with 200,000 restores", "restores", nil, &linkv1.MeetRequest{Version: math.MaxUint32, Chain: longChain(1), Restores: many}),
		meet("refused with a book", "that it refuses the provider, with 3 MiB of words", "", []string{"Error"}, &linkv1.MeetRequest{Version: 2, Refused: &modelv1.Error{Kind: 4, Detail: ring(3 << 20)}}),
		{Name: "bulk of nobody", Sends: "a bulk stream of a session that there is not", Reason: "no such session", Aims: []string{"JoinBulk", "ConsumerFrame.join_bulk"}, call: func(c *Calling) error {
			stream, err := c.Link.Bulk(c.ctx)
			if err != nil {
				return err
			}
			frame := &linkv1.ConsumerFrame{Body: &linkv1.ConsumerFrame_JoinBulk{JoinBulk: &linkv1.JoinBulk{Session: make([]byte, 3<<20)}}}
			c.note(frame)
			_ = stream.Send(frame)
			_, err = stream.Recv()
			return proto.FromStatus(err)
		}},
		{Name: "keeps without saying what", Sends: "the answer to an offer that nobody made", Reason: "does not say what it keeps", Aims: []string{"KeepRequest.answer", "KeepAnswer"}, call: func(c *Calling) error {
			return c.keep(&linkv1.KeepRequest{Body: &linkv1.KeepRequest_Answer{Answer: &linkv1.KeepAnswer{Sum: make([]byte, 1<<20), Kept: true, From: math.MaxUint64}}})
		}},
		{Name: "keeps everything", Sends: "that it keeps 2^64 bytes, has them all already, and the newest has a sum of 1 MiB", Reason: "", Aims: []string{"KeepRequest", "KeepRequest.keeping", "Keeping", "KeepRequest.received"}, call: func(c *Calling) error {
			return c.keep(&linkv1.KeepRequest{Body: &linkv1.KeepRequest_Keeping{Keeping: &linkv1.Keeping{Most: math.MaxUint64, Newest: make([]byte, 1<<20)}}},
				&linkv1.KeepRequest{Body: &linkv1.KeepRequest_Received{Received: math.MaxUint64}})
		}},
		{Name: "joins over a link", Sends: "an invitation over the connection of a link", Reason: "not one of a node that joins", Aims: []string{"RedeemRequest"}, call: func(c *Calling) error {
			q := &linkv1.RedeemRequest{}
			c.note(q)
			_, err := c.Join.Redeem(c.ctx, q)
			return proto.FromStatus(err)
		}},
		{Name: "links before it has joined", Sends: "a hello over the connection of a node that joins", Reason: "not one of a link", Aims: []string{"ConsumerFrame.hello"}, Stranger: true, call: func(c *Calling) error {
			t, err := c.Talk(c.hello())
			if err != nil {
				return err
			}
			return t.End()
		}},
		{Name: "joins with a book", Sends: "an invitation of nobody with 100,000 roots, addresses and patterns, more than a stranger may send", Reason: "", Aims: []string{"RedeemRequest", "ExportTerms"}, Stranger: true, call: func(c *Calling) error {
			q := &linkv1.RedeemRequest{Name: "evil", Secret: make([]byte, 1<<20), Attempt: make([]byte, 32), Mount: ring(1 << 16), Terms: &linkv1.ExportTerms{Root: "/../x", Right: math.MaxInt32}}
			for range 60_000 {
				q.Roots, q.Addresses, q.Terms.Patterns = append(q.Roots, []byte{1}), append(q.Addresses, "x"), append(q.Terms.Patterns, "/**")
			}
			c.note(q)
			ctx, cancel := context.WithTimeout(c.ctx, Within)
			defer cancel()
			_, err := c.Join.Redeem(ctx, q)
			return proto.FromStatus(err)
		}},
		{Name: "recovers what is not its own", Sends: "a token of 3 MiB for a backup, more than a stranger may send", Reason: "", Aims: []string{"RecoverRequest", "RecoverRequest.secret", "RecoverRequest.answer", "RecoverRequest.kept"}, Stranger: true, call: func(c *Calling) error {
			ctx, cancel := context.WithTimeout(c.ctx, Within)
			defer cancel()
			stream, err := c.Join.Recover(ctx)
			if err != nil {
				return err
			}
			for _, q := range []*linkv1.RecoverRequest{
				{Body: &linkv1.RecoverRequest_Secret{Secret: make([]byte, 3<<20)}}, {Body: &linkv1.RecoverRequest_Answer{Answer: make([]byte, 3<<20)}}, {Body: &linkv1.RecoverRequest_Kept{Kept: true}},
			} {
				c.note(q)
				_ = stream.Send(q) // what comes back says whether it was taken
			}
			_, err = stream.Recv()
			return proto.FromStatus(err)
		}},
	}
}

// keep says things on a stream for backups, and is how it ends.
func (c *Calling) keep(requests ...*linkv1.KeepRequest) error {
	ctx, cancel := context.WithTimeout(c.ctx, Within)
	defer cancel()
	stream, err := c.Link.Keep(ctx)
	if err != nil {
		return err
	}
	for _, q := range requests {
		c.note(q)
		if stream.Send(q) != nil {
			break
		}
	}
	_ = stream.CloseSend()
	_, err = stream.Recv()
	return proto.FromStatus(err)
}
