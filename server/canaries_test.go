package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"banyan/backup"
	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/tree"

	"github.com/hashicorp/go-hclog"
)

// canaries are secrets that nobody else would make up, by what they are.
type canaries map[string]string

func (c canaries) draw(what string) model.Value {
	c[what] = fmt.Sprintf("canary-%d-%s", len(c), DrawPassword())
	return model.String(c[what])
}

// searched looks for all of them, in each form in which bytes travel, in what came from somewhere.
func (c canaries) searched(t *testing.T, where string, raw []byte) {
	t.Helper()
	for what, secret := range c {
		for form, text := range map[string]string{
			"as it is": secret, "in base64": strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "="),
			"in hexadecimal": hex.EncodeToString([]byte(secret)), "as JSON in JSON": strings.ReplaceAll(secret, `"`, `\"`),
		} {
			if bytes.Contains(raw, []byte(text)) {
				t.Errorf("%s has %s, %s", where, what, form)
			}
		}
	}
}

// withSecrets are how a context of each kind that has secret settings is made. A kind that is not here fails the test.
var withSecrets = map[string][]model.Argument{
	"exec":       {textArgument("points", "a:int64")},
	"http":       {textArgument("url", "http://127.0.0.1:1/"), textArgument("username", "u"), textArgument("proxy", "http://127.0.0.1:1"), textArgument("proxy_username", "u")},
	"prometheus": {textArgument("url", "http://127.0.0.1:1/metrics"), textArgument("user", "u")},
	"snmp": {
		textArgument("address", "127.0.0.1:1"), textArgument("version", "3"), textArgument("user", "u"), textArgument("auth_protocol", "sha256"),
		textArgument("priv_protocol", "aes"),
	},
	"mqtt": {textArgument("url", "mqtt://127.0.0.1:1"), textArgument("user", "u"), textArgument("topics", "#")},
}

// beforeSecrets is what stands before a secret in settings that are more than the secret, by the setting's name.
var beforeSecrets = map[string]string{"secret_headers": "X-Key: ", "secret_environment": "KEY="}

// TestSecretsStayWhereTheyAre puts a canary into every secret that the node can be given or hands out, and searches all that comes out of it: answers
// of every method and every route to the administrator, errors, the log at its finest, metrics, the audit log, the files, a backup, and the
// node at the other end of a link.
func TestSecretsStayWhereTheyAre(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "node")
	key, err := backup.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	made, err := InitNode(t.Context(), InitConfig{Dir: dir, Name: "berlin", Recipient: key.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	var log safeBuffer
	n := runNodeWith(t, dir, made.Password, func(c *Config) {
		c.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: &log})
	})
	found := canaries{"the recovery key": key.Reveal(), "the administrator's password": made.Password, "the administrator's session": n.token}
	n.giveSecrets(t, found)
	hq := makeNode(t, "hq")
	invitation := hq.call("/links", "invite", textArgument("name", "berlin"), textArgument("role", "consumer"), textArgument("mount", "/sites/berlin"))
	found["an invitation"] = invitation["token"].Text()
	n.must(Request{Op: OpCall, Path: linksPath, Name: functionJoin, Arguments: []model.Argument{textArgument("token", invitation["token"].Text()), textArgument("right", "administer")}})
	hq.waits("/sites/berlin/devices/with-http:url", func(s string) bool { return strings.Contains(s, "127.0.0.1") })
	n.askWithSecrets(t, found)
	n.searchAnswers(t, found)
	for where, raw := range map[string]string{"the log": log.String(), "the other node's log": hq.log.String()} {
		found.searched(t, where, []byte(raw))
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	hq.stop()
	for _, dir := range []string{n.dir, hq.dir} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			raw, err := os.ReadFile(path)
			found.searched(t, path, raw)
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if len(found) < 20 {
		t.Errorf("there are only %d canaries", len(found))
	}
}

