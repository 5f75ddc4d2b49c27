package hostile

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"banyan/proto/linkv1"
	"banyan/proto/modelv1"
)

// welcomeBombs begin a session with lies.
func welcomeBombs() []*Bomb {
	welcome := func(name, sends, reason string, aims []string, lie func(*Following, *linkv1.Welcome)) *Bomb {
		return &Bomb{Name: name, Sends: sends, Reason: reason, Aims: append(aims, "ProviderFrame.welcome", "Welcome"), Rude: true, follow: func(f *Following) error {
			frame := f.welcome()
			lie(f, frame.GetWelcome())
			return f.Send(frame)
		}}
	}
	meet := func(name, sends, reason string, lie func(*linkv1.MeetResponse)) *Bomb {
		return &Bomb{Name: name, Sends: sends, Reason: reason, Aims: []string{"MeetResponse"}, meet: lie}
	}
	return []*Bomb{
		welcome("forged node", "a welcome with the ID of the victim itself", "says that it is", nil, func(f *Following, w *linkv1.Welcome) { w.Node = f.Victim[:] }),
		welcome("name that rings", "a welcome whose name has control characters", "segment", nil, func(_ *Following, w *linkv1.Welcome) { w.Name = "evil\x1b[2J\a" }),
		welcome("endless chain", "a welcome with 150,000 epochs", "more than 100000 begins", []string{"Chain", "Begin", "Epoch"}, func(_ *Following, w *linkv1.Welcome) {
			w.Chain = longChain(150_000)
		}),
		welcome("version lie", "a welcome of version 0 that resumes from everything and has every handle", "", nil, func(_ *Following, w *linkv1.Welcome) {
			w.Version, w.From, w.Bindings, w.BeatMilliseconds = 0, math.MaxUint64, math.MaxUint32, math.MaxUint32
		}),
		{Name: "two welcomes", Sends: "a second welcome", Reason: "out of turn", Aims: []string{"ProviderFrame.welcome"}, follow: func(f *Following) error { return f.Send(f.welcome()) }},
		{Name: "before the welcome", Sends: "a listing before the welcome", Reason: "out of turn", Aims: []string{"ProviderFrame.delta"}, Rude: true, follow: func(f *Following) error {
			return f.Send(deltaFrame(f.delta("/a")))
		}},
		meet("endless life", "a life of 150,000 epochs", "more than 100000 begins", func(m *linkv1.MeetResponse) { m.Chain = longChain(150_000) }),
		meet("many restores", "a life with 200,000 restores", "restores", func(m *linkv1.MeetResponse) {
			for range 200_000 {
				m.Restores = append(m.Restores, make([]byte, 16))
			}
		}),
		meet("crooked restore", "a restore of 3 bytes, and version 4294967295", "ID of a restore", func(m *linkv1.MeetResponse) { m.Version, m.Restores = math.MaxUint32, [][]byte{{1, 2, 3}} }),
		meet("refusal as a book", "a refusal of 3 MiB with control characters", "[2Jno", func(m *linkv1.MeetResponse) {
			m.Refusal, m.Error = "cloned", &modelv1.Error{Kind: 4, Detail: ring(3 << 20)}
		}),
	}
}

func longChain(epochs int) *modelv1.Chain {
	c := &modelv1.Chain{}
	for i := range epochs {
		c.Begins = append(c.Begins, &modelv1.Begin{Epoch: &modelv1.Epoch{Ordinal: uint64(i + 1)}, First: uint64(i + 1)})
	}
	return c
}

// ring is text that does something to a terminal.
func ring(bytes int) string { return strings.Repeat("\a\x1b[2Jno ", bytes/8) }

