package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"banyan/devices"
	"banyan/devices/simulator"
	"banyan/model"
	"banyan/server"
)

// Environment of a node's process.
const (
	leafVariable = "SOAK_LEAF" // how long certificates of links live
	leakVariable = "SOAK_LEAK" // what the process loses on purpose, to prove that it is seen: goroutines, files, memory
)

// serve runs a node.
func serve(config string) error {
	raw, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	file, err := server.ParseFile(config, raw)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	cfg := server.Config{File: file, Logger: server.NewLogger(file.Log, file.Name)}
	cfg.Drivers = []devices.Driver{simulator.Driver{}, counter{filepath.Join(cfg.Data, "counted")}}
	cfg.Reconnect = 2 * time.Second
	if text := os.Getenv(leafVariable); text != "" {
		if cfg.Certificates.Link, err = time.ParseDuration(text); err != nil {
			return err
		}
	}
	node, err := server.New(ctx, cfg)
	if err != nil {
		return err
	}
	go leak(ctx, os.Getenv(leakVariable))
	return node.Run(ctx)
}

// leak loses something as long as the node runs.
func leak(ctx context.Context, what string) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var held []any
	for ctx.Err() == nil {
		<-tick.C
		switch what {
		case "goroutines":
			for range 5 {
				go func() { <-ctx.Done() }()
			}
		case "files":
			if file, err := os.Open(os.DevNull); err == nil {
				held = append(held, file)
			}
		case "memory":
			block := make([]byte, 1<<20)
			for i := range block {
				block[i] = byte(i)
			}
			held = append(held, block)
		default:
			return
		}
	}
	if len(held) > 1 {
		_ = fmt.Sprint(len(held)) // until here all of it is kept
	}
}

// counter is a driver whose functions leave a line in a file each time that they are done, so that whoever stands outside can count.
type counter struct{ file string }

func (counter) Kind() string { return "counter" }

func (counter) Schema() *model.Schema {
	word := []model.Field{{Name: "word", Type: model.TypeString, Description: "What is written."}}
	return &model.Schema{
		Kind:      "counter",
		Functions: []model.Function{{Name: "count", Right: model.RightOperate, Parameters: word, Description: "Writes a line."}},
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
	return nil, errors.Join(err, file.Close())
}
