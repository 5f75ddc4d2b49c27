package trials

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"banyan/proto/apiv1"

	"connectrpc.com/connect"
)

const wordTiers = `network: words
nodes:
  hq: {}
  region: {}
  site:
    devices:
      /devices/many: {kind: simulator, points: 600, group_size: 1, poll_interval: 24h}
links:
  - {provider: region, consumer: hq, dials: provider, export: {paths: ["/system/**", "/sites/**", "/devices/kolibri8dregion/**"], right: configure}, mount: /regions/region}
  - {provider: site, consumer: region, dials: provider, export: {paths: ["/system/**", "/devices/kolibri8dsite/**", "/devices/pirol4esite/**", "/devices/tukan6bsite/**", "/devices/papagei2csite/**"], right: configure}, mount: /sites/site}
`

const goneWithin = 60 * time.Second

// hiding is the network of the trial.
type hiding struct {
	*trial
	heaps string
	heard *overheard
}

// make creates a context at a node, with text for its settings.
func (h *hiding) make(node, path, kind, label string, texts map[string]string) {
	h.Helper()
	if _, err := h.at(node).Tree.Create(h.Context(), &apiv1.CreateRequest{Path: path, Kind: kind, Label: label, Texts: texts}); err != nil {
		h.Fatalf("%s at %s: %v", path, node, err)
	}
}

// fill fills a node with the words: a device for each, with entries that its export for a node hides by their names, and everything else that has a name or a
// text for the hidden one: people and the patterns of their rules, another consumer's link with its export, a mount, a function that fails at once and
// one that is asked until it is done.
func (h *hiding) fill(node, above string) {
	h.Helper()
	hidden := hiddenWord + node
	if _, err := h.at(node).Tree.Set(h.Context(), &apiv1.SetRequest{Address: "/exports/" + above + ":hide", Text: strings.Join(insides(hidden), ",")}); err != nil {
		h.Fatal(err)
	}
	for _, word := range words {
		word += node
		h.make(node, "/devices/"+word, word+"_kind", word+"-label", map[string]string{
			word + "_setting": word + "-setting", insides(hidden)[0]: hidden + "-in-setting", "poll_interval": "500ms",
		})
	}
	rules := fmt.Sprintf(`{"columns":[{"name":"pattern","type":"string"},{"name":"right","type":"string"}],"rows":[["/devices/%s-pattern/**","view"]]}`, hidden)
	h.make(node, "/roles/"+hidden+"-role", "role", hidden+"-label", map[string]string{"rules": rules})
	h.make(node, "/users/"+hidden+"-user", "user", hidden+"-label", map[string]string{"password": "correct horse " + hidden, "roles": hidden + "-role", "rules": rules})
	for _, texts := range []map[string]string{
		{"name": hidden + "-link", "role": "provider", "paths": "/devices/" + hidden + "/**"},
		{"name": hidden + "-mounted", "role": "consumer", "mount": "/" + hidden + "-place"},
	} {
		if _, err := h.at(node).Tree.Call(h.Context(), &apiv1.CallRequest{Path: "/links", Function: "invite", Texts: texts}); err != nil {
			h.Fatal(err)
		}
	}
	h.make(node, "/exports/"+hidden+"-export", "export", hidden+"-label", map[string]string{"links": hidden + "-link", "root": "/devices/" + hidden})
	for _, until := range []string{"", "1m"} {
		_, err := h.at(node).Tree.Call(h.Context(), &apiv1.CallRequest{
			Path: "/devices/" + hidden, Function: hidden + "_tell", Texts: map[string]string{hidden + "_given": hidden + "-given"}, Until: until,
		})
		if err == nil || !strings.Contains(err.Error(), hidden+"-refusal") {
			h.Errorf("the function of %s: %v", hidden, err)
		}
	}
}

