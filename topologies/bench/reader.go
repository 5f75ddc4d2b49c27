package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"banyan/proto/apiv1"
	"banyan/proto/apiv1/apiv1connect"

	"encoding/json"
)

// readers are what a heavy reader does all at once.
const (
	watchers   = 40 // streams, of watched addresses each
	watched    = 100
	followers  = 4 // streams of everything
	listers    = 4 // that list everything, over and over
	readersOne = 4 // that get one value after the other
)

// runReader reads as much as it can until it is told to stop.
func runReader(address, dir, path string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client, err := readerClient(address, dir)
	if err != nil {
		return err
	}
	addresses := pointsOf(path, watchers*watched)
	var work sync.WaitGroup
	again := func(n int, what func(i int) error) {
		for i := range n {
			work.Go(func() {
				for ctx.Err() == nil {
					if err := what(i); err != nil && ctx.Err() == nil {
						fmt.Fprintln(os.Stderr, "reader:", err)
						time.Sleep(time.Second)
					}
				}
			})
		}
	}
	again(watchers, func(i int) error {
		stream, err := client.Watch(ctx, &apiv1.WatchRequest{Addresses: addresses[i*watched : (i+1)*watched]})
		if err != nil {
			return err
		}
		defer stream.Close()
		for stream.Receive() {
		}
		return stream.Err()
	})
	again(followers, func(int) error {
		stream, err := client.Follow(ctx, &apiv1.FollowRequest{Path: path})
		if err != nil {
			return err
		}
		defer stream.Close()
		for stream.Receive() {
		}
		return stream.Err()
	})
	again(listers, func(int) error { return listAll(ctx, client, path) })
	again(readersOne, func(i int) error {
		_, err := client.Get(ctx, &apiv1.GetRequest{Address: addresses[(i*7919+int(time.Now().UnixNano()))%len(addresses)]})
		return err
	})
	fmt.Println("ready")
	waitForEnd()
	cancel()
	work.Wait()
	return nil
}

func readerClient(address, dir string) (apiv1connect.TreeServiceClient, error) {
	client, err := httpClient(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return nil, err
	}
	token, err := os.ReadFile(filepath.Join(dir, "token"))
	if err != nil {
		return nil, err
	}
	return apiv1connect.NewTreeServiceClient(client, "https://"+address, bearerOf(string(token))), nil
}

// pointsOf are addresses of a simulator's points, spread over all of them: it updates one after the other.
func pointsOf(path string, n int) []string {
	list := make([]string, n)
	for i := range list {
		point := i * (rolePoints / n)
		list[i] = fmt.Sprintf("%s/group-%03d:p%03d", path, point/roleGroup, point%roleGroup)
	}
	return list
}

func listAll(ctx context.Context, client apiv1connect.TreeServiceClient, path string) error {
	list, err := client.List(ctx, &apiv1.ListRequest{Path: path, Limit: 1000})
	if err != nil {
		return err
	}
	for _, e := range list.GetEntries() {
		if !e.GetParent() {
			continue
		}
		if err := listAll(ctx, client, e.GetPath()); err != nil {
			return err
		}
	}
	return nil
}

// probed is how long a node took, 99 of 100 times at most, microseconds.
type probed struct{ Get, Set, Watch float64 }

// probedPoints is how many points a prober watches.
const probedPoints = 200

// probeEvery is how often a prober gets, and how often it sets.
const probeEvery = 2 * time.Millisecond

// runProber measures a node over its API for so long: getting a value, setting a setting, and from publishing a value to its arrival at a watch.
func runProber(address, dir, path string, lasts time.Duration) error {
	client, err := readerClient(address, dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var mu sync.Mutex
	taken := map[string][]time.Duration{}
	var from time.Time
	note := func(what string, took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		if time.Now().After(from) {
			taken[what] = append(taken[what], took)
		}
	}
	addresses := pointsOf(path, probedPoints)
	stream, err := client.Watch(ctx, &apiv1.WatchRequest{Addresses: addresses})
	if err != nil {
		return err
	}
	from = time.Now().Add(500 * time.Millisecond) // connections are made, and what was there is told
	until := from.Add(lasts)
	var work sync.WaitGroup
	work.Go(func() {
		for stream.Receive() {
			now := time.Now()
			for _, r := range stream.Msg().GetReadings() {
				if at, err := time.Parse(time.RFC3339Nano, r.GetTime()); err == nil {
					note("watch", now.Sub(at))
				}
			}
		}
		if err := stream.Err(); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "prober:", err)
		}
	})
	paced := func(what string, do func(i int) error) {
		work.Go(func() {
			next := time.Now()
			for i := 0; time.Now().Before(until); i++ {
				next = next.Add(probeEvery)
				time.Sleep(time.Until(next))
				began := time.Now()
				if err := do(i); err != nil && ctx.Err() == nil {
					fmt.Fprintln(os.Stderr, "prober:", err)
					return
				}
				note(what, time.Since(began))
			}
		})
	}
	paced("get", func(i int) error {
		_, err := client.Get(ctx, &apiv1.GetRequest{Address: addresses[i%len(addresses)]})
		return err
	})
	paced("set", func(i int) error {
		_, err := client.Set(ctx, &apiv1.SetRequest{Address: "/devices/set:seed", Text: fmt.Sprint(i)})
		return err
	})
	time.Sleep(time.Until(until))
	cancel()
	_ = stream.Close()
	work.Wait()
	p99 := func(what string) float64 {
		list := taken[what]
		slices.Sort(list)
		if len(list) < 30 {
			return -1
		}
		return float64(list[len(list)*99/100].Nanoseconds()) / 1e3
	}
	result := probed{p99("get"), p99("set"), p99("watch")}
	if result.Get < 0 || result.Set < 0 || result.Watch < 0 {
		return fmt.Errorf("too little was measured: %s", strings.TrimSpace(fmt.Sprintln(len(taken["get"]), len(taken["set"]), len(taken["watch"]))))
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}
