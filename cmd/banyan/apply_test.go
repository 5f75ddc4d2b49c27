package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"banyan/access"
	"banyan/devices"
	"banyan/devices/simulator"
	"banyan/model"
	"banyan/server"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
)

// canary is in every secret of these tests, and nowhere in what is printed or logged.
const canary = "canary-7f3a-secret"

// fileNode is a running node with a profile of its name.
type fileNode struct {
	*server.Node
	t        testing.TB
	name     string
	dir      string
	password string
	log      *bytes.Buffer
}

// startFileNode runs a node in this process. Its device "everything" has settings of every type.
func startFileNode(t testing.TB, name string) *fileNode {
	t.Helper()
	n := &fileNode{t: t, name: name, dir: filepath.Join(t.TempDir(), name), log: &bytes.Buffer{}}
	made, err := server.Init(t.Context(), n.dir, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	n.password = made.Password
	file := server.File{Name: name, Data: n.dir, Listeners: server.Listeners{API: "127.0.0.1:0", Links: "127.0.0.1:0"}}
	n.Node, err = server.New(t.Context(), server.Config{
		File: file, Drivers: []devices.Driver{simulator.Driver{}, everything{}}, Logger: hclog.New(&hclog.LoggerOptions{Output: n.log, Level: hclog.Trace}),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s ended with %v", name, err)
		}
		if strings.Contains(n.log.String(), canary) {
			t.Errorf("%s logged a secret", name)
		}
	})
	n.banyanReads(made.Password, 0, "login", n.APIAddress(), "--ca", filepath.Join(n.dir, "ca.pem"), "--name", "admin")
	return n
}

// banyan runs a command at the node and returns what it printed. It fails the test where the exit code is another or a secret is printed.
func (n *fileNode) banyan(code int, args ...string) string {
	n.t.Helper()
	return n.banyanReads("", code, args...)
}

func (n *fileNode) banyanReads(input string, code int, args ...string) string {
	n.t.Helper()
	var out, errs bytes.Buffer
	got := run(n.t.Context(), append([]string{"--profile", n.name, "--timeout", "2m"}, args...), strings.NewReader(input), &out, &errs)
	if got != code {
		n.t.Fatalf("%s: exit code %d, want %d\n%.3000s%.3000s", args, got, code, out.String(), errs.String())
	}
	if strings.Contains(out.String()+errs.String(), canary) {
		n.t.Fatalf("%s prints a secret", args)
	}
	return out.String() + errs.String()
}

