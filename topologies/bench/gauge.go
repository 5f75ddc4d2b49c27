package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
)

// runGauge follows a path and says for each line that it is told what has come since the one before.
func runGauge(o *options) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, end, err := watch(ctx, o)
	if err != nil {
		return err
	}
	defer end()
	w := &watcher{tally: newTally(true), each: true}
	failed := make(chan error, 1)
	go func() { failed <- w.receive(stream) }()
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		select {
		case err := <-failed:
			return fmt.Errorf("watching: %w", err)
		default:
		}
		if err := json.NewEncoder(os.Stdout).Encode(w.tally.since()); err != nil {
			return err
		}
	}
	return orders.Err()
}
