package prometheus

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"banyan/devices"
	"banyan/devices/devicetest"
	"banyan/model"
	"banyan/profiles"

	"github.com/prometheus/common/expfmt"
	names "github.com/prometheus/common/model"
)

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

// server starts a Prometheus server and returns where its metrics are.
func server(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	// Into a file, and waited for at the end only: goroutines of the test would be taken for the driver's.
	output, err := os.Create(filepath.Join(dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte("scrape_configs: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	process := exec.Command("prometheus", "--config.file="+config, "--web.listen-address="+address, "--storage.tsdb.path="+filepath.Join(dir, "data"))
	process.Stdout, process.Stderr = output, output
	if err := process.Start(); err != nil {
		t.Fatalf("the package prometheus is needed: %v", err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
		_ = output.Close()
	})
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) { // nothing here tells when another process is ready
		if _, ok := fetch(t, "http://"+address+"/-/ready"); ok {
			return "http://" + address + "/metrics"
		}
	}
	said, _ := os.ReadFile(output.Name())
	t.Fatalf("the Prometheus server does not answer:\n%s", said)
	return ""
}

// fetch is a GET over a connection of its own.
func fetch(t *testing.T, url string) (string, bool) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return "", false
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return string(body), err == nil && response.StatusCode == http.StatusOK
}

func TestDriver(t *testing.T) {
	devicetest.Run(t, Driver{Profiles: registry(t)}, devices.Settings{"url": model.String(server(t)), "metrics": model.String("go_*")})
}

func open(t *testing.T, url string, more devices.Settings) *device {
	t.Helper()
	driver := Driver{Profiles: registry(t)}
	given := devices.Settings{"url": model.String(url)}
	for name, v := range more {
		given[name] = v
	}
	s, err := devices.Resolve(devices.Complete(driver.Schema()), given)
	if err != nil {
		t.Fatal(err)
	}
	d, err := driver.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d.(*device)
}

// lines reads metrics by hand: NAME{LABELS} VALUE.
func lines(text string) map[string]float64 {
	found := map[string]float64{}
	scanner := bufio.NewScanner(strings.NewReader(text))
	for scanner.Scan() {
		line := scanner.Text()
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			found[strings.ReplaceAll(strings.ReplaceAll(line[:at], `"`, ""), "{}", "")], _ = strconv.ParseFloat(line[at+1:], 64)
		}
	}
	return found
}

// TestAgainstServer: every series that a Prometheus server tells is a context with its value, as read by other means. Numbers that move between two
// scrapes are compared by what both sides of the poll say.
func TestAgainstServer(t *testing.T) {
	url := server(t)
	d := open(t, url, devices.Settings{"max_series": model.Int64(20000)})
	record := devicetest.NewRecorder(d.shape)
	before, _ := fetch(t, url)
	if err := d.Poll(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	after, _ := fetch(t, url)
	low, high := lines(before), lines(after)
	compared, firm := 0, 0
	for name, first := range low {
		last, still := high[name]
		metric, labels, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
		if !still || strings.Contains(labels, "quantile=") || strings.HasSuffix(metric, "_bucket") {
			continue
		}
		variable := "value"
		for _, suffix := range []string{"sum", "count"} {
			if base, cut := strings.CutSuffix(metric, "_"+suffix); cut && record.At(base) != nil {
				metric, variable = base, suffix
			}
		}
		folder := record.At(metric)
		if folder == nil {
			t.Errorf("%s is not there", metric)
			continue
		}
		var row *devicetest.Recorder
		for _, segment := range folder.Children() {
			if c := record.At(metric, segment); c.Label() == labels || labels == "" && c.Label() == metric {
				row = c
			}
		}
		if row == nil {
			t.Errorf("%s has no series %s: %v", metric, labels, folder.Children())
			continue
		}
		got := row.Named(variable).Value.Float64()
		compared++
		if strings.HasSuffix(metric, "_total") || variable != "value" || strings.HasSuffix(metric, "_info") {
			firm++
		}
		if got < math.Min(first, last) || got > math.Max(first, last) {
			if grows := strings.HasSuffix(metric, "_total") || variable != "value"; grows || first == last && strings.Contains(metric, "_info") {
				t.Errorf("%s is %v, others read %v", name, got, first) // what goes up and down may be anywhere meanwhile
			}
		}
	}
	if compared < 150 || firm < 50 {
		t.Errorf("only %d series were compared, %d of them such that do not go up and down", compared, firm)
	}
	if n := record.Named("series").Value.Int64(); n < 150 || record.Named("left_out").Value.Int64() != 0 {
		t.Errorf("series %d, left out %v", n, record.Named("left_out").Value)
	}
	for _, c := range record.Complaints() {
		t.Error(c)
	}
}

// told serves metrics that the test can change.
func told(t *testing.T) (url string, tell func(string)) {
	t.Helper()
	text := ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, text) }))
	t.Cleanup(s.Close)
	return s.URL, func(next string) { text = next }
}

