package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1/apiv1connect"
)

func TestPasswords(t *testing.T) {
	p := newPasswords()
	hash, err := p.hash(t.Context(), "correct horse")
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatal(hash, err)
	}
	if again, _ := p.hash(t.Context(), "correct horse"); again == hash {
		t.Error("two hashes of one password are the same")
	}
	for password, want := range map[string]bool{"correct horse": true, "correct horsf": false, "": false, strings.Repeat("x", 1000): false} {
		if good, err := p.verify(t.Context(), hash, password); good != want || err != nil {
			t.Errorf("%.20q: %v, %v", password, good, err)
		}
	}
	if good, err := p.verify(t.Context(), "", "correct horse"); good || err != nil {
		t.Errorf("nobody's password is right: %v, %v", good, err)
	}
	for _, damaged := range []string{
		"x", "$argon2id$v=19$m=19456,t=2,p=1$AAAA", "$argon2id$v=18$m=19456,t=2,p=1$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=99999999,t=2,p=1$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAA", strings.Replace(hash, "t=2", "t=0", 1),
	} {
		if good, err := p.verify(t.Context(), damaged, "correct horse"); good || model.KindOf(err) != model.KindCorrupt {
			t.Errorf("%s: %v, %v", damaged, good, err)
		}
	}
	for _, short := range []string{"", "123456789", strings.Repeat("x", 257)} {
		if _, err := p.hash(t.Context(), short); model.KindOf(err) != model.KindInvalid {
			t.Errorf("%d bytes: %v", len(short), err)
		}
	}
}

func TestDrawPassword(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		p := DrawPassword()
		if len(p) != 20 || strings.ContainsAny(p, "il01o") || seen[p] {
			t.Fatal(p)
		}
		seen[p] = true
	}
}

// TestLockout: five tries in fifteen minutes, also when they are made at the same time; fifty from one address, whatever the names are.
func TestLockout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lockout{now: time.Now}
		var allowed atomic.Int32
		var group sync.WaitGroup
		for i := range 200 {
			group.Go(func() {
				if l.begin("alice", fmt.Sprintf("10.0.0.%d:4711", i%50)) == nil {
					allowed.Add(1)
				}
			})
		}
		group.Wait()
		if allowed.Load() != mostTries {
			t.Errorf("%d tries were allowed", allowed.Load())
		}
		if err := l.begin("bob", "10.0.0.1:1"); err != nil {
			t.Error("somebody else is locked too:", err)
		}
		time.Sleep(triesWithin - time.Second)
		if model.KindOf(l.begin("alice", "10.0.0.1:1")) != model.KindExhausted {
			t.Error("it is over too early")
		}
		time.Sleep(time.Second)
		if err := l.begin("alice", "10.0.0.1:1"); err != nil {
			t.Error("it is never over:", err)
		}
		l.succeeded("alice", "10.0.0.1:1")
		for range mostTries {
			if err := l.begin("alice", "10.0.0.1:1"); err != nil {
				t.Error("whoever knows the password is locked out:", err)
			}
		}
		if locks := l.locks(); len(locks) != 1 || locks[0].what != "alice" || !locks[0].name || locks[0].tries != mostTries {
			t.Errorf("locked: %v", locks)
		}
		if !l.unlock("alice") || l.unlock("alice") || l.begin("alice", "10.0.0.1:1") != nil {
			t.Error("it is not unlocked")
		}
		for i := range mostCounted + 20 {
			address := fmt.Sprintf("10.%d.%d.%d:1", 1+i/65536, i/256%256, i%256)
			_ = l.begin(fmt.Sprintf("name-%d", i), address)
			_ = l.begin(fmt.Sprintf("no name %d", i), address)
		}
		if len(l.names) > mostCounted+1 || len(l.sources) > mostCounted+1 {
			t.Errorf("%d names and %d addresses are remembered", len(l.names), len(l.sources))
		}
	})
}

