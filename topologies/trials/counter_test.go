package trials

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"banyan/devices"
	"banyan/devices/simulator"
	"banyan/model"
	"banyan/server"
)

// counter is a driver whose functions leave a line in a file each time that they are done, so that whoever stands outside can count.
type counter struct{ file string }

func (counter) Kind() string { return "counter" }

func (counter) Schema() *model.Schema {
	word := []model.Field{{Name: "word", Type: model.TypeString, Description: "What is written."}}
	return &model.Schema{
		Kind:     "counter",
		Settings: []model.Setting{{Name: "limit", Type: model.TypeInt64, Default: model.Int64(0), Right: model.RightConfigure}},
		Functions: []model.Function{
			{Name: "count", Right: model.RightOperate, Parameters: word, Results: word},
			{Name: "count_again", Right: model.RightOperate, Parameters: word, Idempotent: true},
		},
	}
}

func (c counter) Open(devices.Settings) (devices.Device, error)                  { return c, nil }
func (counter) Poll(context.Context, devices.Publisher) error                    { return nil }
func (counter) Write(context.Context, int, model.Value, devices.Publisher) error { return nil }
func (counter) Close() error                                                     { return nil }

func (c counter) Call(_ context.Context, _ int, arguments []model.Argument, _ devices.Publisher) ([]model.Argument, error) {
	file, err := os.OpenFile(c.file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintln(file, arguments[0].Value.Text())
	if problem := file.Close(); err == nil {
		err = problem
	}
	return arguments, err
}

// counting has a node run counters, and stop at the step of a kept request that the file hold in its directory names, until that is gone. Each
// request that waits there makes a file of its own beside it.
func counting(cfg *server.Config) {
	cfg.Drivers = []devices.Driver{simulator.Driver{}, counter{filepath.Join(cfg.Data, "counted")}}
	cfg.Reached = func(step string) {
		hold := filepath.Join(cfg.Data, "hold")
		if wanted, err := os.ReadFile(hold); err != nil || string(wanted) != step {
			return
		}
		held, err := os.CreateTemp(cfg.Data, "held-")
		if err != nil {
			return
		}
		_ = held.Close()
		for {
			if _, err := os.Stat(hold); err != nil {
				return
			}
			<-time.After(5 * time.Millisecond)
		}
	}
}
