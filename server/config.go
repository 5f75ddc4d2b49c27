package server

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"banyan/devices"
	"banyan/fault"
	"banyan/model"
	"banyan/peering/dialing"
	"banyan/pki"

	"github.com/hashicorp/go-hclog"
)

// File is what stands in a node's configuration file: what must be known before the tree can be read. All else is in the tree.
type File struct {
	Name      string // what people call the node; a name like a segment of a path
	Data      string // the node's directory, absolute
	Listeners Listeners
	API       APIFiles
	Log       LogOptions
	Ceilings  Ceilings
	// Certificates say how long the node's own ones live.
	Certificates Certificates
	Source       string // the text that it was read from, for backups; empty where it was made otherwise
}

// Listeners are the addresses to listen on, HOST:PORT; the port 0 lets the system choose.
type Listeners struct {
	Links string // for other nodes; default 127.0.0.1:7443
	API   string // for people and programs; default 127.0.0.1:8443
}

// APIFiles are PEM files of the administrator's own certificate; both or none. Without them the node's root signs one.
type APIFiles struct{ Certificate, Key string }

// Certificates are the lives of the node's root and of what it signs for links. Each is renewed at two thirds of its life. A root that lives too short
// leaves peers behind that were away for longer than a third of it; a leaf that lives too short is refused where clocks differ by more.
type Certificates struct {
	Root time.Duration // default 10 years, at least three times Link
	Link time.Duration // default 24 h, at least 2 s
}

func (c *Certificates) validate() error {
	if c.Link == 0 {
		c.Link = pki.LinkLifetime
	}
	if c.Root == 0 {
		c.Root = pki.RootLifetime
	}
	if c.Link < 2*time.Second || c.Link > 366*24*time.Hour {
		return model.Errorf(model.KindInvalid, "a certificate for links lives 2s to 8784h, not %s: set certificates.link", c.Link)
	}
	if c.Root < 3*c.Link || c.Root > 100*366*24*time.Hour {
		return model.Errorf(model.KindInvalid, "the root lives three times as long as a certificate for links at least (%s), and 878400h at most, not %s: set certificates.root", 3*c.Link, c.Root)
	}
	return nil
}

// LogOptions say how much is logged and in which form.
type LogOptions struct {
	Level  string // trace, debug, info (the default), warn, error, off; of components behind commas, like info,peering=debug
	Format string // text (the default) or json
}

func (f *File) validate() error {
	if err := model.CheckName(f.Name); err != nil {
		return model.Errorf(model.KindInvalid, "the node's name: %w", err)
	}
	if f.Data == "" {
		return model.Errorf(model.KindInvalid, "the node needs a directory: give data")
	}
	if f.Listeners.Links == "" {
		f.Listeners.Links = "127.0.0.1:7443"
	}
	if f.Listeners.API == "" {
		f.Listeners.API = "127.0.0.1:8443"
	}
	for _, address := range []string{f.Listeners.Links, f.Listeners.API} {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return model.Errorf(model.KindInvalid, "listener %q is not HOST:PORT: %w", address, err)
		}
	}
	if (f.API.Certificate == "") != (f.API.Key == "") {
		return model.Errorf(model.KindInvalid, "the API's certificate and key are given both or not at all")
	}
	if f.Log.Level == "" {
		f.Log.Level = "info"
	}
	if err := f.Ceilings.validate(); err != nil {
		return err
	}
	if err := f.Certificates.validate(); err != nil {
		return err
	}
	return f.Log.validate()
}

// source is the text of the file, or one that says the same.
func (f *File) source() []byte {
	if f.Source != "" {
		return []byte(f.Source)
	}
	return fmt.Appendf(nil, "name: %q\ndata: .\nlisteners:\n  api: %q\n  links: %q\n", f.Name, f.Listeners.API, f.Listeners.Links)
}

// LoadFile reads a configuration file. Relative paths in it are relative to its folder. An error names file, line and column.
func LoadFile(path string) (File, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return File{}, &model.Error{Kind: model.KindNotFound, Op: "read " + path, Err: err, Remedy: "`banyan init` makes one"}
	}
	f, err := ParseFile(path, raw)
	if err != nil {
		return File{}, err
	}
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return File{}, err
	}
	for _, p := range []*string{&f.Data, &f.API.Certificate, &f.API.Key} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(folder, *p)
		}
	}
	return f, nil
}

// Config is what a Node is made from: the file, and what the program around it hands in.
type Config struct {
	File
	// Version is the program's, as Info tells it.
	Version string
	// Logger gets everything that an operator may want to know; nothing is logged when nil.
	Logger hclog.Logger
	// Serving is called once, when the node answers; nil where nobody waits for it.
	Serving func()
	// Reached is called at the steps of a request that is sent until it is answered (made, sent, passed, started, done, recorded, answered), where a test
	// stops the node; nil where nobody does.
	Reached func(step string)
	// Now is the node's clock; time.Now when nil.
	Now func() time.Time
	// Listen opens the listeners; net.Listen for TCP when nil. A test puts a network of its own here.
	Listen func(address string) (net.Listener, error)
	// Beat is the time between heartbeats of links, default 2 s: a link counts as cut after two of them.
	Beat time.Duration
	// Reconnect is the longest pause between two tries of a link to come back, default 10 s.
	Reconnect time.Duration
	// Dial opens connections to other nodes; when nil they are dialled as package dialing does, through proxies where links have them.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Dialling says how that is done; a test puts names and addresses of its own here.
	Dialling dialing.Config
	// Drivers are the kinds of devices that the node can run; those that come with the program when nil.
	Drivers []devices.Driver
	// StopWithin bounds how long services get for ending, default 6 s; what is left of ten seconds is for closing files.
	StopWithin time.Duration
}

func (c *Config) validate() error {
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Now == nil {
		c.Now = fault.Now
	}
	if c.Listen == nil {
		c.Listen = listenTCP
	}
	if c.Reached == nil {
		c.Reached = func(string) {}
	}
	if c.Serving == nil {
		c.Serving = func() {}
	}
	if c.StopWithin == 0 {
		c.StopWithin = 6 * time.Second
	}
	return c.File.validate()
}
