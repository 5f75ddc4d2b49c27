package devicetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"banyan/devices"
	"banyan/model"
)

// Polled is how one poll of a device went, as a node sees it.
type Polled struct {
	*Recorder
	State string        // the variable state
	Text  string        // the variable last_error
	Took  time.Duration // of the call
}

// Poll runs a device with these settings in a manager, as a node does, for one poll. It fails when the poll ends more than a
// quarter of a second after the device's timeout.
func Poll(t testing.TB, driver devices.Driver, settings devices.Settings) Polled {
	t.Helper()
	record := NewRecorder(devices.Complete(driver.Schema()))
	m, err := devices.New(devices.Config{
		Drivers: []devices.Driver{driver}, Sink: func(model.ContextID) devices.Sink { return record }, FirstWithin: time.Hour,
		Random: func() float64 { return 0.9 }, // no regular poll comes in between
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- m.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}()
	given := devices.Settings{devices.SettingPollInterval: model.Duration(time.Hour)}
	for name, v := range settings {
		given[name] = v
	}
	resolved, err := devices.Resolve(devices.Complete(driver.Schema()), given)
	if err != nil {
		t.Fatal(err)
	}
	id := model.ContextID{Number: 1}
	if err := m.Reconcile([]devices.Spec{{ID: id, Path: model.MustPath("/devices/test"), Kind: driver.Kind(), Settings: given}}); err != nil {
		t.Fatal(err)
	}
	limit := resolved[devices.SettingTimeout].Duration()
	began := time.Now()
	_, err = m.PollNow(ctx, id)
	took := time.Since(began)
	if took > limit+250*time.Millisecond {
		t.Errorf("the poll took %s, the timeout is %s", took, limit)
	}
	p := Polled{Recorder: record, State: record.Named(devices.VariableState).Value.Text(), Text: record.Named(devices.VariableLastError).Value.Text(), Took: took}
	if (err == nil) != (p.State == devices.StateOK) {
		t.Errorf("the poll answered %v, the state is %s", err, p.State)
	}
	var known *model.Error
	if err != nil && !errors.As(err, &known) {
		t.Errorf("the poll answered %v, which is no error of package model", err)
	}
	for _, c := range record.Complaints() {
		t.Error(c)
	}
	return p
}
