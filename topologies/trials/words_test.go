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

// teller is a driver all of whose names, texts, values and errors have a word. Some of its entries have another one, which exports hide by their names.
type teller struct {
	word   string
	inside string
	log    hclog.Logger
}

// insides are the entries that have the other word.
func insides(word string) []string {
	return []string{word + "_in_setting", word + "_in_text", word + "_in_table", word + "_in_call"}
}

func (d teller) Kind() string { return d.word + "_kind" }

func (d teller) Schema() *model.Schema {
	return &model.Schema{
		Kind: d.Kind(), Description: "A " + d.word + " of a kind.",
		Settings: []model.Setting{
			{Name: d.word + "_setting", Type: model.TypeString, Default: model.String(""), Right: model.RightConfigure, Description: "Of " + d.word},
			{Name: insides(d.inside)[0], Type: model.TypeString, Default: model.String(""), Right: model.RightConfigure, Description: "Inside of " + d.inside},
		},
		Variables: []model.Variable{
			{Name: d.word + "_text", Type: model.TypeString, Unit: d.word + "-unit"}, {Name: d.word + "_table", Type: model.TypeTable},
			{Name: insides(d.inside)[1], Type: model.TypeString, Unit: d.inside + "-unit"}, {Name: insides(d.inside)[2], Type: model.TypeTable},
		},
		Functions: []model.Function{
			{
				Name: d.word + "_tell", Right: model.RightOperate, Parameters: []model.Field{{Name: d.word + "_given", Type: model.TypeString, Optional: true}},
				Results: []model.Field{{Name: d.word + "_result", Type: model.TypeString}},
			},
			{Name: insides(d.inside)[3], Right: model.RightOperate},
		},
	}
}

func (d teller) Open(devices.Settings) (devices.Device, error)                  { return d, nil }
func (teller) Write(context.Context, int, model.Value, devices.Publisher) error { return nil }
func (teller) Close() error                                                     { return nil }

// Poll tells, and fails then.
func (d teller) Poll(_ context.Context, publish devices.Publisher) error {
	d.log.Warn("a device was polled", "word", d.word+"-log")
	now := model.TimeOf(time.Now())
	for i, word := range []string{d.word, d.inside} {
		table := &model.Table{Columns: []model.Column{{Name: word + "_column", Type: model.TypeString}}, Rows: [][]model.Value{{model.String(word + "-cell")}}}
		publish.Publish([]devices.Update{
			{Variable: 2 * i, Value: model.String(word + "-value"), Source: now}, {Variable: 2*i + 1, Value: model.TableValue(table), Source: now},
		})
	}
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
			cfg.Drivers = append(cfg.Drivers, teller{word + cfg.Name, hiddenWord + cfg.Name, cfg.Logger})
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
