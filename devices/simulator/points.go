package simulator

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"banyan/devices"
	"banyan/model"
)

// The modes in which points move.
const (
	modeCounter = "counter"
	modeSine    = "sine"
	modeRandom  = "random"
)

// maxRate bounds what may be asked for; how much of it comes is up to the machine.
const maxRate = 1_000_000_000

// points are the device's points and their contexts. Each update of a point moves that point by one step, whoever asks for it.
type points struct {
	options    options
	full, last *model.Schema // of the groups, and of the last one where it is smaller

	mu           sync.Mutex // guards what is below, and is held while points are published, so that counters never step back
	values       []float64  // made at the first update
	bits         []uint64
	random       *rand.Rand
	updates      int64
	pollChildren []devices.Publisher
}

func newPoints(o options) *points {
	return &points{
		options: o,
		full:    groupSchema(o.groupSize),
		last:    groupSchema(o.points % o.groupSize),
		random:  rand.New(rand.NewPCG(uint64(o.seed), 2)),
	}
}

// groupSchema is the same for the same size in all devices, byte for byte, so that the node needs it once.
func groupSchema(size int) *model.Schema {
	s := &model.Schema{Kind: Kind + ".group", Description: "Some of a simulator's points.", Variables: make([]model.Variable, size)}
	for i := range s.Variables {
		s.Variables[i] = model.Variable{Name: fmt.Sprintf("p%03d", i), Type: model.TypeFloat64}
	}
	return s
}

func (p *points) sizeOf(group int) int {
	return min(p.options.groupSize, p.options.points-group*p.options.groupSize)
}

func (p *points) schemaOf(group int) *model.Schema {
	if p.sizeOf(group) == p.options.groupSize {
		return p.full
	}
	return p.last
}

// reset sets all points back to zero. They show it with their next update.
func (p *points) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.values)
}

func (p *points) done() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.updates
}

// publish moves count points, from first on and all of one group, and publishes them there as one batch.
func (p *points) publish(child devices.Publisher, first, count int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.values == nil {
		p.values = make([]float64, p.options.points)
		p.bits = make([]uint64, p.options.groupSize)
	}
	now := time.Now()
	bits := p.bits[:count]
	switch values := p.values[first : first+count]; p.options.mode {
	case modeCounter:
		for i := range values {
			values[i] += p.options.step
			bits[i] = math.Float64bits(values[i])
		}
	case modeSine:
		turn := float64(now.UnixNano()%int64(p.options.period)) / float64(p.options.period)
		for i := range values {
			phase := float64(first+i) / float64(p.options.points)
			bits[i] = math.Float64bits(p.options.step * math.Sin(2*math.Pi*(turn+phase)))
		}
	case modeRandom:
		for i := range values {
			bits[i] = math.Float64bits(p.options.step * p.random.Float64())
		}
	}
	p.updates += int64(count)
	child.PublishScalars(first%p.options.groupSize, model.TimeOf(now), bits)
}

// Stream updates points one after the other and from the beginning again, at the rate that is set. At the highest rate, each
// batch is one group; at a lower one, it is what has become due, so that a thousand updates a second are a thousand batches.
func (d *device) Stream(ctx context.Context, publish devices.Publisher) error {
	o := d.options
	if o.rate == 0 || o.points == 0 || o.hang {
		return nil
	}
	children, err := d.points.makeChildren(publish)
	if err != nil {
		return err
	}
	pace := pacer{rate: o.rate, began: time.Now()}
	for next := 0; ; {
		group := next / o.groupSize
		room := group*o.groupSize + d.points.sizeOf(group) - next
		count, err := pace.take(ctx, room)
		if err != nil {
			return nil // ctx ended, as it is meant to
		}
		d.points.publish(children[group], next, count)
		if next += count; next == o.points {
			next = 0
		}
	}
}

// leastPause is the shortest wait between batches: at high rates waiting for each update would cost more than the update.
const leastPause = 500 * time.Microsecond

// pacer hands out updates at a rate. Who falls behind by more than a second does not catch up: it is not a queue.
type pacer struct {
	rate  int64 // a second; -1 has no limit
	began time.Time
	taken int64 // since began
}

// take waits until at least one update is due, and takes what is due, at most some.
func (p *pacer) take(ctx context.Context, most int) (int, error) {
	if p.rate < 0 {
		return most, ctx.Err()
	}
	for {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		elapsed := time.Since(p.began)
		due := int64(elapsed.Seconds()*float64(p.rate)) - p.taken
		if due > p.rate {
			p.began, p.taken = time.Now(), 0
			continue
		}
		if due > 0 {
			count := min(due, int64(most))
			p.taken += count
			return int(count), nil
		}
		next := time.Duration(float64(p.taken+1)/float64(p.rate)*float64(time.Second)) - elapsed
		timer := time.NewTimer(max(next, leastPause) + time.Microsecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}
