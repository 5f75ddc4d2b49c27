package devices

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"banyan/model"
)

// Config is what a manager needs.
type Config struct {
	// Drivers are the kinds of devices that can run here. No two are of one kind.
	Drivers []Driver

	// Sink is where the device that is the context called id publishes. It is asked once for each start of a device, and answers
	// always: what is published to a context that is gone is dropped. Required.
	Sink func(id model.ContextID) Sink

	// Log gets what goes wrong with devices. The default is silence.
	Log hclog.Logger

	// Concurrency is how many polls run at once, 1024 by default. Polls mostly wait for an answer and cost little meanwhile: some 10 KiB and
	// an open connection each. Too few make polls late behind devices that take long, or the whole timeout. Devices whose last poll
	// failed share half of it.
	Concurrency int

	// FirstWithin is the time over which first polls are spread, 2 s by default, or a device's poll_interval where that is
	// less. Too short, and a node's start is a burst; too long, and the tree is empty meanwhile.
	FirstWithin time.Duration

	// StopWithin bounds how long Run waits for devices after ctx has ended, 3 s by default. It is more than the quarter of a second
	// that a device has for saying goodbye.
	StopWithin time.Duration

	// Random is a number from 0 up to 1 for each call, from any goroutine; by default that of math/rand/v2.
	Random func() float64
}

func (c *Config) validate() error {
	if c.Sink == nil {
		return model.Errorf(model.KindInternal, "devices: Config.Sink is missing")
	}
	if c.Concurrency < 0 || c.FirstWithin < 0 || c.StopWithin < 0 {
		return model.Errorf(model.KindInvalid, "devices: a limit is negative")
	}
	c.Concurrency = cmp.Or(c.Concurrency, 1024)
	c.FirstWithin = cmp.Or(c.FirstWithin, 2*time.Second)
	c.StopWithin = cmp.Or(c.StopWithin, 3*time.Second)
	if c.Log == nil {
		c.Log = hclog.NewNullLogger()
	}
	if c.Random == nil {
		c.Random = rand.Float64
	}
	return nil
}

// Spec is one device as it is wanted.
type Spec struct {
	ID       model.ContextID
	Path     model.Path // for messages
	Kind     string
	Settings Settings // as they are set; what is not there has its default
}

// Manager runs the devices of one node. All methods may be called at any time from any goroutine.
type Manager struct {
	config  Config
	kinds   map[string]kind
	polling polling
	wake    chan struct{} // capacity 1: something is in waiting

	mu      sync.Mutex // guards the rest
	running bool       // Run was called
	over    bool       // Run has ended
	lives   map[model.ContextID]*life
	leaving map[model.ContextID]*life // stopped, not over, and no life of the same device after it
	waiting []*life                   // to be started by Run
	started map[*life]context.CancelFunc
	parents map[model.ContextID]model.ContextID // of those that have one
}

type kind struct {
	name   string
	driver Driver
	schema *model.Schema // completed
}

// New makes a manager without devices. It refuses drivers whose schema is not valid.
func New(config Config) (*Manager, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	m := &Manager{
		config: config,
		kinds:  map[string]kind{},
		polling: polling{
			slots:  newSlots(config.Concurrency),
			spread: spread{random: config.Random, firstWithin: config.FirstWithin},
			family: &family{},
			onTime: &lateness{}, suspects: &lateness{},
		},
		wake:    make(chan struct{}, 1),
		lives:   map[model.ContextID]*life{},
		leaving: map[model.ContextID]*life{},
		started: map[*life]context.CancelFunc{},
	}
	for _, d := range config.Drivers {
		own := d.Schema()
		schema := Complete(own)
		if err := schema.Validate(); err != nil {
			return nil, fmt.Errorf("driver %s: %w", d.Kind(), err)
		}
		if _, twice := m.kinds[d.Kind()]; twice || own.Kind != d.Kind() {
			return nil, model.Errorf(model.KindInternal, "driver %s: there are two, or its schema is of the kind %s", d.Kind(), own.Kind)
		}
		m.kinds[d.Kind()] = kind{name: d.Kind(), driver: d, schema: schema}
	}
	return m, nil
}

