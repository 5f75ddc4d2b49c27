package trials

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"banyan/devices"
	"banyan/devices/simulator"
	"banyan/model"
	"banyan/server"

	"github.com/hashicorp/go-hclog"
)

// words are what the trial looks for. Each is followed by the node whose it is, so that none stands whole in the program itself.
var words = []string{hiddenWord, "kolibri8d", "pirol4e", "tukan6b", actedWord}

const (
	hiddenWord = "kanari5f" // shown to nobody
	actedWord  = "papagei2c"
)

// teller is a driver all of whose names, texts, values and errors have a word.
type teller struct {
	word string
	log  hclog.Logger
}

func (d teller) Kind() string { return d.word + "_kind" }

func (d teller) Schema() *model.Schema {
	return &model.Schema{
		Kind: d.Kind(), Description: "A " + d.word + " of a kind.",
		Settings: []model.Setting{
			{Name: d.word + "_setting", Type: model.TypeString, Default: model.String(""), Right: model.RightConfigure, Description: "Of " + d.word},
		},
		Variables: []model.Variable{{Name: d.word + "_text", Type: model.TypeString}, {Name: d.word + "_table", Type: model.TypeTable}},
		Functions: []model.Function{{Name: d.word + "_tell", Right: model.RightOperate}},
	}
}

func (d teller) Open(devices.Settings) (devices.Device, error)                  { return d, nil }
func (teller) Write(context.Context, int, model.Value, devices.Publisher) error { return nil }
func (teller) Close() error                                                     { return nil }

// Poll tells, and fails then.
func (d teller) Poll(_ context.Context, publish devices.Publisher) error {
	d.log.Warn("a device was polled", "word", d.word+"-log")
	now := model.TimeOf(time.Now())
	table := &model.Table{Columns: []model.Column{{Name: d.word + "_column", Type: model.TypeString}}, Rows: [][]model.Value{{model.String(d.word + "-cell")}}}
	publish.Publish([]devices.Update{
		{Variable: 0, Value: model.String(d.word + "-value"), Source: now}, {Variable: 1, Value: model.TableValue(table), Source: now},
	})
	return model.Errorf(model.KindUnavailable, "%s-error", d.word)
}

func (d teller) Call(context.Context, int, []model.Argument, devices.Publisher) ([]model.Argument, error) {
	return nil, model.Errorf(model.KindUnavailable, "%s-refusal", d.word)
}

// telling has a node run a teller for each word, and write what its memory holds into dir when it gets SIGUSR1.
func telling(cfg *server.Config, dir string) {
	cfg.Drivers = []devices.Driver{simulator.Driver{}}
	if cfg.Name != "hq" {
		for _, word := range words {
			cfg.Drivers = append(cfg.Drivers, teller{word + cfg.Name, cfg.Logger})
		}
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			runtime.GC()
			runtime.GC() // what pools keep goes with the second one
			file, err := os.Create(filepath.Join(dir, cfg.Name+".part"))
			if err != nil {
				continue
			}
			debug.WriteHeapDump(file.Fd())
			_ = file.Close()
			_ = os.Rename(file.Name(), filepath.Join(dir, cfg.Name))
		}
	}()
}
