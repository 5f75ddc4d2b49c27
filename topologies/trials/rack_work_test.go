package trials

import (
	"banyan/proto/apiv1"
	"context"
	"fmt"
	"strconv"
	"sync"
)

// call calls a function of the edge's /system.
func (r *rack) call(function string, texts map[string]string) map[string]string {
	r.Helper()
	results, err := r.ask(r.Context(), "edge", function, texts)
	if err != nil {
		r.Fatal(err)
	}
	return results
}

func (r *rack) ask(ctx context.Context, node, function string, texts map[string]string) (map[string]string, error) {
	answer, err := r.at(node).Tree.Call(ctx, &apiv1.CallRequest{Path: "/system", Function: function, Texts: texts})
	if err != nil {
		return nil, err
	}
	results := map[string]string{}
	for _, r := range answer.GetResults() {
		results[r.GetName()] = r.GetValue().GetStringValue()
	}
	return results, nil
}

// work lets everybody work until ctx ends, or until nobody is told anything any more.
func (r *rack) work(ctx context.Context) (wait func()) {
	var work sync.WaitGroup
	for w, to := range rackAddresses {
		client := r.at(to.node)
		work.Go(func() {
			for ctx.Err() == nil {
				value := r.writers.next(w)
				answer, err := client.Tree.Set(ctx, &apiv1.SetRequest{Address: to.address, Text: strconv.FormatInt(value, 10)})
				if err != nil {
					return
				}
				r.writers.confirm(r.T, w, value, answer.GetRevision())
			}
		})
	}
	work.Go(func() { r.create(ctx) })
	switch r.random.IntN(3) {
	case 0:
		work.Go(func() { r.rotate(ctx) })
	case 1:
		work.Go(func() { r.save(ctx) })
	}
	return work.Wait
}

// create makes contexts, and removes every third one.
func (r *rack) create(ctx context.Context) {
	client := r.at("edge").Tree
	for ctx.Err() == nil {
		r.mu.Lock()
		r.number++
		path, old := fmt.Sprintf("/devices/x%d", r.number), fmt.Sprintf("/devices/x%d", r.number-2)
		removes := r.number%3 == 0 && r.made[old]
		r.doubted[path] = true
		r.mu.Unlock()
		_, err := client.Create(ctx, &apiv1.CreateRequest{Path: path, Kind: "simulator", Texts: map[string]string{"poll_interval": "1h"}})
		if err != nil {
			return
		}
		r.settle(path, true)
		if !removes {
			continue
		}
		r.mu.Lock()
		r.doubted[old] = true
		r.mu.Unlock()
		if _, err := client.Remove(ctx, &apiv1.RemoveRequest{Path: old}); err != nil {
			return
		}
		r.settle(old, false)
	}
}

func (r *rack) settle(path string, there bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.doubted, path)
	if delete(r.made, path); there {
		r.made[path] = true
	}
}

// rotate makes new roots, which are files.
func (r *rack) rotate(ctx context.Context) {
	for range 2 {
		r.mu.Lock()
		r.rooting = true
		r.mu.Unlock()
		made, err := r.ask(ctx, "edge", "rotate_root", nil)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.root, r.rooting = made["root"], false
		r.roots++
		r.mu.Unlock()
	}
}

// save makes backups, on the same disk.
func (r *rack) save(ctx context.Context) {
	for ctx.Err() == nil {
		made, err := r.ask(ctx, "edge", "backup", nil)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.backups = append(r.backups, made["file"])
		r.mu.Unlock()
	}
}