// Schemas are the completed schemas of all kinds, in order of the kinds' names.
func (m *Manager) Schemas() []*model.Schema {
	var all []*model.Schema
	for _, name := range slices.Sorted(maps.Keys(m.kinds)) {
		all = append(all, m.kinds[name].schema)
	}
	return all
}

// Check says whether a device of a kind could be opened with these settings, without starting one. Its error names the setting. Whether
// there is a parent as it is named is not looked at: it may come later.
func (m *Manager) Check(kind string, given Settings) error {
	k, known := m.kinds[kind]
	if !known {
		return unknownKind(kind)
	}
	settings, _, err := k.resolve(given)
	if err != nil {
		return err
	}
	device, err := k.driver.Open(settings)
	if err != nil {
		return err
	}
	_, err = k.shapeOf(device)
	return errors.Join(err, device.Close())
}

func unknownKind(kind string) error {
	return model.Errorf(model.KindUnsupported, "no driver for devices of the kind %q", kind)
}

func (k kind) resolve(given Settings) (Settings, timing, error) {
	settings, err := Resolve(k.schema, given)
	if err != nil {
		return nil, timing{}, err
	}
	t, err := timingOf(settings)
	return settings, t, err
}

// Run runs devices until ctx ends, and then stops them. It returns within StopWithin of that, with an error that names the
// devices that hang, if any do. It is called once.
func (m *Manager) Run(ctx context.Context) error {
	m.mu.Lock()
	again := m.running
	m.running = true
	m.mu.Unlock()
	if again {
		return model.Errorf(model.KindInternal, "devices: Run was called twice")
	}
	for {
		m.start(ctx)
		select {
		case <-m.wake:
		case <-ctx.Done():
			return m.stop()
		}
	}
}

func (m *Manager) start(ctx context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.waiting {
		lifeCtx, cancel := context.WithCancel(ctx)
		m.started[l] = cancel
		go func() { // stop waits for it, through l.done
			defer cancel()
			l.run(lifeCtx)
			m.mu.Lock()
			defer m.mu.Unlock()
			delete(m.started, l)
			if m.leaving[l.id] == l {
				delete(m.leaving, l.id)
			}
		}()
	}
	m.waiting = nil
}

// stop waits for the lives, all of which end because ctx did.
func (m *Manager) stop() error {
	m.mu.Lock()
	m.over = true
	for _, l := range m.waiting {
		close(l.done)
	}
	m.waiting = nil
	lives := slices.Collect(maps.Keys(m.started))
	m.mu.Unlock()

	timer := time.NewTimer(m.config.StopWithin)
	defer timer.Stop()
	late := false
	var hang []string
	for _, l := range lives {
		if !late {
			select {
			case <-l.done:
			case <-timer.C:
				late = true
			}
		}
		select {
		case <-l.done:
		default:
			hang = append(hang, strings.TrimSpace(l.where()+" "+strings.Join(l.hanging(), ", ")))
		}
	}
	if len(hang) == 0 {
		return nil
	}
	slices.Sort(hang)
	return model.Errorf(model.KindTimeout, "%d devices hang and were left behind: %s", len(hang), strings.Join(slices.Compact(hang), "; "))
}

// Stats are figures for metrics.
type Stats struct {
	Devices int   // wanted
	Polls   int64 // done by the lives that run now
	Hanging int   // calls into drivers that were left behind and have not returned
	States  map[string]int

	// Late is of the polls of devices that answer, LateSuspects of those whose poll before failed, and which have half of the slots.
	Late, LateSuspects Lateness
}

// Stats counts.
func (m *Manager) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Stats{Devices: len(m.lives), States: map[string]int{}, Late: m.polling.onTime.read(), LateSuspects: m.polling.suspects.read()}
	for l := range m.started {
		s.Hanging += len(l.hanging())
	}
	for _, l := range m.lives {
		l.mu.Lock()
		state, _ := l.report.now()
		s.States[state]++
		s.Polls += l.report.polls
		l.mu.Unlock()
	}
	return s
}
