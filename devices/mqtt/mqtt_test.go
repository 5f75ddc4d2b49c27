package mqtt

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"banyan/devices"
	"banyan/devices/devicetest"
	"banyan/model"
	"banyan/profiles"
)

// mosquitto is a broker of the test's own.
type mosquitto struct {
	host, port string
	process    *exec.Cmd
	config     string
}

func startBroker(t *testing.T, lines ...string) *mosquitto {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &mosquitto{config: filepath.Join(t.TempDir(), "mosquitto.conf")}
	b.host, b.port, _ = net.SplitHostPort(listener.Addr().String())
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if len(lines) == 0 {
		lines = []string{"allow_anonymous true"}
	}
	config := fmt.Sprintf("listener %s %s\n%s\n", b.port, b.host, strings.Join(lines, "\n"))
	if err := os.WriteFile(b.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	b.start(t)
	t.Cleanup(b.stop)
	return b
}

func (b *mosquitto) start(t *testing.T) {
	t.Helper()
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		program = "/usr/sbin/mosquitto"
	}
	output, err := os.Create(b.config + ".log")
	if err != nil {
		t.Fatal(err)
	}
	b.process = exec.Command(program, "-c", b.config)
	b.process.Stdout, b.process.Stderr = output, output
	if err := b.process.Start(); err != nil {
		t.Fatalf("the package mosquitto is needed: %v", err)
	}
	_ = output.Close()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) { // nothing here tells when another process is ready
		if conn, err := net.Dial("tcp", b.address()); err == nil {
			_ = conn.Close()
			return
		}
	}
	said, _ := os.ReadFile(b.config + ".log")
	t.Fatalf("mosquitto does not listen:\n%s", said)
}

func (b *mosquitto) stop() {
	if b.process != nil {
		_ = b.process.Process.Kill()
		_ = b.process.Wait()
		b.process = nil
	}
}

func (b *mosquitto) address() string { return net.JoinHostPort(b.host, b.port) }

// publish is another client's.
func (b *mosquitto) publish(t *testing.T, topic, payload string, more ...string) {
	t.Helper()
	arguments := append([]string{"-V", "5", "-h", b.host, "-p", b.port, "-t", topic, "-q", "1", "-s"}, more...)
	client := exec.Command("mosquitto_pub", arguments...)
	client.Stdin = strings.NewReader(payload)
	if out, err := client.CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_pub, of the package mosquitto-clients: %v\n%s", err, out)
	}
}

// subscribe reads count messages of a filter, "TOPIC PAYLOAD" each.
func (b *mosquitto) subscribe(t *testing.T, filter string, count int) func() []string {
	t.Helper()
	client := exec.Command("stdbuf", "-oL", "mosquitto_sub", "-V", "5", "-h", b.host, "-p", b.port, "-t", filter, "-F", "%x %t", "-C", fmt.Sprint(count), "-W", "20", "-d")
	var out bytes.Buffer
	ready := &watched{to: &out, mark: []byte("SUBACK"), found: make(chan struct{})}
	client.Stdout = ready
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ready.found:
	case <-time.After(10 * time.Second):
		t.Fatal("mosquitto_sub is not answered")
	}
	return func() []string {
		if err := client.Wait(); err != nil {
			t.Errorf("mosquitto_sub: %v", err)
		}
		var lines []string
		for line := range strings.Lines(out.String()) {
			encoded, topic, _ := strings.Cut(strings.TrimSpace(line), " ")
			if payload, err := hex.DecodeString(encoded); err == nil { // else it tells what it does
				lines = append(lines, topic+" "+string(payload))
			}
		}
		return lines
	}
}

// watched says when something was written.
type watched struct {
	to    *bytes.Buffer
	mark  []byte
	found chan struct{}
	done  bool
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	if !w.done && bytes.Contains(w.to.Bytes(), w.mark) {
		w.done = true
		close(w.found)
	}
	return n, err
}

