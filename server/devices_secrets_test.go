package server

import (
	"strings"
	"testing"

	"banyan/access"
	"banyan/devices"
	"banyan/model"
)

// TestSecretsAreNotLedAway: who may configure a device and can read none of its secrets cannot have them sent elsewhere, by a single set or in a batch,
// at home or over a link; giving them anew, taking them away, and whatever moves nothing stays allowed. So is everything to who may administer.
func TestSecretsAreNotLedAway(t *testing.T) {
	n := startNode(t)
	mallory := n.user("mallory", rule("/devices/**", model.RightConfigure))
	programs := n.user("programs", rule("/devices/**", model.RightAdminister))
	scope, err := access.NewScope("token programs", []access.Rule{rule("/devices/**", model.RightConfigure)})
	if err != nil {
		t.Fatal(err)
	}
	programs.Scope = scope
	never := model.Bool(false)
	for _, d := range []struct{ kind, where, here, there, secret string }{
		{"http", "url", "https://127.0.0.1:1/", "https://127.0.0.2:1/", "secret_headers"},
		{"http", "url", "http://127.0.0.1:1/", "http://127.0.0.2:1/", "password"},
		{"http", "proxy", "", "http://127.0.0.2:1", "proxy_password"},
		{"http", "server_name", "", "mallory", "password"},
		{"prometheus", "url", "http://127.0.0.1:1/", "http://127.0.0.2:1/", "token"},
		{"mqtt", "url", "mqtts://127.0.0.1:1", "mqtt://127.0.0.1:1", "password"},
		{"snmp", "address", "127.0.0.1:1", "127.0.0.2:1", "community"},
	} {
		t.Run(d.kind+" "+d.where+" "+d.secret, func(t *testing.T) {
			path := model.MustPath("/devices/" + d.kind + "-" + strings.ReplaceAll(d.where+"-"+d.secret, "_", "-"))
			settings := []model.Argument{{Name: "enabled", Value: never}, textArgument(d.secret, "X-Word: canary")}
			if d.kind == "http" {
				settings = append(settings, textArgument("username", "me"), textArgument("proxy_username", "me"))
			}
			if d.kind == "mqtt" {
				settings = append(settings, textArgument("topics", "a/#"))
			}
			if d.where != "url" && d.kind == "http" {
				settings = append(settings, textArgument("url", "http://127.0.0.1:1/"))
			}
			if d.here != "" {
				settings = append(settings, textArgument(d.where, d.here))
			}
			n.must(Request{Op: OpCreate, Path: path, Kind: d.kind, Arguments: settings})
			move := Request{Op: OpSet, Path: path, Name: d.where, Value: model.String(d.there)}
			batch := func(settings ...model.Argument) Request {
				return Request{Op: OpApply, Edits: []Edit{{Op: OpSet, Path: path, Settings: settings}}}
			}
			for _, who := range []access.Principal{mallory, programs} {
				for _, q := range []Request{move, batch(textArgument(d.where, d.there))} {
					_, err := n.execute(who, q)
					if model.KindOf(err) != model.KindDenied || !strings.Contains(err.Error(), "secrets of the device") || strings.Contains(err.Error(), "canary") {
						t.Errorf("%s by %s: %v", q.Op, who.Chain.Person.Name, err)
					}
				}
			}
			if _, err := n.execute(mallory, setRequest(path.String(), devices.SettingTimeout, model.Duration(3e9))); err != nil {
				t.Errorf("something else: %v", err)
			}
			if _, err := n.execute(mallory, batch(textArgument(d.where, d.there), textArgument(d.secret, "X-Word: mine"))); err != nil {
				t.Errorf("with the secret given anew: %v", err)
			}
			n.must(Request{Op: OpSet, Path: path, Name: d.where, Value: model.String(d.here)})
			if _, err := n.execute(mallory, setRequest(path.String(), d.secret, model.Value{})); err != nil {
				t.Fatal(err)
			}
			if _, err := n.execute(mallory, move); err != nil {
				t.Errorf("with nothing to lead away: %v", err)
			}
		})
	}
}

// TestParentTellsOfNothingHidden: a device that is hidden cannot be made a parent, with the same words as one that is not there.
func TestParentTellsOfNothingHidden(t *testing.T) {
	n := startNode(t)
	eve := n.user("eve", rule("/devices/hall/**", model.RightNone), rule("/devices/**", model.RightConfigure))
	n.simulator("/devices/mine")
	ask := func(path string) string {
		_, err := n.execute(eve, setRequest("/devices/mine", devices.SettingParent, model.Ref(model.Address{Path: model.MustPath(path)})))
		if err == nil {
			return "done"
		}
		return err.Error()
	}
	for _, path := range []string{"/devices/hall/gate", "/users/eve"} {
		before := ask(path)
		if path == "/devices/hall/gate" {
			n.must(Request{Op: OpCreate, Path: model.MustPath("/devices/hall"), Kind: KindFolder})
			n.simulator(path)
		}
		if after := ask(path); after != before || after == "done" {
			t.Errorf("absent: %s\nhidden: %s", before, after)
		}
	}
	if said := ask("/devices/later"); said != "done" {
		t.Errorf("a parent that comes later: %s", said)
	}
	if said, nothing := ask("/users/eve"), ask("/users/nobody"); strings.ReplaceAll(said, "eve", "nobody") != nothing {
		t.Errorf("%s, but %s", said, nothing)
	}
}