// holds is what the node's own contexts are, without what differs between any two nodes.
func (n *fileNode) holds() string {
	var all []string
	contexts, _ := n.Tree().Snapshot(model.Root)
	for i := range contexts {
		c := &contexts[i]
		if strings.Contains(c.Schema.Kind, ".") {
			continue // a device found it, when it was polled
		}
		text := fmt.Sprintf("%s %s %q", c.Path, c.Schema.Kind, c.Label)
		for i := range c.Schema.Settings {
			text += fmt.Sprintf(" %s=%s", c.Schema.Settings[i].Name, c.Setting(i).JSON())
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func (n *fileNode) write(name, content string) string {
	n.t.Helper()
	path := filepath.Join(n.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return path
}

// everything is a driver with settings of every type, with defaults and without, and secrets.
type everything struct{}

func (everything) Kind() string { return "everything" }

func (everything) Schema() *model.Schema {
	s := &model.Schema{Kind: "everything", Variables: []model.Variable{{Name: "nothing", Type: model.TypeBool}}}
	table := &model.Table{Columns: []model.Column{{Name: "n", Type: model.TypeInt64}, {Name: "s", Type: model.TypeString}}}
	for _, d := range []model.Value{
		model.Bool(true), model.Int64(1), model.Float64(2), model.String("x"), model.Bytes([]byte{0}), model.Instant(1e18), model.Duration(time.Minute),
		model.Ref(model.Address{Path: model.MustPath("/system"), Name: "name"}), model.TableValue(table),
	} {
		s.Settings = append(s.Settings,
			model.Setting{Name: "a_" + d.Type().String(), Type: d.Type(), Default: d, Right: model.RightConfigure},
			model.Setting{Name: "b_" + d.Type().String(), Type: d.Type(), Right: model.RightConfigure})
	}
	for _, t := range []model.Type{model.TypeString, model.TypeBytes} {
		s.Settings = append(s.Settings, model.Setting{Name: "secret_" + t.String(), Type: t, Secret: true, Right: model.RightConfigure})
	}
	return s
}

func (everything) Open(devices.Settings) (devices.Device, error) { return everything{}, nil }

func (everything) Poll(context.Context, devices.Publisher) error { return nil }

func (everything) Call(context.Context, int, []model.Argument, devices.Publisher) ([]model.Argument, error) {
	return nil, nil
}

func (everything) Write(context.Context, int, model.Value, devices.Publisher) error { return nil }

func (everything) Close() error { return nil }

// TestExportedAndAppliedNodesAreEqual makes random trees at real nodes, over all kinds and types of values, and has an empty node become the same by a
// file, again and again.
func TestExportedAndAppliedNodesAreEqual(t *testing.T) {
	t.Setenv("BANYAN_CONFIG", t.TempDir())
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 3))
	from, to := startFileNode(t, "from"), startFileNode(t, "to")
	secrets := ""
	for round := range 12 {
		secrets += from.random(random)
		file := from.write("f.yaml", from.banyan(0, "export"))
		secretsFile := from.write("secrets.yaml", secrets)
		if round == 0 {
			from.missingSecretsAreNamed(to, file)
		}
		to.banyan(0, "apply", file, "--secrets", secretsFile, "--prune")
		if difference := cmp.Diff(strings.Split(from.holds(), "\n"), strings.Split(to.holds(), "\n")); difference != "" {
			t.Fatalf("the second node differs (+):\n%s", difference)
		}
		to.banyan(0, "diff", file, "--prune")
		if told := to.banyan(0, "apply", file, "--secrets", secretsFile, "--prune"); told != "Nothing differs.\n" {
			t.Errorf("applied again: %s", told)
		}
	}
}

// missingSecretsAreNamed applies a file without its secrets.
func (n *fileNode) missingSecretsAreNamed(to *fileNode, file string) {
	n.t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		n.t.Fatal(err)
	}
	wanted := strings.Count(string(raw), "{secret: ") - strings.Count(string(raw), "{secret: NAME}") - 1 // the administrator has one
	if wanted == 0 {
		return // by chance
	}
	before := to.holds()
	if told := to.banyan(1, "apply", file); strings.Count(told, "is not known (give it with --secrets FILE") != wanted {
		n.t.Errorf("%d secrets are missing, and told is\n%s", wanted, told)
	}
	if to.holds() != before {
		n.t.Error("something was done without its secrets")
	}
}

// random makes, changes and removes things, and returns the secrets that were given, as lines of YAML.
func (n *fileNode) random(random *rand.Rand) (secrets string) {
	admin := access.Principal{Chain: access.Chain{Person: access.Person{Name: "admin", Node: n.name}}}
	do := func(q server.Request) bool {
		_, err := n.Router().Execute(n.t.Context(), admin, q)
		if err != nil && !slices.Contains([]model.ErrorKind{model.KindExists, model.KindNotFound, model.KindUnsupported, model.KindConflict, model.KindInvalid}, model.KindOf(err)) {
			n.t.Fatal(err)
		}
		return err == nil
	}
	name := func() string { return []string{"a", "b", "12", "true", "x.y"}[random.IntN(5)] }
	for range 20 {
		kind := []string{"folder", "folder", "everything", "everything", "simulator", "user", "role", "foreign-user"}[random.IntN(8)]
		path := "/devices/" + name()
		switch {
		case kind == "role":
			path = "/roles/" + name()
		case kind == "user" || kind == "foreign-user":
			path = "/users/" + name()
		case random.IntN(2) == 0:
			path += "/" + name()
		}
		if random.IntN(5) == 0 {
			do(server.Request{Op: server.OpRemove, Path: model.MustPath(path)})
			continue
		}
		q := server.Request{Op: server.OpCreate, Path: model.MustPath(path), Kind: kind}
		if random.IntN(2) == 0 {
			q.Label = someText(random, false)
		}
		var mine string
		q.Arguments, mine = n.arguments(random, path, kind)
		if do(q) {
			secrets += mine
		}
	}
	do(server.Request{Op: server.OpSet, Path: model.MustPath("/system"), Name: "api_hosts", Value: model.String(name() + ".example")})
	return secrets
}

func (n *fileNode) arguments(random *rand.Rand, path, kind string) (arguments []model.Argument, secrets string) {
	rules := server.RulesValue([]access.Rule{{Pattern: model.MustPattern("/devices/*/" + []string{"a", "**"}[random.IntN(2)]), Right: model.RightView}})
	switch kind {
	case "user":
		arguments = append(arguments, model.Argument{Name: "enabled", Value: model.Bool(random.IntN(2) == 0)})
		if random.IntN(2) == 0 {
			arguments = append(arguments, model.Argument{Name: "password", Value: model.String(canary)})
			secrets = fmt.Sprintf("\"%s/password\": %s\n", path[1:], canary)
		}
	case "role":
	case "foreign-user":
		return []model.Argument{{Name: "person", Value: model.String("someone@hq")}, {Name: "rules", Value: rules}}, ""
	case "everything":
		schema := everything{}.Schema()
		for i := range schema.Settings {
			d := &schema.Settings[i]
			if random.IntN(2) == 0 {
				continue
			}
			v := someValue(random, d.Type)
			if d.Secret {
				v, _ = model.ParseText(d.Type, map[model.Type]string{model.TypeString: canary, model.TypeBytes: "Y2FuYXJ5"}[d.Type])
				secrets += fmt.Sprintf("\"%s/%s\": %s\n", path[1:], d.Name, v)
			}
			arguments = append(arguments, model.Argument{Name: d.Name, Value: v})
		}
		return append(arguments, model.Argument{Name: "poll_interval", Value: model.Duration(time.Duration(1+random.IntN(5)) * time.Hour)}), secrets
	case "simulator":
		return []model.Argument{
			{Name: "poll_interval", Value: model.Duration(time.Hour)}, {Name: "points", Value: model.Int64(int64(1 + random.IntN(4)))},
			{Name: "step", Value: model.Float64(float64(random.IntN(5)) / 2)},
		}, ""
	default:
		return nil, ""
	}
	return append(arguments, model.Argument{Name: "rules", Value: rules}), secrets
}

func someText(random *rand.Rand, all bool) string {
	texts := []string{"", "plain", "null", "12", "a: b", "x #y", " lead", "Köln", "\"q\"", "{a}", "- x", "${v}", "0x1", "\U0001F600", "@"}
	if all {
		texts = append(texts, "two\nlines\n", "\x00\t\u2028", "\r")
	}
	return texts[random.IntN(len(texts))]
}

func someValue(random *rand.Rand, t model.Type) model.Value {
	switch t {
	case model.TypeBool:
		return model.Bool(random.IntN(2) == 0)
	case model.TypeInt64:
		return model.Int64([]int64{0, -1, math.MaxInt64, math.MinInt64}[random.IntN(4)])
	case model.TypeFloat64:
		return model.Float64([]float64{0, 1e300, math.Inf(-1), math.NaN(), 0.1}[random.IntN(5)])
	case model.TypeString:
		return model.String(someText(random, true))
	case model.TypeBytes:
		return model.Bytes([]byte(someText(random, true)))
	case model.TypeTime:
		return model.Instant(model.Time(random.Int64N(2e18)))
	case model.TypeDuration:
		return model.Duration(time.Duration(random.Int64N(1e15)))
	case model.TypeRef:
		return model.Ref(model.Address{Path: model.MustPath("/devices/a"), Name: []string{"", "state"}[random.IntN(2)]})
	}
	table := &model.Table{Columns: []model.Column{{Name: "n", Type: model.TypeInt64}, {Name: "s", Type: model.TypeString}}}
	if random.IntN(2) == 0 {
		table.Columns[0].Type, table.Columns[1].Type = model.TypeDuration, model.TypeBytes
	}
	for range random.IntN(3) {
		table.Rows = append(table.Rows, []model.Value{someValue(random, table.Columns[0].Type), {}})
		table.Rows = append(table.Rows, []model.Value{{}, someValue(random, table.Columns[1].Type)})
	}
	return model.TableValue(table)
}

// thousand is a file that makes 1,000 devices of one template and a list beside it. The row bad, where it is one, has a value that the kind refuses.
func (n *fileNode) thousand(bad int) string {
	n.t.Helper()
	var rows strings.Builder
	rows.WriteString("name,mode\n")
	for i := 1; i <= 1000; i++ {
		mode := "sine"
		if i == bad {
			mode = "odd"
		}
		fmt.Fprintf(&rows, "d%d,%s\n", i, mode)
	}
	n.write("list.csv", rows.String())
	return n.write("thousand.yaml", `templates:
  one: {kind: simulator, label: "No. ${name}", settings: {mode: "${mode}", poll_interval: 24h, points: 5, step: 0.5}}
instances:
  - {template: one, path: "/devices/${name}", from: list.csv}
`)
}

// TestApplyThatFailsChangesNothing has edit 500 of 1,000 refused, and then none.
func TestApplyThatFailsChangesNothing(t *testing.T) {
	t.Setenv("BANYAN_CONFIG", t.TempDir())
	n := startFileNode(t, "node")
	before, head := n.holds(), n.Tree().ChangeHead()
	told := n.banyan(1, "apply", n.thousand(500))
	if !strings.Contains(told, "list.csv:501:") && !strings.Contains(told, "thousand.yaml:2:") || !strings.Contains(told, "/devices/d500:mode") {
		t.Errorf("told is %s", told)
	}
	if n.holds() != before || n.Tree().ChangeHead() != head {
		t.Error("something was done")
	}
	file := n.thousand(0)
	began := time.Now()
	told = n.banyan(0, "apply", file)
	took := time.Since(began)
	if !strings.Contains(told, "1000 done") {
		t.Errorf("told is %.300s", told)
	}
	again := time.Now()
	n.banyan(0, "apply", file)
	t.Logf("1,000 devices applied in %s, and found equal in %s", took, time.Since(again))
}

// TestTwoPeopleApply: what somebody else changed after the file was compared is told, and not overwritten.
func TestTwoPeopleApply(t *testing.T) {
	t.Setenv("BANYAN_CONFIG", t.TempDir())
	n := startFileNode(t, "node")
	const form = "contexts:\n  /devices/a: {kind: simulator, settings: {poll_interval: 1h, step: %d}}\n  /devices/b: {kind: simulator, settings: {poll_interval: 1h, step: %d}}\n"
	n.banyan(0, "apply", n.write("f.yaml", fmt.Sprintf(form, 1, 2)))
	var out, errs bytes.Buffer
	c := &cli{in: strings.NewReader(""), out: &out, errs: &errs, profile: n.name, timeout: time.Minute, began: time.Now()}
	mine := n.write("mine.yaml", fmt.Sprintf(form, 5, 5))
	ctx, at, plan, stop, err := c.plan(t.Context(), mine, &applyFlags{})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	n.banyan(0, "set", "/devices/b:step", "7")
	before := n.holds()
	err = c.apply(ctx, ctx, at, plan, &applyFlags{})
	if model.KindOf(err) != model.KindConflict || !strings.Contains(err.Error(), "mine.yaml:3:3: ") || !strings.Contains(err.Error(), "read it again and decide anew") {
		t.Errorf("the second is told %v", err)
	}
	if n.holds() != before || out.Len() != 0 {
		t.Errorf("something was done, or said to be: %s", out.String())
	}
	if told := n.banyan(1, "diff", mine); !strings.Contains(told, "-step: 7\n+step: 5") {
		t.Errorf("compared again: %s", told)
	}
}

// TestApplySurvivesKills kills nodes with kill -9 while a thousand devices are applied: all of them are there afterwards, or none; and all that were
// confirmed.
func TestApplySurvivesKills(t *testing.T) {
	t.Setenv("BANYAN_CONFIG", t.TempDir())
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 4))
	files := &fileNode{t: t, name: "files", dir: t.TempDir()}
	file := files.thousand(0)
	fates := map[string]int{}
	for round := range 6 {
		n := &fileNode{t: t, name: fmt.Sprintf("n%d", round), dir: filepath.Join(t.TempDir(), "node")}
		made, err := server.Init(t.Context(), n.dir, n.name, nil)
		if err != nil {
			t.Fatal(err)
		}
		n.password = made.Password
		config := n.write("node.yaml", fmt.Sprintf("name: %s\ndata: %s\nlisteners: {api: 127.0.0.1:0, links: 127.0.0.1:0}\n", n.name, n.dir))
		kill, address := n.serve(config)
		n.banyanReads(made.Password, 0, "login", address, "--ca", filepath.Join(n.dir, "ca.pem"), "--name", "admin")
		timer := time.AfterFunc(time.Duration(random.Int64N(int64(700*time.Millisecond))), kill)
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"--profile", n.name, "apply", file}, strings.NewReader(""), &out, &errs)
		timer.Stop()
		kill()
		devices := n.devices()
		if code == exitOK && devices != 1000 || devices != 0 && devices != 1000 {
			t.Errorf("exit code %d, and %d devices are there", code, devices)
		}
		fates[fmt.Sprintf("code %d, %d devices", code, devices)]++
	}
	t.Log(fates)
}