// toldBombs are what a provider tells of itself and of what lies behind it.
func toldBombs() []*Bomb {
	return []*Bomb{
		{Name: "stale everywhere", Sends: "130,000 paths that are stale", Reason: "more than 10000 stale", Aims: []string{"ProviderFrame.overlays", "Overlays", "Stale"}, follow: func(f *Following) error {
			o := &linkv1.Overlays{}
			for i := range 130_000 {
				o.Stale = append(o.Stale, &linkv1.Stale{Path: fmt.Sprintf("/s%d", i), Before: math.MaxUint64})
			}
			return f.Send(&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Overlays{Overlays: o}})
		}},
		{Name: "stale outside", Sends: "staleness of a path that climbs", Reason: "path", Aims: []string{"Stale"}, follow: func(f *Following) error {
			return f.Send(&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Overlays{Overlays: &linkv1.Overlays{Stale: []*linkv1.Stale{{Path: "/../devices", Hop: "\a"}}}}})
		}},
		{Name: "hops without end", Sends: "freshness of 60,000 hops", Reason: "more than 5000 hops", Aims: []string{"ProviderFrame.freshness", "Freshness", "HopFreshness"}, follow: func(f *Following) error {
			id := f.ID()
			hop := &linkv1.HopFreshness{Path: "/a", From: &linkv1.Hop{Node: id[:1], Name: "a"}, To: &linkv1.Hop{Node: id[:1], Name: "b"}}
			fresh := &linkv1.Freshness{}
			for range 60_000 {
				fresh.Hops = append(fresh.Hops, hop)
			}
			return f.Send(&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Freshness{Freshness: fresh}})
		}},
		{Name: "lanes of a hop", Sends: "freshness of a hop with 130,000 lanes", Reason: "lanes", Aims: []string{"HopFreshness", "LaneLag"}, follow: func(f *Following) error {
			id := f.ID()
			hop := &linkv1.HopFreshness{Path: "/a", From: &linkv1.Hop{Node: id[:], Name: "a"}, To: &linkv1.Hop{Node: id[:], Name: "b"}, State: ring(1 << 16)}
			for i := range 130_000 {
				hop.Lanes = append(hop.Lanes, &linkv1.LaneLag{Kind: linkv1.LaneKind(i), BehindNanoseconds: math.MinInt64})
			}
			return f.Send(&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Freshness{Freshness: &linkv1.Freshness{Hops: []*linkv1.HopFreshness{hop}}}})
		}},
		{Name: "lanes of a beat", Sends: "heartbeats of which each tells 200,000 lanes that there are not", Reason: "lanes", Aims: []string{"ProviderFrame.beat", "Beat", "Lane"}, follow: func(f *Following) error {
			for n := range 5 {
				beat := &linkv1.Beat{Number: uint64(n + 1)}
				for i := range 200_000 {
					beat.Lanes = append(beat.Lanes, &linkv1.Lane{Kind: linkv1.LaneKind(n*200_000 + i), Head: 9})
				}
				if err := f.Send(beatFrame(beat)); err != nil {
					return err
				}
			}
			return nil
		}},
		{Name: "heartbeats at once", Sends: "300,000 heartbeats as fast as they go", Aims: []string{"ProviderFrame.beat"}, follow: func(f *Following) error {
			return f.flood(300_000, func(n uint64) *linkv1.ProviderFrame {
				return beatFrame(&linkv1.Beat{Number: n, Echo: math.MaxUint64 - n, Clock: math.MinInt64})
			})
		}},
		{Name: "bulk without end", Sends: "200,000 times that the bulk connection is wanted", Aims: []string{"ProviderFrame.want_bulk", "WantBulk"}, follow: func(f *Following) error {
			return f.flood(200_000, func(uint64) *linkv1.ProviderFrame {
				return &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_WantBulk{WantBulk: &linkv1.WantBulk{}}}
			})
		}},
		{Name: "bulk that lies", Second: true, Sends: "a welcome on the bulk stream that was wanted", Reason: "out of turn", Aims: []string{"ProviderFrame.want_bulk"},
			follow: func(f *Following) error {
				if err := honest(f); err != nil {
					return err
				}
				return f.Send(&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_WantBulk{WantBulk: &linkv1.WantBulk{}}})
			},
			bulk: func(p *Peer, stream linkv1.LinkService_BulkServer) error {
				f := &Following{Peer: p}
				return errors.Join(stream.Send(f.welcome()), stream.Send(f.welcome()))
			}},
		{Name: "farewell as a book", Sends: "a farewell with 3 MiB of words and control characters", Reason: "[2Jno", Aims: []string{"ProviderFrame.farewell", "Farewell", "Error"}, follow: func(f *Following) error {
			return f.Send(&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Farewell{Farewell: &linkv1.Farewell{
				Error: &modelv1.Error{Kind: 3, Detail: ring(1 << 20), Remedy: ring(1 << 20), Node: ring(1 << 20)}, Refusal: strings.Repeat("x", 1<<16),
			}}})
		}},
		{Name: "errors in errors", Sends: "a farewell with 80 errors in each other and 50,000 beside", Reason: "received a", Aims: []string{"Error"}, follow: func(f *Following) error {
			e := &modelv1.Error{Kind: 3}
			for range 80 {
				e = &modelv1.Error{Kind: 3, Also: []*modelv1.Error{e}}
			}
			for range 50_000 {
				e.Also = append(e.Also, &modelv1.Error{})
			}
			return f.Send(&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Farewell{Farewell: &linkv1.Farewell{Error: e}}})
		}},
		{Name: "nothing", Sends: "a frame without a body", Reason: "does not know", Aims: []string{"ProviderFrame"}, follow: func(f *Following) error { return f.Send(&linkv1.ProviderFrame{}) }},
		{Name: "noise", Sends: "3 MiB that are no message", Reason: "cannot be decoded", Aims: []string{"ProviderFrame"}, follow: func(f *Following) error {
			return f.Raw([]byte(strings.Repeat("\x0a\xff\xff\xff\xff\x0f", 1<<19)))
		}},
		{Name: "too long", Sends: "a message of 200 MiB", Reason: "larger than max", Aims: []string{"ProviderFrame"}, follow: func(f *Following) error { return f.Raw(make([]byte, 200<<20)) }},
	}
}

