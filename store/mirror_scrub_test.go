package store

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"banyan/model"
	wire "banyan/proto"
	"banyan/tree"
)

// bytesOf is everything that lies on the disk of a mirror.
func (m *mirrored) bytesOf() []byte {
	m.t.Helper()
	var all []byte
	for _, suffix := range []string{"", "-wal", ".damaged"} {
		raw, err := os.ReadFile(m.mirror.file + suffix)
		if err != nil && !os.IsNotExist(err) {
			m.t.Fatal(err)
		}
		all = append(all, raw...)
	}
	return all
}

// TestWhatIsWithdrawnIsGoneFromTheBytes: path, label, setting, last value, schema and route, from the file, its log and its free pages, in time; of
// what is only changed the old form goes as well, and what is still mirrored comes back.
func TestWhatIsWithdrawnIsGoneFromTheBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMirrored(t)
		secret := *deviceSchema(t)
		secret.Kind, secret.Settings = "canary-kind", append([]model.Setting{}, secret.Settings...)
		secret.Settings[0].Description = "canary-description"
		schema := mustSchema(t, secret)
		done := make(chan error, 1)
		go func() { done <- m.mirror.Run(t.Context()) }()
		const count = 300 // more than a page
		row := func(i int, tale string) MirrorRow {
			return MirrorRow{
				ID: model.ContextID{Node: remoteNode, Epoch: remoteEpoch, Number: uint64(i + 1)}, Path: model.MustPath(fmt.Sprintf("/devices/%s-path-%03d", tale, i)),
				Label: tale + "-label", Schema: schema, Settings: []model.Value{{}, {}, model.String(tale + "-setting")},
				Version: model.Version{Epoch: remoteEpoch, Number: 7}, Route: tree.Route{{Node: model.NodeID{8}, Name: tale + "-hop"}},
			}
		}
		var rows []MirrorRow
		var values []sampleRow
		for i := range count {
			tale := "canary"
			if i%3 == 0 {
				tale = "shown"
			}
			rows = append(rows, row(i, tale))
			packed := wire.Samples{Keys: []uint32{2}, Bits: []uint64{0}, Source: []model.Time{1}, Owner: []model.Time{1}, Quality: []uint16{0},
				Boxed: []wire.Boxed{{Index: 0, Value: model.String("canary-value")}}}
			values = append(values, sampleRow{rows[i].Path, rows[i].ID, schema.Hash, packed.Append(nil)})
		}
		m.mirror.Keep(nil, rows, remoteState(5))
		synctest.Wait()
		m.mirror.flush()
		m.mirror.saveSamples(values)
		if !bytes.Contains(m.bytesOf(), []byte("canary")) {
			t.Fatal("the test cannot find anything")
		}
		if err := os.WriteFile(m.mirror.file+".damaged", []byte("canary"), 0o600); err != nil {
			t.Fatal(err)
		}
		var gone []MirrorRemoval
		var changed []MirrorRow
		for i := range rows {
			if i%3 == 0 {
				changed = append(changed, row(i, "shown"))
				changed[len(changed)-1].Schema = m.schema
				continue
			}
			gone = append(gone, MirrorRemoval{ID: rows[i].ID, Path: rows[i].Path, Change: uint64(1000 + i), Withdrawn: true})
		}
		m.mirror.Keep(gone, changed, remoteState(6))
		time.Sleep(scrubTime + time.Second)
		synctest.Wait()
		raw := m.bytesOf()
		for _, what := range []string{"canary-path", "canary-label", "canary-setting", "canary-value", "canary-kind", "canary-description", "canary-hop", "canary"} {
			if n := bytes.Count(raw, []byte(what)); n > 0 {
				t.Errorf("%s is there %d times", what, n)
			}
		}
		if n := bytes.Count(raw, []byte("shown-label")); n < count/3 {
			t.Errorf("of %d contexts that are still mirrored %d are there", count/3, n)
		}
		if m.mirror.horizon != 1000+count {
			t.Errorf("who was away since before %d compares, expected %d", m.mirror.horizon, 1000+count)
		}
		again := m.restart()
		if found, _, err := again.mirror.read(t.Context(), again.mount); err != nil || len(found.puts) != count/3 || len(found.stones) != 0 {
			t.Errorf("after a restart %d contexts are there and %d removals are remembered: %v", len(found.puts), len(found.stones), err)
		}
	})
}