// files are those of a node's directory that hold a word, whatever in them: rows, logs, free pages.
func (h *hiding) files(node, word string) (found []string) {
	h.Helper()
	err := filepath.WalkDir(h.nodeFile(node, ""), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return ignoreGone(err)
		}
		raw, err := os.ReadFile(path)
		if bytes.Contains(raw, []byte(word)) {
			found = append(found, d.Name())
		}
		return ignoreGone(err)
	})
	if err != nil {
		h.Fatal(err)
	}
	return found
}

func ignoreGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// heap is what a node's memory holds.
func (h *hiding) heap(node string) []byte {
	h.Helper()
	file := filepath.Join(h.heaps, node)
	_ = os.Remove(file)
	h.signal(h.pid(node), syscall.SIGUSR1)
	var raw []byte
	h.until(node+" has written its memory", 20*time.Second, func() bool {
		read, err := os.ReadFile(file)
		raw = read
		return err == nil
	})
	return raw
}

// told is what a node answers its administrator: the whole tree with its values, the requests, and the metrics.
func (h *hiding) told(node string) string {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), 20*time.Second)
	defer cancel()
	var all strings.Builder
	export, err := h.at(node).Tree.Export(ctx, &apiv1.ExportRequest{Path: "/"})
	if err != nil {
		h.Fatal(err)
	}
	var paths []string
	for export.Receive() {
		all.WriteString(export.Msg().String())
		for _, c := range export.Msg().GetContexts() {
			if !strings.Contains(c.GetPath(), "/many/") {
				paths = append(paths, c.GetPath())
			}
		}
	}
	if err := export.Err(); err != nil {
		h.Fatal(err)
	}
	for _, path := range paths {
		if described, err := h.at(node).Tree.Describe(ctx, &apiv1.DescribeRequest{Path: path}); err == nil {
			all.WriteString(described.String())
		}
	}
	requests, err := h.at(node).Tree.Requests(ctx, &apiv1.RequestsRequest{Ended: true})
	if err != nil {
		h.Fatal(err)
	}
	all.WriteString(requests.String())
	return all.String() + h.metrics(ctx, node)
}

func (h *hiding) metrics(ctx context.Context, node string) string {
	h.Helper()
	status, err := h.network.Status(ctx)
	if err != nil {
		h.Fatal(err)
	}
	token, err := os.ReadFile(filepath.Join(h.network.Dir(), "secrets", node+".admin.session"))
	if err != nil {
		h.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}} //nolint:gosec // on this machine
	for _, row := range status.Rows {
		if row.Node != node {
			continue
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, row.API+"/metrics", nil)
		if err != nil {
			h.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		response, err := client.Do(request)
		if err != nil {
			h.Fatal(err)
		}
		defer response.Body.Close()
		raw, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK || len(raw) < 1000 {
			h.Fatalf("metrics of %s: %d, %d bytes, %v", node, response.StatusCode, len(raw), err)
		}
		return string(raw)
	}
	h.Fatalf("%s does not run", node)
	return ""
}

// around is what stands around a word in raw.
func around(raw []byte, word string) (found []string) {
	for rest := raw; len(found) < 8; {
		at := bytes.Index(rest, []byte(word))
		if at < 0 {
			break
		}
		found = append(found, fmt.Sprintf("%q", rest[max(0, at-60):min(len(rest), at+60)]))
		rest = rest[at+len(word):]
	}
	return found
}

// nothingOf reports where a node still has one of the words: in its answers, its directory with its log, its memory.
func (h *hiding) nothingOf(node string, words ...string) {
	h.Helper()
	told, heap := []byte(h.told(node)), h.heap(node)
	for _, word := range words {
		if found := around(told, word); len(found) > 0 {
			h.Errorf("%s tells %s: %v", node, word, found)
		}
		if found := h.files(node, word); len(found) > 0 {
			h.Errorf("%s has %s in %v", node, word, found)
		}
		if found := around(heap, word); len(found) > 0 {
			h.Errorf("%s has %s in its memory, %d times or more: %s", node, word, len(found), strings.Join(found, "\n"))
		}
	}
}