func registry(t testing.TB) *profiles.Registry {
	t.Helper()
	r, err := profiles.NewRegistry(profiles.Config{Dir: "testdata", Checks: map[string]profiles.Check{Kind: Check}, Shipped: os.DirFS(t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range r.Problems() {
		t.Fatalf("%s: %v", name, err)
	}
	return r
}

func TestDriver(t *testing.T) {
	b := startBroker(t)
	devicetest.Run(t, Driver{Profiles: registry(t)}, devices.Settings{"url": model.String("mqtt://" + b.address())})
}

func open(t *testing.T, b *mosquitto, given devices.Settings) *device {
	t.Helper()
	driver := Driver{Profiles: registry(t)}
	if given["url"].IsNone() {
		given["url"] = model.String("mqtt://" + b.address())
	}
	s, err := devices.Resolve(devices.Complete(driver.Schema()), given)
	if err != nil {
		t.Fatal(err)
	}
	d, err := driver.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	return d.(*device)
}

// stream runs a device's stream until the test ends, or until it is told to; then it answers how it ended.
func stream(t *testing.T, d *device, record *devicetest.Recorder) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Stream(ctx, record) }()
	var result error
	over := false
	stop = func() error {
		cancel()
		if !over {
			result, over = <-ended, true
		}
		return result
	}
	t.Cleanup(func() { _ = stop() })
	eventually(t, "a connection", func() bool { return d.broker.open() != nil })
	return stop
}

// eventually waits for what another process does.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("there is no %s", what)
		}
	}
}

// said waits until a variable is what it should be.
func said(t *testing.T, record *devicetest.Recorder, name, value string, quality model.Quality, at ...string) {
	t.Helper()
	var last string
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if r := record.At(at...); r != nil {
			u := r.Named(name)
			if last = u.Value.String() + " " + u.Quality.String(); last == value+" "+quality.String() {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s:%s is %q, want %s %s", strings.Join(at, "/"), name, last, value, quality)
		}
	}
}

var (
	good    = model.QualityGood
	outside = model.Quality{Level: model.Uncertain, Reason: model.ReasonRange}
	failed  = model.Quality{Level: model.Bad, Reason: model.ReasonFailed}
)