// TestLockoutOfSource: one address tries fifty times, under however many names, and the names that it did not get to stay free.
func TestLockoutOfSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lockout{now: time.Now}
		var allowed atomic.Int32
		var group sync.WaitGroup
		for i := range 500 {
			group.Go(func() {
				if l.begin(fmt.Sprintf("name-%d", i%100), fmt.Sprintf("[2001:db8:0:1::%x]:%d", i, 1000+i)) == nil {
					allowed.Add(1)
				}
			})
		}
		group.Wait()
		if allowed.Load() != mostTriesOfSource {
			t.Errorf("%d tries were allowed", allowed.Load())
		}
		locked := 0
		for i := range 100 {
			if l.begin(fmt.Sprintf("name-%d", i), "[2001:db8:0:2::1]:1") != nil {
				locked++
			}
		}
		if locked > mostTriesOfSource { // the second address is locked after its own fifty
			t.Errorf("%d names are locked", locked)
		}
		if locks := l.locks(); len(locks) != 2 || locks[0].what != "2001:db8:0:1::/64" || locks[0].name {
			t.Errorf("locked: %v", locks)
		}
		// Whoever knows the password counts as no try.
		for range 3 * mostTriesOfSource {
			if l.begin("alice", "192.0.2.1:1") != nil {
				t.Fatal("right passwords lock an address")
			}
			l.succeeded("alice", "192.0.2.1:1")
		}
	})
}

// TestLoginSaysNothing: a wrong password and an unknown name are answered alike, and both are locked alike under parallel tries.
func TestLoginSaysNothing(t *testing.T) {
	n := startNode(t)
	n.user("alice", rule("/**", model.RightView))
	answers := map[string]map[string]int{}
	for _, name := range []string{"alice", "nobody"} {
		answers[name] = map[string]int{}
		var mu sync.Mutex
		var tries sync.WaitGroup
		for range 30 {
			tries.Go(func() {
				status, raw := n.post(apiv1connect.SessionServiceLoginProcedure, "", `{"name":"`+name+`","password":"wrong password"}`)
				mu.Lock()
				defer mu.Unlock()
				answers[name][fmt.Sprint(status, " ", withoutWait(t, raw))]++
			})
		}
		tries.Wait()
	}
	if len(answers["alice"]) != 2 || fmt.Sprint(answers["alice"]) != fmt.Sprint(answers["nobody"]) {
		t.Errorf("alice: %v\nnobody: %v", answers["alice"], answers["nobody"])
	}
	for answer, count := range answers["alice"] {
		if strings.HasPrefix(answer, "401") != (count == mostTries) {
			t.Errorf("%d times %s", count, answer)
		}
	}
	// The right password does not help while the name is locked.
	if status, raw := n.post(apiv1connect.SessionServiceLoginProcedure, "", `{"name":"alice","password":"correct horse"}`); status == http.StatusOK {
		t.Errorf("%s", raw)
	}
}

// withoutWait is an answer without the time that is left.
func withoutWait(t *testing.T, raw []byte) string {
	var answer struct{ Code, Message string }
	if err := json.Unmarshal(raw, &answer); err != nil {
		t.Error(err)
	}
	message, _, _ := strings.Cut(answer.Message, "try again in")
	return answer.Code + " " + message
}

