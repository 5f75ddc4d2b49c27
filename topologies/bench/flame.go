package main

import (
	"cmp"
	"errors"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A flame graph: each function is a bar as wide as the time that was spent in it and in what it called, below who called it.
const (
	flameWidth  = 1400.0
	flameRow    = 17
	flameHead   = 26
	flameLeast  = 0.004 // of the whole: what is narrower is left out
	flameLetter = 6.4   // as wide as a letter is on average
)

// flameBar is one function in one place.
type flameBar struct {
	name  string
	took  time.Duration
	below map[string]*flameBar
}

// add puts a stack below the bar, the outermost function of which comes first.
func (b *flameBar) add(stack []string, took time.Duration) {
	b.took += took
	if len(stack) == 0 {
		return
	}
	name := stack[0]
	if b.below == nil {
		b.below = map[string]*flameBar{}
	}
	if b.below[name] == nil {
		b.below[name] = &flameBar{name: name}
	}
	b.below[name].add(stack[1:], took)
}

// drawFlames makes a picture of each processor profile in a directory.
func drawFlames(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.pprof"))
	if err != nil {
		return err
	}
	var problems []error
	for _, file := range files {
		problems = append(problems, drawFlame(file))
	}
	return errors.Join(problems...)
}

func drawFlame(file string) error {
	zipped, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	s, err := readProfile(zipped)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	all := &flameBar{}
	for i, stack := range s.functions {
		outermost := slices.Clone(stack)
		slices.Reverse(outermost)
		all.add(outermost, s.took[i])
	}
	title := strings.TrimSuffix(filepath.Base(file), ".pprof")
	all.name = fmt.Sprintf("%s: %.1f s of processor time", title, all.took.Seconds())
	picture := all.picture()
	return os.WriteFile(strings.TrimSuffix(file, ".pprof")+".svg", []byte(picture), 0o600)
}

// picture is the whole as SVG, which a browser shows; over a bar it tells the whole name and the share.
func (b *flameBar) picture() string {
	var rows strings.Builder
	depth := 0
	b.draw(&rows, 0, 0, b.took, &depth)
	height := flameHead + (depth+1)*flameRow + 4
	var picture strings.Builder
	fmt.Fprintf(&picture, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" font-family="sans-serif" font-size="11">`+"\n", flameWidth, height)
	fmt.Fprintf(&picture, `<rect width="100%%" height="100%%" fill="#fff"/>`+"\n")
	x := 4.0
	for _, room := range flameRooms {
		fmt.Fprintf(&picture, `<rect x="%.0f" y="6" width="12" height="12" fill="%s"/><text x="%.0f" y="16">%s</text>`+"\n", x, room.colour, x+16, room.name)
		x += 30 + float64(len(room.name))*flameLetter
	}
	picture.WriteString(rows.String())
	picture.WriteString("</svg>\n")
	return picture.String()
}

func (b *flameBar) draw(to *strings.Builder, x float64, depth int, all time.Duration, deepest *int) {
	*deepest = max(*deepest, depth)
	share := float64(b.took) / float64(max(1, all))
	width, y := share*flameWidth, flameHead+depth*flameRow
	short := b.name[strings.LastIndexByte(b.name, '/')+1:]
	if fits := int(width/flameLetter) - 1; fits < len(short) {
		short = short[:max(0, fits)]
	}
	fmt.Fprintf(to, `<g><title>%s, %.1f %%</title><rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s" stroke="#fff" stroke-width="0.5"/>`,
		html.EscapeString(b.name), 100*share, x, y, width, flameRow-1, colourOf(b.name))
	if len(short) > 2 {
		fmt.Fprintf(to, `<text x="%.1f" y="%d">%s</text>`, x+3, y+12, html.EscapeString(short))
	}
	to.WriteString("</g>\n")
	bars := make([]*flameBar, 0, len(b.below))
	for _, below := range b.below {
		bars = append(bars, below)
	}
	slices.SortFunc(bars, func(p, q *flameBar) int { return cmp.Or(cmp.Compare(q.took, p.took), cmp.Compare(p.name, q.name)) })
	for _, below := range bars {
		if float64(below.took) >= flameLeast*float64(all) {
			below.draw(to, x, depth+1, all, deepest)
		}
		x += float64(below.took) / float64(max(1, all)) * flameWidth
	}
}

// flameRooms are whose code it is, by the beginnings of names; the last one is all else.
var flameRooms = []struct {
	name, colour string
	prefixes     []string
}{
	{"our own", "#8fd19e", []string{"banyan/", "main."}},
	{"TLS", "#d7b5f0", []string{"crypto/", "vendor/golang.org/x/crypto"}},
	{"gRPC and HTTP/2", "#9ec9f5", []string{"google.golang.org/grpc", "golang.org/x/net/http2", "net/http", "connectrpc.com/"}},
	{"protobuf", "#f7d98b", []string{"google.golang.org/protobuf"}},
	{"SQLite", "#f2a7b5", []string{"github.com/mattn/go-sqlite3", "database/sql"}},
	{"system calls and network", "#f5b482", []string{"syscall.", "internal/syscall/", "internal/runtime/syscall", "internal/poll.", "net."}},
	{"collector, scheduler and all else", "#dcdcdc", nil},
}

func colourOf(name string) string {
	for _, room := range flameRooms {
		if slices.ContainsFunc(room.prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			return room.colour
		}
	}
	return flameRooms[len(flameRooms)-1].colour
}