// shows narrows or widens what the site shows. Each time it shows much that is new, so that a listing goes over the bulk connection.
func (h *hiding) shows(shown ...string) {
	h.Helper()
	paths := "/system/**,/devices/many/**"
	for _, word := range shown {
		paths += ",/devices/" + word + "site/**"
	}
	if _, err := h.at("site").Tree.Set(h.Context(), &apiv1.SetRequest{Address: "/exports/region:paths", Text: paths}); err != nil {
		h.Fatal(err)
	}
}

// gone waits until a word is in neither tree nor files of both tiers above the site.
func (h *hiding) gone(what, word string, within time.Duration) {
	h.Helper()
	took := h.until(what, within, func() bool { return len(h.files("region", word)) == 0 && len(h.files("hq", word)) == 0 })
	h.Logf("%s: gone from the files of both tiers after %s", what, took.Round(time.Millisecond))
}

// siteDevices are the site's at HQ.
const siteDevices = "/regions/region/sites/site/devices/"

// lostAtHQ waits until a device of the site is gone from the tree of HQ.
func (h *hiding) lostAtHQ(word string) {
	h.Helper()
	h.until(word+" is gone from HQ's tree", goneWithin, func() bool {
		_, err := h.at("hq").Tree.Describe(h.Context(), &apiv1.DescribeRequest{Path: siteDevices + word})
		return connect.CodeOf(err) == connect.CodeNotFound
	})
}