// TestSessionsEnd: by logging out, by a new password, by being disabled or removed, and by time.
func TestSessionsEnd(t *testing.T) {
	n := startNode(t)
	works := func(token string) bool {
		status, _ := n.post(apiv1connect.SessionServiceWhoProcedure, token, "{}")
		return status == http.StatusOK
	}
	n.user("bob", rule("/**", model.RightView))
	bob := model.MustPath("/users/bob")
	for name, end := range map[string]func(token string){
		"logout":   func(token string) { n.post(apiv1connect.SessionServiceLogoutProcedure, token, "{}") },
		"password": func(string) { n.must(setRequest("/users/bob", settingPassword, model.String("correct horse"))) },
		"disabled": func(string) {
			n.must(setRequest("/users/bob", settingEnabled, model.Bool(false)))
			n.must(setRequest("/users/bob", settingEnabled, model.Bool(true)))
		},
		"removed": func(string) {
			n.must(Request{Op: OpRemove, Path: bob})
			n.user("bob", rule("/**", model.RightView))
		},
	} {
		token := n.login("bob", "correct horse")
		if !works(token) {
			t.Errorf("%s: the session does not work", name)
		}
		if end(token); works(token) {
			t.Errorf("%s: the session goes on", name)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSessions("berlin", time.Now, n.Tree(), nil, n.audit)
		user, _ := n.Tree().Lookup(bob)
		_, hash := drawToken(sessionPrefix)
		s.byHash[hash] = &session{user: user.ID, name: "bob", hash: hash, expires: time.Now().Add(sessionLifetime), used: time.Now()}
		for range 2*7*24/23 + 20 {
			if _, alive := s.caller(hash, ""); !alive {
				break
			}
			time.Sleep(11*time.Hour + 59*time.Minute)
		}
		if len(s.byHash) != 0 {
			t.Error("a session that is used lives for ever")
		}
		s.byHash[hash] = &session{user: user.ID, name: "bob", hash: hash, expires: time.Now().Add(sessionLifetime), used: time.Now()}
		time.Sleep(sessionIdle)
		if _, alive := s.caller(hash, ""); alive {
			t.Error("an idle session goes on")
		}
	})
}

// TestTokens makes a token, uses it, and ends it; what is kept of it does not give it away.
func TestTokens(t *testing.T) {
	n := startNode(t)
	n.user("robot", rule("/devices/**", model.RightView))
	answer := n.json(apiv1connect.TreeServiceCallProcedure, `{"path":"/users/robot","function":"create_token","texts":{"name":"backup","lifetime":"1h"},"id":"00112233445566778899aabbccddeeff"}`)
	results := map[string]string{}
	for _, r := range answer["results"].([]any) {
		result := r.(map[string]any)
		results[result["name"].(string)], _ = result["value"].(string)
	}
	token := results["token"]
	if status, raw := n.post(apiv1connect.SessionServiceWhoProcedure, token, "{}"); status != http.StatusOK || !strings.Contains(string(raw), "robot") {
		t.Errorf("%d %s", status, raw)
	}
	if status, raw := n.post(apiv1connect.TreeServiceCallProcedure, n.token,
		`{"path":"/users/robot","function":"create_token","texts":{"name":"backup","lifetime":"1h"},"id":"00112233445566778899aabbccddeeff"}`); status == http.StatusOK {
		t.Errorf("the same request again: %s", raw)
	}
	described, err := json.Marshal(n.json(apiv1connect.TreeServiceDescribeProcedure, `{"path":"`+results["path"]+`"}`))
	if err != nil || strings.Contains(string(described), token) {
		t.Errorf("%s, %v", described, err)
	}
	n.absentFromDisk(token)
	// It lives as long as its context, through a restart.
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	n = runNode(t, n.dir, n.password)
	if status, _ := n.post(apiv1connect.SessionServiceWhoProcedure, token, "{}"); status != http.StatusOK {
		t.Error("it did not outlive a restart")
	}
	n.must(Request{Op: OpRemove, Path: model.MustPath(results["path"])})
	if status, _ := n.post(apiv1connect.SessionServiceWhoProcedure, token, "{}"); status != http.StatusUnauthorized {
		t.Error("it goes on after it was removed")
	}
}