// giveSecrets sets every secret setting of every kind that people can create, and makes every secret that functions hand out.
func (r *running) giveSecrets(t *testing.T, found canaries) {
	t.Helper()
	for kind, k := range r.kinds {
		var secrets []model.Argument
		for _, s := range k.Schema.Settings {
			if s.Secret && s.Type == model.TypeString {
				secrets = append(secrets, model.Argument{Name: s.Name, Value: found.draw("setting " + s.Name + " of the kind " + kind)})
			}
		}
		path := model.MustPath("/devices/with-" + kind)
		switch {
		case len(secrets) == 0 || kind == KindLink:
			continue
		case kind == KindUser:
			path = model.MustPath("/users/canary")
		case withSecrets[kind] == nil:
			t.Errorf("the kind %s has secret settings: say in withSecrets how one is made", kind)
			continue
		}
		for i := range secrets {
			secrets[i].Value = model.String(beforeSecrets[secrets[i].Name] + secrets[i].Value.Text())
		}
		arguments := append(secrets, withSecrets[kind]...)
		if kind == "exec" {
			arguments = append(arguments, textArgument("program", addProgram(t, r.dir, "canary", "echo a=1")))
		}
		if _, err := r.execute(r.admin(), Request{Op: OpCreate, Path: path, Kind: kind, Arguments: arguments}); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	found["a user's session"] = r.login("canary", found["setting password of the kind user"])
	token := r.must(Request{Op: OpCall, Path: model.MustPath("/users/canary"), Name: functionCreateToken, Arguments: []model.Argument{textArgument("name", "x")}, ID: [16]byte{9}})
	found["a token"] = token.Results[0].Value.Text()
	r.post("/banyan.api.v1.SessionService/Who", found["a token"], "{}")
	invited := r.must(Request{Op: OpCall, Path: linksPath, Name: functionInvite, Arguments: []model.Argument{
		textArgument("name", "x"), textArgument("role", "provider"), textArgument("dials", "inviter"), {Name: "proxy_password", Value: found.draw("the password of a link's proxy")}, textArgument("proxy", "http://127.0.0.1:1"), textArgument("proxy_user", "u"),
	}, ID: [16]byte{8}})
	found["an invitation of one's own"] = invited.Results[0].Value.Text()
}

// askWithSecrets makes mistakes with secrets in the hand, over the API, and searches what is answered.
func (r *running) askWithSecrets(t *testing.T, found canaries) {
	t.Helper()
	for _, what := range []string{"a new password", "a password of nobody", "a name", "a token that is none"} {
		found.draw(what)
	}
	password, nobody, name, none := found["a new password"], found["a password of nobody"], found["a name"], tokenPrefix+found["a token that is none"]
	for _, ask := range [][3]string{
		{"SessionService/Login", "", `{"name":"admin","password":"` + password + `"}`}, {"SessionService/Login", "", `{"name":"nobody","password":"` + nobody + `"}`},
		{"SessionService/Login", "", `{"name":"` + name + ` ","password":"x"}`}, {"SessionService/Who", none, `{}`},
		{"TreeService/Set", r.token, `{"address":"/users/canary:password","value":"` + password + `"}`},
		{"TreeService/Set", r.token, `{"address":"/users/nobody:password","value":"` + password + `"}`},
		{"TreeService/Set", r.token, `{"address":"/users/canary:password","text":"` + password + strings.Repeat("x", 300) + `"}`},
		{"TreeService/Create", r.token, `{"path":"/users/canary","kind":"user","texts":{"password":"` + password + `"}}`},
		{"TreeService/Create", r.token, `{"path":"/users/a/b","kind":"user","texts":{"password":"` + password + `","roles":"none-such"}}`},
		{"TreeService/Create", r.token, `{"path":"/devices/bad","kind":"snmp","texts":{"community":"` + password + `","version":"9"}}`},
		{"TreeService/Apply", r.token, `{"edits":[{"path":"/users/canary","change":{"texts":{"password":"` + password + `"}}},{"path":"/nothing","remove":{}}]}`},
		{"TreeService/Call", r.token, `{"path":"/links","function":"join","texts":{"token":"banyan1.` + password + `"}}`},
		{"TreeService/Call", r.token, `{"path":"/links","function":"join","texts":{"token":"` + found["an invitation"] + `"}}`},
		{"TreeService/Call", r.token, `{"path":"/system","function":"set_recovery","texts":{"recipient":"` + found["the recovery key"] + `"}}`},
		{"TreeService/Call", r.token, `{"path":"/devices","function":"discover","texts":{"subnet":"127.0.0.1","kinds":"snmp","community":"` + password + `","timeout":"100ms"}}`},
	} {
		_, raw := r.post("/banyan.api.v1."+ask[0], ask[1], ask[2])
		found.searched(t, "the answer to "+ask[0], raw)
	}
}

// searchAnswers asks for everything as the administrator, in every way, and searches it.
func (r *running) searchAnswers(t *testing.T, found canaries) {
	t.Helper()
	get := func(path string) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+r.token)
		response, err := r.client.Do(request)
		if err != nil {
			t.Error(path, err)
			return
		}
		defer response.Body.Close()
		body := bufio.NewReader(response.Body)
		_, _ = body.Peek(1)
		if strings.HasPrefix(path, "/api/v1/watch") {
			defer time.AfterFunc(300*time.Millisecond, cancel).Stop() // a stream is cut, after it has begun to tell
		}
		raw, _ := io.ReadAll(body)
		if response.StatusCode != http.StatusOK || len(raw) == 0 {
			t.Errorf("%s: %d %s", path, response.StatusCode, raw)
		}
		found.searched(t, "GET "+path, raw)
	}
	for _, path := range []string{"/metrics", "/healthz", "/backup", "/api/v1/node", "/api/v1/session", "/api/v1/openapi.json", "/api/v1/export//"} {
		get(path)
	}
	ask := func(method, body string) {
		t.Helper()
		_, raw := r.post("/banyan.api.v1."+method, r.token, body)
		found.searched(t, method+" "+body, raw)
	}
	ask("SessionService/Who", `{}`)
	ask("NodeService/Info", `{}`)
	for _, function := range []string{functionAudit, functionSessions, functionLocks, functionVerifyAudit} {
		ask("TreeService/Call", `{"path":"/system","function":"`+function+`"}`)
	}
	// The same requests again: what they answered is not kept.
	ask("TreeService/Call", `{"path":"/users/canary","function":"create_token","texts":{"name":"x"},"id":"09000000000000000000000000000000"}`)
	var paths []string
	r.Tree().Walk(model.Root, nil, func(c *tree.Context) bool {
		paths = append(paths, c.Path.String())
		return true
	})
	for _, path := range paths {
		ask("TreeService/Describe", `{"path":"`+path+`"}`)
		ask("TreeService/List", `{"path":"`+path+`"}`)
		c, _ := r.Tree().Lookup(model.MustPath(path))
		for _, s := range c.Schema.Settings {
			ask("TreeService/Get", `{"address":"`+path+":"+s.Name+`"}`)
		}
		if !strings.Contains(path, "tokens") && len(c.Schema.Settings) > 0 {
			get("/api/v1/contexts" + path)
			get("/api/v1/settings" + path)
		}
	}
	get("/api/v1/watch?address=/devices/with-snmp&address=/users/canary")
	export, err := r.api(r.token).Export(t.Context(), &apiv1.ExportRequest{Path: "/"})
	if err != nil {
		t.Fatal(err)
	}
	for export.Receive() {
		found.searched(t, "an export", []byte(export.Msg().String()))
	}
	w, f := r.watch(r.token, paths[:min(len(paths), 50)]...), r.follow(r.token, "/")
	found.searched(t, "a watch", []byte(w.next().String()))
	found.searched(t, "a follow", []byte(f.next().String()))
}