// TestNothingHiddenArrives: three tiers full of words that a tier above is not shown, and of words that it was shown for a while. Of the first no other
// node ever has any, and of the second none a minute after they were taken back, linked, cut off or whole: in what they tell, in their
// metrics and logs, in all files of their directories and in their memory, once connections were made anew. What somebody did there stays in the audit log.
func TestNothingHiddenArrives(t *testing.T) {
	started := time.Now()
	phase := func(what string) { t.Logf("%s after %s", what, time.Since(started).Round(time.Millisecond)) }
	heaps := t.TempDir()
	t.Setenv("TRIAL_WORDS", heaps)
	t.Setenv("TRIAL_RECONNECT", "300ms")
	heard, program := overhear(t), faultyProgram(t)
	phase("the program was built")
	h := &hiding{trial: start(t, wordTiers, func(config string) []string { return []string{program, "serve", config} }), heaps: heaps, heard: heard}
	phase("started")
	h.fill("site", "region")
	h.fill("region", "hq")
	for _, word := range words[1:] {
		word += "site"
		h.until(word+" has come to HQ", 30*time.Second, func() bool {
			return h.get("hq", siteDevices+word+":"+word+"_text").GetValue().GetStringValue() == word+"-value"
		})
	}
	for _, node := range []string{"region", "hq"} { // the test must be able to find something
		word := words[1] + "site"
		h.until(word+" is in the files of "+node, 10*time.Second, func() bool { return len(h.files(node, word)) > 0 })
		if len(around([]byte(h.told(node)), word)) == 0 || len(around(h.heap(node), word)) == 0 {
			t.Fatalf("%s is nowhere at %s: the test cannot find anything", word, node)
		}
	}
	h.converse()
	h.refusedAlike("hq", "/regions/region/sites/site")
	h.refusedAlike("region", "/sites/site")
	h.nothingOf("region", hiddenWord+"site")
	h.nothingOf("hq", hiddenWord+"site", hiddenWord+"region")
	h.crossed(actedWord + "site")
	h.movesNothing()
	phase("searched for what is hidden")
	acted := siteDevices + actedWord + "site"
	if _, err := h.at("hq").Tree.Set(t.Context(), &apiv1.SetRequest{Address: acted + ":poll_interval", Text: "1s"}); err != nil {
		t.Fatal(err)
	}

	h.shows(words[2], words[3])
	h.lostAtHQ(words[1] + "site")
	if full() { // else HQ alone forgets while it is linked, and the region when it is started again
		h.gone("narrowed while linked", words[1]+"site", goneWithin)
	}
	pid := h.pid("region")
	if err := h.network.Stop(t.Context(), "region"); err != nil {
		t.Fatal(err)
	}
	h.until("the region has ended", 10*time.Second, func() bool { return gone(pid) })
	h.shows(words[3])
	h.restart("region")
	h.lostAtHQ(words[2] + "site")
	if h.get("hq", siteDevices+words[3]+"site:"+words[3]+"site_text").GetType() == "" {
		t.Error("what is shown still is gone, too")
	}
	if _, err := h.at("site").Tree.Remove(t.Context(), &apiv1.RemoveRequest{Path: "/exports/region"}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	h.gone("narrowed while linked", words[1]+"site", goneWithin)
	h.gone("narrowed while the region was away", words[2]+"site", goneWithin)
	h.gone("taken back whole", words[3]+"site", goneWithin-time.Since(began))
	phase("taken back")
	forgotten := heard.now()
	h.connectAnew("region", "site")
	h.connectAnew("hq", "region")
	for _, node := range []string{"region", "hq"} {
		withdrawn := []string{words[1] + "site", words[2] + "site", words[3] + "site"}
		for time.Since(began) < goneWithin { // and where it is not gone by then, it is said where it is
			heap := h.heap(node)
			if !slices.ContainsFunc(withdrawn, func(word string) bool { return bytes.Contains(heap, []byte(word)) }) {
				break
			}
		}
		h.nothingOf(node, withdrawn...)
		for _, file := range h.files(node, actedWord+"site") {
			if !strings.HasPrefix(file, "node.db") {
				t.Errorf("%s has what was acted on in %s, and the audit log only may", node, file)
			}
		}
	}
	if len(h.files("hq", actedWord+"site")) == 0 {
		t.Error("HQ has forgotten who acted on what was taken back")
	}
	heard.nothingOf(nil, hiddenWord)
	heard.nothingOf(forgotten, words[1]+"site", words[2]+"site", words[3]+"site")
	heard.everySort()
	phase("searched all that crossed links")
}

// connectAnew has a node make the connections of a link anew: the buffers of those that stand keep what went through them last.
func (h *hiding) connectAnew(node, link string) {
	h.Helper()
	for _, enabled := range []string{"false", "true"} {
		if _, err := h.at(node).Tree.Set(h.Context(), &apiv1.SetRequest{Address: "/links/" + link + ":enabled", Text: enabled}); err != nil {
			h.Fatal(err)
		}
	}
	h.forget(node)
}

// refusedAlike asks a node for something that the site hides and for something that is not there, in every way: the answers are the same.
func (h *hiding) refusedAlike(node, site string) {
	h.Helper()
	client := h.at(node).Tree
	for what, ask := range map[string]func(path string) error{
		"get": func(path string) error {
			_, err := client.Get(h.Context(), &apiv1.GetRequest{Address: path + ":label"})
			return err
		},
		"describe": func(path string) error {
			_, err := client.Describe(h.Context(), &apiv1.DescribeRequest{Path: path})
			return err
		},
		"list": func(path string) error {
			_, err := client.List(h.Context(), &apiv1.ListRequest{Path: path})
			return err
		},
		"set": func(path string) error {
			_, err := client.Set(h.Context(), &apiv1.SetRequest{Address: path + ":roles", Text: "x"})
			return err
		},
		"call": func(path string) error {
			_, err := client.Call(h.Context(), &apiv1.CallRequest{Path: path, Function: "create_token"})
			return err
		},
		"remove": func(path string) error {
			_, err := client.Remove(h.Context(), &apiv1.RemoveRequest{Path: path})
			return err
		},
		"create below": func(path string) error {
			_, err := client.Create(h.Context(), &apiv1.CreateRequest{Path: path + "/x", Kind: "folder"})
			return err
		},
	} {
		hidden, absent := ask(site+"/users/admin"), ask(site+"/users/nimda")
		if hidden == nil || absent == nil || strings.ReplaceAll(hidden.Error(), "admin", "nimda") != strings.ReplaceAll(absent.Error(), "admin", "nimda") {
			h.Errorf("%s at %s: %v, of what is not there: %v", what, node, hidden, absent)
		}
	}
}