// TestTokensExpire, and not before.
func TestTokensExpire(t *testing.T) {
	dir := t.TempDir()
	made, err := Init(t.Context(), dir, "berlin", nil)
	if err != nil {
		t.Fatal(err)
	}
	var ahead atomic.Int64
	n := runNodeWith(t, dir, made.Password, func(c *Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	call := Request{Op: OpCall, Path: model.MustPath("/users/admin"), Name: functionCreateToken, Arguments: []model.Argument{
		{Name: "name", Value: model.String("x")}, {Name: "lifetime", Value: model.Duration(time.Hour)},
	}}
	token := n.must(call).Results[0].Value.Text()
	for _, test := range []struct {
		ahead time.Duration
		works bool
	}{{0, true}, {59 * time.Minute, true}, {time.Hour, false}, {24 * time.Hour, false}} {
		ahead.Store(int64(test.ahead))
		if status, _ := n.post(apiv1connect.SessionServiceWhoProcedure, token, "{}"); (status == http.StatusOK) != test.works {
			t.Errorf("after %s: %d", test.ahead, status)
		}
	}
	ahead.Store(0)
	for _, lifetime := range []time.Duration{0, -time.Hour, time.Second, 100 * 365 * 24 * time.Hour} {
		call.Arguments[1].Value = model.Duration(lifetime)
		if _, err := n.execute(n.admin(), call); model.KindOf(err) != model.KindInvalid {
			t.Errorf("a lifetime of %s: %v", lifetime, err)
		}
	}
}

// absentFromDisk searches all files of the node.
func (r *running) absentFromDisk(secret string) {
	r.t.Helper()
	err := filepath.WalkDir(r.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(raw), secret) {
			r.t.Errorf("%s holds it", path)
		}
		return err
	})
	if err != nil {
		r.t.Error(err)
	}
}

// TestPasswordIsKeptAsHash: neither answers nor files have it.
func TestPasswordIsKeptAsHash(t *testing.T) {
	n := startNode(t)
	n.user("alice", rule("/**", model.RightView))
	for _, body := range []string{`{"address":"/users/alice:password"}`} {
		answer := n.json(apiv1connect.TreeServiceGetProcedure, body)
		if answer["value"] != nil {
			t.Errorf("%v", answer)
		}
	}
	described, _ := json.Marshal(n.json(apiv1connect.TreeServiceDescribeProcedure, `{"path":"/users/alice"}`))
	if strings.Contains(string(described), "correct horse") || strings.Contains(string(described), "$argon2id$") {
		t.Errorf("%s", described)
	}
	n.absentFromDisk("correct horse")
	n.absentFromDisk("$argon2id$")
}