// flood sends as many frames as the time allows.
func (f *Following) flood(most uint64, frame func(uint64) *linkv1.ProviderFrame) error {
	f.note(frame(1))
	defer time.AfterFunc(Within, func() { tell(f.thrown) }).Stop() // a victim that reads slowly lets the last one wait
	for began, n := time.Now(), uint64(1); n <= most && time.Since(began) < Within; n++ {
		f.mu.Lock()
		err := f.stream.SendMsg(frame(n))
		f.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// answerBombs come as answers to what the victim asks.
func answerBombs() []*Bomb {
	manyValues := func(count int) (list []*modelv1.Argument) {
		for i := range count {
			list = append(list, &modelv1.Argument{Name: fmt.Sprintf("a%d", i), Value: &modelv1.Value{Kind: &modelv1.Value_Bool{Bool: true}}})
		}
		return list
	}
	table := wideTable(2, 70_000)
	return []*Bomb{
		{Name: "results without end", Sends: "an answer with 80,000 results", Reason: "with more than", Asks: AskCall, Aims: []string{"ExecuteResponse", "Argument", "Value", "Value.bool"},
			execute: func(_ *linkv1.ExecuteRequest, r *linkv1.ExecuteResponse) { r.Results = manyValues(80_000) }},
		{Name: "table as an answer", Sends: "an answer with a table of 70,000 rows", Reason: "with more than", Asks: AskCall, Aims: []string{"Table", "Row", "Column", "Value.table"},
			execute: func(_ *linkv1.ExecuteRequest, r *linkv1.ExecuteResponse) {
				r.Results = []*modelv1.Argument{{Name: "a", Value: table}}
			}},
		{Name: "way without end", Sends: "an answer that came by 100,000 nodes, each with a name that rings", Reason: "with more than", Asks: AskSet, Aims: []string{"ExecuteResponse"},
			execute: func(_ *linkv1.ExecuteRequest, r *linkv1.ExecuteResponse) {
				r.Change = math.MaxUint64
				for range 100_000 {
					r.Via = append(r.Via, "\a\x1b[2J")
				}
			}},
		{Name: "error as a book", Sends: "an answer whose error has 3 MiB of words", Reason: "[2Jno", Asks: AskSet, Aims: []string{"ExecuteResponse", "Error"},
			execute: func(_ *linkv1.ExecuteRequest, r *linkv1.ExecuteResponse) {
				r.Error = &modelv1.Error{Kind: 255, Detail: ring(3 << 20), Operation: "\a"}
			}},
		{Name: "fate that there is not", Sends: "a fate of 9999 for a request that is kept", Asks: AskKept, Aims: []string{"ExecuteResponse", "Position"},
			execute: func(_ *linkv1.ExecuteRequest, r *linkv1.ExecuteResponse) {
				r.Fate, r.Owner = 9999, &modelv1.Position{Epoch: &modelv1.Epoch{Ordinal: math.MaxUint64}, Number: math.MaxUint64}
			}},
		{Name: "answer that is too long", Sends: "an answer of 100 MiB", Reason: "larger than max", Asks: AskSet, Aims: []string{"ExecuteResponse"},
			execute: func(_ *linkv1.ExecuteRequest, r *linkv1.ExecuteResponse) {
				r.Via = []string{strings.Repeat("x", 100<<20)}
			}},
		{Name: "reasons without end", Sends: "an explanation of 60,000 hops with words that ring", Asks: AskExplain, Aims: []string{"ExplainResponse", "ExplainedHop"},
			explain: func(r *linkv1.ExplainResponse) {
				for range 60_000 {
					r.Hops = append(r.Hops, &linkv1.ExplainedHop{Node: "\a\x1b[2J", Text: "\a", Rule: math.MinInt32, Has: 99, Need: 99})
				}
			}},
		{Name: "exports without end", Sends: "100,000 exports, with 1 MiB of words, where it is asked what it knows of the link", Asks: AskInspect, Aims: []string{"InspectResponse", "InspectedExport"},
			inspect: func(r *linkv1.InspectResponse) {
				r.Name, r.Version, r.Clock = ring(1<<20), math.MaxUint32, math.MinInt64
				for range 100_000 {
					r.Exports = append(r.Exports, &linkv1.InspectedExport{Name: "\a", Problem: "\x1b[2J"})
				}
			}},
		{Name: "endless backup", Sends: "the offer of a backup of 2^63 bytes", Asks: AskBackup, Second: true, Aims: []string{"KeepResponse.offer", "KeepOffer"}, follow: wantsBulk,
			keep: func(k *Keeping) error {
				if err := k.Send(&linkv1.KeepResponse{Body: &linkv1.KeepResponse_Offer{Offer: &linkv1.KeepOffer{Sum: make([]byte, 32), Size: 1 << 63}}}); err != nil {
					return err
				}
				answer, err := k.Answer()
				if err == nil && answer.GetRefused() == nil {
					err = errors.New("a backup of 2^63 bytes is taken")
				}
				return err
			}},
		{Name: "backup that is another", Sends: "a backup of 40 bytes that has 3 MiB and another sum", Asks: AskBackup, Second: true, Aims: []string{"KeepResponse", "KeepResponse.chunk"}, follow: wantsBulk,
			keep: func(k *Keeping) error {
				if err := k.Send(&linkv1.KeepResponse{Body: &linkv1.KeepResponse_Offer{Offer: &linkv1.KeepOffer{Sum: make([]byte, 32), Size: 40}}}); err != nil {
					return err
				}
				answer, err := k.Answer()
				if err != nil || answer.GetRefused() != nil {
					return err
				}
				if err := k.Send(&linkv1.KeepResponse{Body: &linkv1.KeepResponse_Chunk{Chunk: make([]byte, 3<<20)}}); err != nil {
					return err
				}
				if answer, err = k.Answer(); err == nil && answer.GetKept() {
					err = errors.New("a backup that is another is kept")
				}
				return err
			}},
	}
}

func wantsBulk(f *Following) error {
	if err := honest(f); err != nil {
		return err
	}
	return f.Send(&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_WantBulk{WantBulk: &linkv1.WantBulk{}}})
}

// wideTable is a table of so many columns of true and so many rows.
func wideTable(columns, rows int) *modelv1.Value {
	t := &modelv1.Table{}
	row := &modelv1.Row{}
	for i := range columns {
		t.Columns = append(t.Columns, &modelv1.Column{Name: fmt.Sprintf("c%d", i), Type: modelv1.Type_TYPE_BOOL})
		row.Cells = append(row.Cells, &modelv1.Value{Kind: &modelv1.Value_Bool{Bool: true}})
	}
	for range rows {
		t.Rows = append(t.Rows, row)
	}
	return &modelv1.Value{Kind: &modelv1.Value_Table{Table: t}}
}