// TestWhatIsWithdrawnGoesAfterARestart: also where the node ends after it has written a withdrawal and before it has looked for what that leaves, and nothing
// is written any more since the other node is away.
func TestWhatIsWithdrawnGoesAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMirrored(t)
		secret := *deviceSchema(t)
		secret.Kind = "canary-kind"
		row := MirrorRow{
			ID: model.ContextID{Node: remoteNode, Epoch: remoteEpoch, Number: 1}, Path: model.MustPath("/devices/canary"), Label: "canary-label",
			Schema: mustSchema(t, secret), Settings: []model.Value{{}, {}, model.String("canary-setting")}, Version: model.Version{Epoch: remoteEpoch, Number: 7},
			Route: tree.Route{{Node: model.NodeID{8}, Name: "canary-hop"}},
		}
		m.mirror.Keep(nil, []MirrorRow{row}, remoteState(5))
		m.mirror.flush()
		if err := os.WriteFile(m.mirror.file+".damaged", []byte("canary"), 0o600); err != nil {
			t.Fatal(err)
		}
		m.mirror.Keep([]MirrorRemoval{{ID: row.ID, Path: row.Path, Change: 1000, Withdrawn: true}}, nil, remoteState(6))
		m.mirror.flush()
		again := m.restart()
		if !bytes.Contains(again.bytesOf(), []byte("canary-kind")) {
			t.Fatal("the test cannot find anything")
		}
		done := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- again.mirror.Run(ctx) }()
		time.Sleep(scrubTime + time.Second)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := bytes.Count(again.bytesOf(), []byte("canary")); n > 0 {
			t.Errorf("it is there %d times", n)
		}
	})
}

// TestWhatIsWrittenOverIsGoneFromTheBytes: a file that has only grown is not looked through, and one row that is written over ends that; and so does
// beginning anew, since last values of what was there may come after it.
func TestWhatIsWrittenOverIsGoneFromTheBytes(t *testing.T) {
	for name, change := range map[string]func(m *mirrored, row MirrorRow, values []sampleRow){
		"another schema": func(m *mirrored, row MirrorRow, _ []sampleRow) {
			row.Label, row.Schema, row.Settings = "shown", m.schema, nil
			m.mirror.Keep(nil, []MirrorRow{row}, remoteState(6))
		},
		"forgotten, and its values come late": func(m *mirrored, _ MirrorRow, values []sampleRow) {
			m.mirror.Forget()
			m.mirror.flush()
			m.mirror.saveSamples(values)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMirrored(t)
				secret := *deviceSchema(t)
				secret.Kind = "canary-kind"
				row := MirrorRow{
					ID: model.ContextID{Node: remoteNode, Epoch: remoteEpoch, Number: 1}, Path: model.MustPath("/devices/one"), Label: "canary-label",
					Schema: mustSchema(t, secret), Version: model.Version{Epoch: remoteEpoch, Number: 7},
				}
				packed := wire.Samples{Keys: []uint32{2}, Bits: []uint64{0}, Source: []model.Time{1}, Owner: []model.Time{1}, Quality: []uint16{0},
					Boxed: []wire.Boxed{{Index: 0, Value: model.String("canary-value")}}}
				values := []sampleRow{{row.Path, row.ID, row.Schema.Hash, packed.Append(nil)}}
				done := make(chan error, 1)
				ctx, cancel := context.WithCancel(t.Context())
				go func() { done <- m.mirror.Run(ctx) }()
				m.mirror.Keep(nil, []MirrorRow{row}, remoteState(5))
				m.mirror.flush()
				m.mirror.saveSamples(values)
				if !bytes.Contains(m.bytesOf(), []byte("canary-value")) || !bytes.Contains(m.bytesOf(), []byte("canary-kind")) {
					t.Fatal("the test cannot find anything")
				}
				change(m, row, values)
				time.Sleep(scrubTime + time.Second)
				synctest.Wait()
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if n := bytes.Count(m.bytesOf(), []byte("canary")); n > 0 {
					t.Errorf("it is there %d times", n)
				}
			})
		})
	}
}
