package profiles

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"banyan/model"

	"github.com/hashicorp/go-hclog"
)

//go:embed shipped
var shipped embed.FS

// Limits of the folder of an administrator.
const (
	maxFiles     = 1000
	maxFileBytes = 1 << 20
	lookEvery    = 2 * time.Second
)

// Config is what a Registry needs.
type Config struct {
	// Dir is where an administrator drops files; it need not exist. Empty means that there are only those that came with the program.
	Dir string
	// Checks has a Check for each kind of devices that can have profiles.
	Checks map[string]Check
	// Log gets what is wrong with files. The default is silence.
	Log hclog.Logger
	// Shipped replaces the profiles that come with the program, for tests.
	Shipped fs.FS
}

// Registry is the profiles of one node. A file that was good and is not any more leaves the profile as it was, so that a slip of the pen does not stop
// what runs. A dropped file goes before one of the same name that came with the program. Its methods may be called from any goroutine.
type Registry struct {
	config Config

	mu       sync.RWMutex // guards the rest
	own      map[string]*file
	shipped  map[string]*Profile
	problems map[string]error // of own files, by name
}

// file is an own file as it was last read.
type file struct {
	modified time.Time
	size     int64
	profile  *Profile // nil where it never was good
}

// NewRegistry reads all profiles. What is wrong with own files is logged and in Problems; what came with the program is right, or it is an error.
func NewRegistry(config Config) (*Registry, error) {
	if config.Log == nil {
		config.Log = hclog.NewNullLogger()
	}
	if config.Shipped == nil {
		config.Shipped, _ = fs.Sub(shipped, "shipped") // the name is valid
	}
	r := &Registry{config: config, own: map[string]*file{}, shipped: map[string]*Profile{}, problems: map[string]error{}}
	names, err := fs.Glob(config.Shipped, "*.yaml")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		source, err := fs.ReadFile(config.Shipped, name)
		if err != nil {
			return nil, err
		}
		p, err := Parse(name, strings.TrimSuffix(name, ".yaml"), source, config.Checks)
		if err != nil {
			return nil, err
		}
		p.Shipped = true
		r.shipped[p.Name] = p
	}
	r.look()
	return r, nil
}

// Profile is the profile of a name for devices of a kind. The error says what there is instead.
func (r *Registry) Profile(kind, name string) (*Profile, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p := r.named(name)
	if p != nil && p.Kind == kind {
		return p, nil
	}
	if err := r.problems[name]; err != nil && p == nil {
		return nil, model.Errorf(model.KindInvalid, "the profile %s cannot be used: %w", name, err)
	}
	if p != nil {
		return nil, model.Errorf(model.KindInvalid, "the profile %s is for devices of the kind %s", name, p.Kind)
	}
	return nil, &model.Error{Kind: model.KindInvalid, Detail: "there is no profile called " + name, Remedy: "there are " + strings.Join(r.namesOf(kind), ", ")}
}

// All are the profiles for devices of a kind, by name.
func (r *Registry) All(kind string) []*Profile {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var all []*Profile
	for _, name := range r.namesOf(kind) {
		all = append(all, r.named(name))
	}
	return all
}

// Problems are what is wrong with files that were dropped, by the name of the profile.
func (r *Registry) Problems() map[string]error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return maps.Clone(r.problems)
}

// named is the profile of a name; the mutex is held.
func (r *Registry) named(name string) *Profile {
	if f := r.own[name]; f != nil && f.profile != nil {
		return f.profile
	}
	return r.shipped[name]
}

// namesOf are the names of the profiles for a kind; the mutex is held.
func (r *Registry) namesOf(kind string) []string {
	all := map[string]bool{}
	for name := range r.shipped {
		all[name] = true
	}
	for name := range r.own {
		all[name] = true
	}
	var names []string
	for name := range all {
		if p := r.named(name); p != nil && p.Kind == kind {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Run looks every two seconds whether files came, changed or went, until ctx ends, and calls changed with the names of the profiles that are not what
// they were.
func (r *Registry) Run(ctx context.Context, changed func(names []string)) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if names := r.look(); len(names) > 0 {
				changed(names)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// look reads what changed in the folder, and answers which profiles are not what they were.
func (r *Registry) look() (changed []string) {
	if r.config.Dir == "" {
		return nil
	}
	found, err := listed(r.config.Dir)
	if err != nil {
		r.config.Log.Error("the folder of profiles cannot be read", "error", err)
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(found)) {
		info, before := found[name], r.own[name]
		if before != nil && before.modified.Equal(info.ModTime()) && before.size == info.Size() {
			continue
		}
		if r.read(name, info) {
			changed = append(changed, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.own)) {
		if _, there := found[name]; !there {
			if r.own[name].profile != nil {
				changed = append(changed, name)
			}
			delete(r.own, name)
			delete(r.problems, name)
		}
	}
	return changed
}

// read takes in one file, and reports whether the profile is another one now; the mutex is held.
func (r *Registry) read(name string, info fs.FileInfo) bool {
	f := &file{modified: info.ModTime(), size: info.Size()}
	if before := r.own[name]; before != nil {
		f.profile = before.profile
	}
	r.own[name] = f
	path := filepath.Join(r.config.Dir, name+".yaml")
	p, err := readFile(path, name, info.Size(), r.config.Checks)
	if err != nil {
		r.problems[name] = err
		r.config.Log.Error("a profile cannot be used", "profile", name, "error", err)
		return false
	}
	delete(r.problems, name)
	f.profile = p
	return true
}

func readFile(path, name string, size int64, checks map[string]Check) (*Profile, error) {
	if size > maxFileBytes {
		return nil, model.Errorf(model.KindInvalid, "the file has %d bytes, at most %d are read", size, maxFileBytes)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(filepath.Base(path), name, source, checks)
}

// listed are the files of the folder by the name of the profile.
func listed(dir string) (map[string]fs.FileInfo, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	found := map[string]fs.FileInfo{}
	for _, e := range entries {
		name, yes := strings.CutSuffix(e.Name(), ".yaml")
		if !yes || strings.HasPrefix(name, ".") || len(found) >= maxFiles {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, e.Name())) // follows links: a folder of configuration is often made of them
		if err == nil && info.Mode().IsRegular() {
			found[name] = info
		}
	}
	return found, nil
}