// TestProfile: points and rows out of text and JSON, what is kept by the broker and what comes, and what cannot be understood.
func TestProfile(t *testing.T) {
	b := startBroker(t)
	b.publish(t, "plant/press/temperature", "71.5\n", "-r")
	b.publish(t, "plant/sensors/s1/value", "4", "-r")
	d := open(t, b, devices.Settings{"profile": model.String("press")})
	record := devicetest.NewRecorder(d.shape)
	stream(t, d, record)
	said(t, record, "temperature", "71.5", good)
	said(t, record, "value", "4", good, "sensors", "s1")
	b.publish(t, "plant/press/state", `{"running": true, "mode": 2, "drive": {"speed": 14505}, "changed": "2026-01-02T03:04:05Z"}`)
	said(t, record, "speed", "1450.5", good)
	said(t, record, "running", "true", good)
	said(t, record, "mode", "automatic", good)
	said(t, record, "changed", "2026-01-02T03:04:05Z", good)
	b.publish(t, "plant/press/serial", "9007199254740993")
	said(t, record, "serial", "9007199254740993", good)
	b.publish(t, "plant/press/temperature", "201")
	said(t, record, "temperature", "201", outside)
	b.publish(t, "plant/sensors/s1/name", "Inlet")
	said(t, record, "name", "Inlet", good, "sensors", "s1")
	if label := record.At("sensors", "s1").Label(); label != "Inlet" {
		t.Errorf("the row is called %q", label)
	}
	b.publish(t, "plant/press/state", `{"running": tru`)
	said(t, record, "running", model.Value{}.String(), failed)
	if err := d.Poll(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	said(t, record, "refused", "1", good)
	said(t, record, "connected", "true", good)
	for _, c := range record.Complaints() {
		t.Error(c)
	}
}

// TestWrites: what is set reaches others as the profile says, of points and of rows.
func TestWrites(t *testing.T) {
	b := startBroker(t)
	d := open(t, b, devices.Settings{"profile": model.String("press")})
	record := devicetest.NewRecorder(d.shape)
	if err := d.Write(t.Context(), d.shape.VariableIndex("note"), model.String("x"), record); model.KindOf(err) != model.KindUnavailable {
		t.Errorf("without a connection: %v", err)
	}
	stream(t, d, record)
	b.publish(t, "plant/sensors/a b/limit", "1")
	said(t, record, "limit", "1", good, "sensors", "a-b")
	heard := b.subscribe(t, "plant/#", 3)
	for _, c := range []struct {
		name  string
		value model.Value
	}{{"mode", model.String("manual")}, {"note", model.String(`say "hi"`)}} {
		if err := d.Write(t.Context(), d.shape.VariableIndex(c.name), c.value, record); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := d.WriteChild(t.Context(), []string{"sensors", "a-b"}, "limit", model.Float64(12.5), record); err != nil {
		t.Error(err)
	}
	want := []string{`plant/press/mode/set {"mode": 1}`, `plant/press/note/set say "hi"`, `plant/sensors/a b/limit/set limit=12.5`}
	if got := heard(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("others heard\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for name, err := range map[string]error{
		"read only":   d.Write(t.Context(), d.shape.VariableIndex("temperature"), model.Float64(1), record),
		"no name":     d.Write(t.Context(), d.shape.VariableIndex("mode"), model.String("sideways"), record),
		"no such row": d.WriteChild(t.Context(), []string{"sensors", "none"}, "limit", model.Float64(1), record),
		"no column":   d.WriteChild(t.Context(), []string{"sensors", "a-b"}, "value", model.Float64(1), record),
	} {
		if err == nil {
			t.Errorf("%s: it was sent", name)
		}
	}
}

// TestTopics: each topic is a context; a level that is a topic and a place; more than allowed; removal of what was not heard of.
func TestTopics(t *testing.T) {
	b := startBroker(t)
	d := open(t, b, devices.Settings{"topics": model.String("a/#, z"), "max_topics": model.Int64(3)})
	record := devicetest.NewRecorder(d.shape)
	if err := d.view.(*topics).folderWith(record, "old"); err != nil {
		t.Fatal(err)
	}
	stream(t, d, record)
	b.publish(t, "a/b/c", "12")
	said(t, record, "number", "12", good, "topics", "a", "b", "c")
	b.publish(t, "a/b", "hello")
	said(t, record, "text", "hello", good, "topics", "a", "b")
	said(t, record, "number", model.Value{}.String(), model.QualityNotRead, "topics", "a", "b")
	b.publish(t, "other", "x")
	b.publish(t, "z", strings.Repeat("ä", maxTextBytes))
	eventually(t, "topic z", func() bool {
		return record.At("topics", "z") != nil && record.At("topics", "z").Named("text").Source != 0
	})
	if n := len(record.At("topics", "z").Named("text").Value.Text()); n < maxTextBytes-4 || n > maxTextBytes {
		t.Errorf("of a long text %d bytes are shown", n)
	}
	b.publish(t, "a/more", "x")
	eventually(t, "message left out", func() bool { return d.leftOut.Load() == 1 })
	if record.At("topics", "other") != nil || record.At("topics", "a", "more") != nil {
		t.Error("there is what was not asked for, or more than allowed")
	}
	if _, err := d.Call(t.Context(), functionForget, nil, record); err != nil {
		t.Fatal(err)
	}
	if record.At("topics", "old") != nil || record.At("topics", "a", "b", "c") == nil {
		t.Error("forget removed the wrong ones")
	}
}

func (t *topics) folderWith(publish devices.Publisher, segment string) error {
	to, err := t.reach(publish)
	if err == nil {
		_, err = to.Child(segment, segment, topicSchema)
	}
	return err
}

// TestBrokerGoesAway: the stream ends with an error, a poll says no-response, and after the broker is back what was told before is stale until it is told
// again.
func TestBrokerGoesAway(t *testing.T) {
	b := startBroker(t)
	d := open(t, b, devices.Settings{"profile": model.String("press")})
	record := devicetest.NewRecorder(d.shape)
	stop := stream(t, d, record)
	b.publish(t, "plant/press/temperature", "20")
	said(t, record, "temperature", "20", good)
	b.stop()
	eventually(t, "end of the connection", func() bool { return d.broker.open() == nil })
	if err := stop(); model.KindOf(err) != model.KindUnavailable {
		t.Errorf("the stream ended with %v", err)
	}
	if err := d.Poll(t.Context(), record); model.KindOf(err) != model.KindUnavailable {
		t.Errorf("a poll without a broker: %v", err)
	}
	b.start(t)
	stream(t, d, record)
	said(t, record, "temperature", "20", model.QualityStale)
	b.publish(t, "plant/press/temperature", "21")
	said(t, record, "temperature", "21", good)
}

// TestRefused: a broker that does not let us in says so.
func TestRefused(t *testing.T) {
	passwords := filepath.Join(t.TempDir(), "passwords")
	if out, err := exec.Command("mosquitto_passwd", "-b", "-c", passwords, "someone", "right").CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v\n%s", err, out)
	}
	if err := os.Chmod(filepath.Dir(passwords), 0o755); err != nil {
		t.Fatal(err)
	}
	b := startBroker(t, "allow_anonymous false", "password_file "+passwords, "user root")
	for password, kind := range map[string]model.ErrorKind{"right": model.KindInternal, "wrong": model.KindInvalid} {
		d := open(t, b, devices.Settings{"topics": model.String("#"), "user": model.String("someone"), "password": model.String(password)})
		err := d.Poll(t.Context(), devicetest.NewRecorder(d.shape))
		if (err == nil) != (password == "right") || err != nil && (model.KindOf(err) != kind || strings.Contains(err.Error(), "wrong")) {
			t.Errorf("password %s: %v", password, err)
		}
	}
}

// TestSilentBroker: one that takes the connection and says nothing.
func TestSilentBroker(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	d := open(t, nil, devices.Settings{"topics": model.String("#"), "url": model.String("mqtt://" + listener.Addr().String())})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	err = d.Poll(ctx, devicetest.NewRecorder(d.shape))
	if took := time.Since(began); model.KindOf(err) != model.KindTimeout || took > 2*time.Second {
		t.Errorf("%v after %s", err, took)
	}
}

func TestPattern(t *testing.T) {
	for _, c := range []struct{ pattern, topic, row string }{
		{"a/{x}/c", "a/b/c", "b"}, {"a/{x}/{y}", "a/b/c", "b/c"}, {"a/b", "a/b", ""}, {"a/{x}/c", "a//c", ""},
	} {
		p, err := parsePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if row, ok := p.match(c.topic); !ok || row != c.row {
			t.Errorf("%s of %s: %q, %v", c.pattern, c.topic, row, ok)
		}
		for _, other := range []string{c.topic + "/d", "b" + c.topic, "a"} {
			if _, ok := p.match(other); ok {
				t.Errorf("%s takes %s", c.pattern, other)
			}
		}
	}
}

// TestProfileFaults: what is wrong in the keys of MQTT is told with its place.
func TestProfileFaults(t *testing.T) {
	for point, want := range map[string]string{
		"{topic: a/+/b}":                                          "is no topic",
		"{topic: \"a/{x}\"}":                                      "levels in braces are for tables",
		"{topic: a, path: \"$[\"}":                                "JSONPath",
		"{topic: a, qos: 2}":                                      "quality of service is 2",
		"{topic: a, writable: true}":                              "needs a topic that sets it",
		"{topic: a, set: b}":                                      "needs a topic that sets it",
		"{topic: a, writable: true, set: b, payload: x}":          "does not hold the value",
		"{topic: a, writable: true, set: b, payload: '{${json}'}": "the payload is no JSON",
		"{topic: a, expire: -5m}":                                 "it is negative",
		"{topic: a, rate: true}":                                  "makes no rates",
	} {
		_, err := profiles.Parse("p.yaml", "p", []byte("kind: mqtt\npoints:\n  a: "+point+"\n"), map[string]profiles.Check{Kind: Check})
		if err == nil || !strings.Contains(err.Error(), "p.yaml:3:") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", point, err, want)
		}
	}
}