// TestNobodyGivesMoreThanTheyHave: somebody who may change people gives neither themselves nor others what they do not have.
func TestNobodyGivesMoreThanTheyHave(t *testing.T) {
	n := startNode(t)
	n.must(Request{Op: OpCreate, Path: model.MustPath("/roles/all"), Kind: KindRole, Arguments: []model.Argument{
		{Name: settingRules, Value: RulesValue([]access.Rule{rule("/**", model.RightAdminister)})},
	}})
	n.must(Request{Op: OpCreate, Path: model.MustPath("/roles/little"), Kind: KindRole, Arguments: []model.Argument{
		{Name: settingRules, Value: RulesValue([]access.Rule{rule("/devices/**", model.RightView)})},
	}})
	keeper := n.user("keeper", rule("/users/**", model.RightAdminister), rule("/roles/**", model.RightAdminister), rule("/devices/**", model.RightOperate))
	n.user("bob", rule("/devices/**", model.RightView))
	n.user("dora", rule("/devices/**", model.RightView))
	everything, devices := RulesValue([]access.Rule{rule("/**", model.RightView)}), RulesValue([]access.Rule{rule("/devices/**", model.RightOperate)})
	create := func(name string, settings ...model.Argument) Request {
		return Request{Op: OpCreate, Path: model.MustPath("/users/" + name), Kind: KindUser, Arguments: settings}
	}
	for name, test := range map[string]struct {
		q       Request
		allowed bool
	}{
		"rules for oneself":            {setRequest("/users/keeper", settingRules, everything), false},
		"a role for oneself":           {setRequest("/users/keeper", settingRoles, model.String("all")), false},
		"a role that does not exist":   {setRequest("/users/bob", settingRoles, model.String("none-such")), false},
		"rules for another":            {setRequest("/users/bob", settingRules, everything), false},
		"what one has":                 {setRequest("/users/bob", settingRules, devices), true},
		"a small role":                 {setRequest("/users/bob", settingRoles, model.String("little")), true},
		"a wider role":                 {setRequest("/roles/little", settingRules, everything), false},
		"the administrator's password": {setRequest("/users/admin", settingPassword, model.String("correct horse")), false},
		"the administrator's token":    {Request{Op: OpCall, Path: model.MustPath("/users/admin"), Name: functionCreateToken, Arguments: []model.Argument{{Name: "name", Value: model.String("x")}}}, false},
		"a new user with all":          {create("eve", model.Argument{Name: settingRoles, Value: model.String("all")}), false},
		"a new user with little":       {create("carol", model.Argument{Name: settingRoles, Value: model.String("little")}), true},
		"a user deeper down":           {create("x/y"), false},
		"the administrator's removal":  {Request{Op: OpRemove, Path: model.MustPath("/users/admin")}, false},
		"the removal of a small one":   {Request{Op: OpRemove, Path: model.MustPath("/users/dora")}, true},
	} {
		if _, err := n.execute(keeper, test.q); (err == nil) != test.allowed {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, q := range map[string]Request{
		"a user":     create("dave"),
		"a password": setRequest("/users/bob", settingPassword, model.String("correct horse")),
		"a removal":  {Op: OpRemove, Path: model.MustPath("/users/bob")},
	} {
		if _, err := n.execute(n.user("half-"+strings.Fields(name)[1], rule("/**", model.RightConfigure)), q); model.KindOf(err) != model.KindDenied {
			t.Errorf("%s by somebody with configure only: %v", name, err)
		}
	}
}

// TestRefusalNamesTheRule as the design shows it.
func TestRefusalNamesTheRule(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim")
	alice := n.user("alice", rule("/system", model.RightView), rule("/users/**", model.RightNone), rule("/devices/**", model.RightOperate))
	_, err := n.execute(alice, setRequest("/devices/sim", "poll_interval", model.Duration(time.Second)))
	if err == nil || !strings.Contains(err.Error(), "set /devices/sim:poll_interval: denied by berlin, rule 3: alice has operate, configure is needed") {
		t.Error(err)
	}
}

// TestRightsBiteAtOnce: a change of rules is judged by as soon as it is answered.
func TestRightsBiteAtOnce(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim")
	bob := n.user("bob", rule("/devices/**", model.RightConfigure))
	set := setRequest("/devices/sim", "step", model.Float64(2))
	for range 10 {
		if _, err := n.execute(bob, set); err != nil {
			t.Error(err)
		}
		n.must(setRequest("/users/bob", settingRules, RulesValue(nil)))
		if _, err := n.execute(bob, set); model.KindOf(err) != model.KindNotFound {
			t.Error(err)
		}
		n.must(setRequest("/users/bob", settingRules, RulesValue([]access.Rule{rule("/devices/**", model.RightConfigure)})))
	}
	n.must(setRequest("/users/bob", settingEnabled, model.Bool(false)))
	if _, err := n.execute(bob, set); model.KindOf(err) != model.KindNotFound {
		t.Error(err)
	}
}

// TestPasswordsWaitInLine: no more than two at once, and a bounded number waits.
func TestPasswordsWaitInLine(t *testing.T) {
	p := newPasswords()
	var leave []func()
	for range cap(p.working) {
		l, err := p.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, l)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.enter(gone); err == nil {
		t.Error("a third one came in")
	}
	for range cap(p.waiting) {
		p.waiting <- struct{}{}
	}
	if _, err := p.enter(t.Context()); model.KindOf(err) != model.KindExhausted {
		t.Error(err)
	}
	for _, l := range leave {
		l()
	}
}