// TestRates: a counter grows, is reset, and goes away; a rate is told of growth alone.
func TestRates(t *testing.T) {
	url, tell := told(t)
	d := open(t, url, nil)
	record := devicetest.NewRecorder(d.shape)
	now := model.TimeOf(time.Unix(1000, 0))
	step := func(text string) {
		t.Helper()
		tell("# TYPE c counter\n" + text)
		families, _, err := d.scrape(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		now = model.TimeOf(now.Std().Add(10 * time.Second))
		if _, _, err := d.view.take(t.Context(), record, families, now); err != nil {
			t.Fatal(err)
		}
	}
	rate := func(want string) {
		t.Helper()
		u := record.At("c", "a-x").Named("rate")
		if got := u.Value.String() + " " + u.Quality.String(); got != want {
			t.Errorf("the rate is %q, want %q", got, want)
		}
	}
	unknown := model.Value{}.String() + " " + model.QualityNotRead.String()
	step("c{a=\"x\"} 100\n")
	rate(unknown)
	step("c{a=\"x\"} 150\n")
	rate("5 good")
	step("c{a=\"x\"} 20\n") // the program was started anew
	rate(unknown)
	step("c{a=\"x\"} 30\nc{a=\"y\"} 1\n")
	rate("1 good")
	step("c{a=\"y\"} 1\n")
	if got := record.At("c").Children(); len(got) != 1 {
		t.Errorf("what is not told any more is still there: %v", got)
	}
	step("")
	if record.At("c") != nil {
		t.Error("the folder of what is not told any more is still there")
	}
}

func TestQuantile(t *testing.T) {
	parser := expfmt.NewTextParser(names.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(
		"# TYPE h histogram\nh_bucket{le=\"1\"} 10\nh_bucket{le=\"2\"} 30\nh_bucket{le=\"+Inf\"} 40\nh_sum 60\nh_count 40\n"))
	if err != nil {
		t.Fatal(err)
	}
	h := families["h"].GetMetric()[0].GetHistogram()
	for q, want := range map[float64]float64{0.25: 1, 0.5: 1.5, 0.75: 2, 0.99: 2, 0.125: 0.5} {
		if got := quantile(h, q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
}

// TestSecrets: a token is sent to the target, and not on to where that sends us.
func TestSecrets(t *testing.T) {
	leaked := ""
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { leaked = r.Header.Get("Authorization") + "!" }))
	defer elsewhere.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Authorization") {
		case "Bearer good":
			_, _ = io.WriteString(w, "up 1\n")
		case "Bearer moved":
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer s.Close()
	for token, want := range map[string]string{"good": "", "moved": "302 Found", "": "401 Unauthorized"} {
		d := open(t, s.URL, devices.Settings{"token": model.String(token)})
		err := d.Poll(t.Context(), devicetest.NewRecorder(d.shape))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "moved")) {
			t.Errorf("token %q: %v, want %q", token, err, want)
		}
	}
	if leaked != "" {
		t.Errorf("elsewhere was asked, with %q", leaked)
	}
}

// TestMisbehaviour: what is no scrape is an error of its kind.
func TestMisbehaviour(t *testing.T) {
	bomb := func(w http.ResponseWriter) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		line := bytes.Repeat([]byte("# zeros\n"), 1<<17)
		for range 100 {
			if _, err := z.Write(line); err != nil {
				return
			}
		}
		_ = z.Close()
	}
	for name, c := range map[string]struct {
		serve func(w http.ResponseWriter)
		kind  model.ErrorKind
	}{
		"html":  {func(w http.ResponseWriter) { _, _ = io.WriteString(w, "<html><body>login</body></html>\n") }, model.KindInvalid},
		"error": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) }, model.KindInvalid},
		"cut": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "up 1\n")
		}, model.KindUnavailable},
		"bomb":    {bomb, model.KindExhausted},
		"silence": {func(http.ResponseWriter) { time.Sleep(400 * time.Millisecond) }, model.KindTimeout}, // longer than the poll's deadline
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.serve(w) }))
		d := open(t, s.URL, nil)
		limit := 200 * time.Millisecond
		if name == "bomb" {
			limit = 20 * time.Second
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		if err := d.Poll(ctx, devicetest.NewRecorder(d.shape)); err == nil || model.KindOf(err) != c.kind {
			t.Errorf("%s: %v (%s), want %s", name, err, model.KindOf(err), c.kind)
		}
		cancel()
		s.Close()
	}
}

// TestTooMany: what is above max_series is left out, and said so.
func TestTooMany(t *testing.T) {
	url, tell := told(t)
	var text strings.Builder
	for i := range 50 {
		fmt.Fprintf(&text, "m{n=\"%d\"} %d\n", i, i)
	}
	tell(text.String())
	d := open(t, url, devices.Settings{"max_series": model.Int64(20)})
	record := devicetest.NewRecorder(d.shape)
	if err := d.Poll(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	if n := len(record.At("m").Children()); n != 20 || record.Named("left_out").Value.Int64() != 30 {
		t.Errorf("%d are shown, %v are left out", n, record.Named("left_out").Value)
	}
}

// slow makes contexts as a busy disk does: the poll's time is over while the tenth is made.
type slow struct {
	devices.Publisher
	made int
	over context.CancelFunc
	kept bool
}

func (s *slow) Child(segment, label string, schema *model.Schema) (devices.Publisher, error) {
	if s.made++; s.made == 10 {
		s.over()
	}
	return s.Publisher.Child(segment, label, schema)
}

func (s *slow) Keep(segments []string) { s.kept = true; s.Publisher.Keep(segments) }

// TestThousandsOfMetrics: a server that tells of more than can be made contexts of in one poll does not make the poll hang; the next one goes on, and
// nothing is taken away meanwhile.
func TestThousandsOfMetrics(t *testing.T) {
	url, tell := told(t)
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "m%d{l=\"x\"} 1\n", i)
	}
	tell(text.String())
	d := open(t, url, nil)
	ctx, over := context.WithCancel(t.Context())
	defer over()
	to := &slow{Publisher: devicetest.NewRecorder(d.shape), over: over}
	if err := d.Poll(ctx, to); !errors.Is(err, context.Canceled) || to.made > 20 || to.kept {
		t.Errorf("%v after %d contexts, others taken away: %v", err, to.made, to.kept)
	}
	if err := d.Poll(t.Context(), to); err != nil || to.made < 1000 {
		t.Errorf("%v after %d contexts", err, to.made)
	}
}