// serve runs the node as a process.
func (n *fileNode) serve(config string) (kill func(), address string) {
	n.t.Helper()
	command := exec.Command("banyan", "serve", "--config", config)
	log := filepath.Join(n.dir, "log")
	to, err := os.Create(log)
	if err != nil {
		n.t.Fatal(err)
	}
	command.Stderr = to
	if err := command.Start(); err != nil {
		n.t.Fatal(err)
	}
	killed := false
	kill = func() {
		if !killed {
			killed = true
			_ = command.Process.Signal(syscall.SIGKILL)
			_ = command.Wait()
		}
	}
	n.t.Cleanup(kill)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); <-time.After(10 * time.Millisecond) {
		raw, err := os.ReadFile(log)
		if err != nil {
			n.t.Fatal(err)
		}
		if _, rest, serving := strings.Cut(string(raw), "serving: api="); serving {
			if address, _, whole := strings.Cut(rest, " "); whole {
				return kill, address
			}
		}
	}
	n.t.Fatal("the node does not serve")
	return nil, ""
}

// devices counts what is in the directory of a node that was killed, once it is opened again.
func (n *fileNode) devices() int {
	n.t.Helper()
	file := server.File{Name: n.name, Data: n.dir, Listeners: server.Listeners{API: "127.0.0.1:0", Links: "127.0.0.1:0"}}
	node, err := server.New(n.t.Context(), server.Config{File: file})
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = node.Close() }()
	children, _ := node.Tree().Children(model.MustPath("/devices"), "", 5000)
	return len(children)
}
