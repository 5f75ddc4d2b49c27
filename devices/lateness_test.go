package devices_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"banyan/devices"
)

// TestATenthThatHangsMakesNobodyLate: of 2,000 devices every tenth takes its whole timeout at each poll, from the first one on, or from one instant on.
func TestATenthThatHangsMakesNobodyLate(t *testing.T) {
	for name, from := range map[string]time.Duration{"from the start": 0, "at once": 30 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := run(t, devices.Config{Random: devicesRandom()})
				var specs []devices.Spec
				for i := range 2000 {
					s := spec(uint64(i), fmt.Sprint("d", i), 10*time.Second)
					delete(s.Settings, devices.SettingTimeout)
					specs = append(specs, s)
				}
				fall := func() {
					for i := 0; i < 2000; i += 10 {
						n.driver.device(fmt.Sprint("d", i)).does(obey)
					}
				}
				if from == 0 {
					fall()
				}
				n.want(specs...)
				pass(30 * time.Second)
				fall()
				pass(time.Minute)
				stats := n.Stats()
				if stats.States[devices.StateOK] != 1800 || stats.States[devices.StateNoResponse] != 200 {
					t.Errorf("%v", stats.States)
				}
				if stats.Late.Max > 0 || stats.Late.Polls < 9*1800 || stats.LateSuspects.Max > 0 || stats.LateSuspects.Polls < 5*200 {
					t.Errorf("late: %+v, those that hang: %+v", stats.Late, stats.LateSuspects)
				}
				if err := n.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
