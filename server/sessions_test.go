package server

import (
	"context"
	"encoding/json"

	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/proto/apiv1/apiv1connect"

	"connectrpc.com/connect"
)

// streamsOf opens a stream of each kind and returns, for each, a channel that is closed when it has ended.
func (r *running) streamsOf(token string) map[string]<-chan struct{} {
	r.t.Helper()
	ended := map[string]<-chan struct{}{}
	open := func(kind string, next func() bool) {
		r.t.Helper()
		if !next() {
			r.t.Fatalf("%s does not begin", kind)
		}
		done := make(chan struct{})
		ended[kind] = done
		go func() {
			defer close(done)
			for next() { //nolint:revive // until it ends
			}
		}()
	}
	w, f := r.watch(token, "/devices/sim"), r.follow(token, "/devices")
	open("watch", func() bool { _, more := <-w.messages; return more })
	open("follow", func() bool { _, more := <-f.messages; return more })
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url()+"/api/v1/watch?address=/devices/sim", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := r.client.Do(request)
	if err != nil || response.StatusCode != http.StatusOK {
		r.t.Fatal(response, err)
	}
	buffer := make([]byte, 1<<12)
	open("server-sent events", func() bool {
		_, err := response.Body.Read(buffer)
		if err != nil {
			_ = response.Body.Close()
		}
		return err == nil
	})
	return ended
}

// TestSessionsEndEverywhere: whichever way a session or a token ends, each kind of stream ends within a second, and so does every other use.
func TestSessionsEndEverywhere(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim")
	n.user("bob", rule("/devices/**", model.RightView))
	sessions := func(token string) apiv1connect.SessionServiceClient {
		return apiv1connect.NewSessionServiceClient(n.client, n.url(), connect.WithInterceptors(bearer(token)))
	}
	mine := func(token string) string {
		who, err := sessions(token).Who(t.Context(), &apiv1.WhoRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range who.Sessions {
			if s.Current {
				return s.Id
			}
		}
		t.Fatalf("%v has no current session", who)
		return ""
	}
	system := func(function, name, value string) {
		n.must(Request{Op: OpCall, Path: systemPath, Name: function, Arguments: []model.Argument{textArgument(name, value)}})
	}
	path := ""
	ways := map[string]func(token string){
		"logout": func(token string) { n.post(apiv1connect.SessionServiceLogoutProcedure, token, "{}") },
		"from another session": func(token string) {
			other := n.login("bob", "correct horse")
			if _, err := sessions(other).Logout(t.Context(), &apiv1.LogoutRequest{Session: mine(token)}); err != nil {
				t.Error(err)
			}
		},
		"all of them": func(string) {
			if _, err := sessions(n.login("bob", "correct horse")).Logout(t.Context(), &apiv1.LogoutRequest{All: true}); err != nil {
				t.Error(err)
			}
		},
		"by an administrator":      func(token string) { system(functionEndSession, "id", mine(token)) },
		"all by an administrator":  func(string) { system(functionEndSessions, "user", "bob") },
		"a new password":           func(string) { n.must(setRequest("/users/bob", settingPassword, model.String("correct horse"))) },
		"the user is disabled":     func(string) { n.must(setRequest("/users/bob", settingEnabled, model.Bool(false))) },
		"the user is removed":      func(string) { n.must(Request{Op: OpRemove, Path: model.MustPath("/users/bob")}) },
		"the rules are taken away": func(string) { n.must(setRequest("/users/bob", settingRules, RulesValue(nil))) },
		"the token is removed":     func(string) { n.must(Request{Op: OpRemove, Path: model.MustPath(path)}) },
		"a token's user is disabled": func(string) {
			n.must(setRequest("/users/bob", settingEnabled, model.Bool(false)))
		},
	}
	for name, end := range ways {
		_, _ = n.execute(n.admin(), Request{Op: OpRemove, Path: model.MustPath("/users/bob"), Below: true})
		n.user("bob", rule("/devices/**", model.RightView))
		token := ""
		if strings.Contains(name, "token") {
			made := n.must(Request{Op: OpCall, Path: model.MustPath("/users/bob"), Name: functionCreateToken, Arguments: []model.Argument{textArgument("name", "x")}})
			token, path = made.Results[0].Value.Text(), made.Results[2].Value.String()
		} else {
			token = n.login("bob", "correct horse")
		}
		streams := n.streamsOf(token)
		began := time.Now()
		end(token)
		for kind, ended := range streams {
			select {
			case <-ended:
			case <-time.After(time.Until(began.Add(time.Second))):
				t.Errorf("%s: the %s goes on after a second", name, kind)
			}
		}
		if status, _ := n.post(apiv1connect.SessionServiceWhoProcedure, token, "{}"); status != http.StatusUnauthorized && name != "the rules are taken away" {
			t.Errorf("%s: it is still good", name)
		}
	}
}

// TestStreamOfWhoTakesNothing: a reader who takes nothing does not keep a stream from ending.
func TestStreamOfWhoTakesNothing(t *testing.T) {
	n := startNode(t)
	n.must(Request{Op: OpCreate, Path: model.MustPath("/devices/fast"), Kind: "simulator", Arguments: []model.Argument{
		{Name: "points", Value: model.Int64(5000)}, {Name: "poll_interval", Value: model.Duration(10 * time.Millisecond)},
	}})
	n.user("bob", rule("/devices/**", model.RightView))
	token := n.login("bob", "correct horse")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := n.api(token).Follow(ctx, &apiv1.FollowRequest{Path: "/devices"})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	time.Sleep(500 * time.Millisecond) // until the windows of the connection are full
	if n.Node.api.streams.Load() != 1 {
		t.Fatal("the stream is not open")
	}
	began := time.Now()
	n.must(Request{Op: OpCall, Path: systemPath, Name: functionEndSessions, Arguments: []model.Argument{textArgument("user", "bob")}})
	for n.Node.api.streams.Load() != 0 {
		if time.Since(began) > time.Second {
			t.Fatal("the stream goes on after a second")
		}
		<-time.After(5 * time.Millisecond)
	}
}

// TestSessionsAreListed: everybody sees their own, administrators all, and nobody a token.
func TestSessionsAreListed(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim")
	n.user("bob", rule("/devices/**", model.RightView))
	n.user("eve", rule("/**", model.RightConfigure))
	first, second, eve := n.login("bob", "correct horse"), n.login("bob", "correct horse"), n.login("eve", "correct horse")
	n.streamsOf(first)
	status, raw := n.post(apiv1connect.SessionServiceWhoProcedure, second, "{}")
	var who struct {
		Sessions []struct {
			ID, User, Kind, From string
			Streams              string
			Current              bool
		}
	}
	if err := json.Unmarshal(raw, &who); err != nil || status != http.StatusOK || len(who.Sessions) != 2 || who.Sessions[0].Streams != "3" || !who.Sessions[1].Current {
		t.Errorf("%d %s (%v)", status, raw, err)
	}
	for _, s := range who.Sessions {
		if s.User != "bob" || s.Kind != "session" || !strings.HasPrefix(s.From, "127.0.0.1:") {
			t.Errorf("%+v", s)
		}
	}
	all := n.must(Request{Op: OpCall, Path: systemPath, Name: functionSessions})
	if rows := all.Results[0].Value.Table().Rows; len(rows) != 4 {
		t.Errorf("%v", rows)
	}
	for _, token := range []string{first, second, eve} {
		if strings.Contains(string(raw), token) || strings.Contains(all.Results[0].Value.String(), token) {
			t.Error("a token is told")
		}
	}
	// Nobody ends what is another's.
	if status, raw := n.post(apiv1connect.SessionServiceLogoutProcedure, eve, `{"session":"`+who.Sessions[0].ID+`"}`); status == http.StatusOK {
		t.Errorf("eve ended bob's session: %s", raw)
	}
	if _, err := n.execute(principal("eve", "berlin"), Request{Op: OpCall, Path: systemPath, Name: functionEndSession, Arguments: []model.Argument{textArgument("id", who.Sessions[0].ID)}}); model.KindOf(err) != model.KindDenied {
		t.Error(err)
	}
	if _, err := n.execute(n.admin(), Request{Op: OpCall, Path: systemPath, Name: functionEndSession, Arguments: []model.Argument{textArgument("id", "nothing")}}); model.KindOf(err) != model.KindInvalid {
		t.Error(err)
	}
}

// TestLoginDuringAChangeOfPassword: however a login and a new password overlap, no session of the old password is left.
func TestLoginDuringAChangeOfPassword(t *testing.T) {
	n := startNode(t)
	passwords := []string{"correct horse", "battery staple"}
	n.user("bob", rule("/devices/**", model.RightView))
	for i := range 6 {
		old, now := passwords[i%2], passwords[(i+1)%2]
		var group sync.WaitGroup
		tokens := make(chan string, 4)
		for range 4 {
			group.Go(func() {
				if status, raw := n.post(apiv1connect.SessionServiceLoginProcedure, "", `{"name":"bob","password":"`+old+`"}`); status == http.StatusOK {
					var answer struct{ Token string }
					if json.Unmarshal(raw, &answer) == nil {
						tokens <- answer.Token
					}
				}
			})
		}
		n.must(setRequest("/users/bob", settingPassword, model.String(now)))
		group.Wait()
		close(tokens)
		for token := range tokens {
			if status, _ := n.post(apiv1connect.SessionServiceWhoProcedure, token, "{}"); status == http.StatusOK {
				t.Fatalf("round %d: a session of the old password goes on", i)
			}
		}
		n.must(Request{Op: OpCall, Path: systemPath, Name: functionUnlock, Arguments: []model.Argument{textArgument("what", "bob")}})
		n.must(Request{Op: OpCall, Path: systemPath, Name: functionUnlock, Arguments: []model.Argument{textArgument("what", "127.0.0.1")}})
	}
}

// TestTwoHundredTries at once, over the API: five of them are tried, whether or not the name is a user's, and all answers are alike.
func TestTwoHundredTries(t *testing.T) {
	n := startNode(t)
	// How many requests of any sort an address may make is another limit, for which time goes fast here.
	var seconds atomic.Int64
	n.limits.now = func() time.Time { return time.Unix(seconds.Add(1), 0) }
	n.user("alice", rule("/**", model.RightView))
	try := func(name string) int {
		status, _ := n.post(apiv1connect.SessionServiceLoginProcedure, "", `{"name":"`+name+`","password":"wrong password"}`)
		return status
	}
	for _, name := range []string{"alice", "nobody"} {
		var mu sync.Mutex
		statuses := map[int]int{}
		var group sync.WaitGroup
		for range 200 {
			group.Go(func() {
				status := try(name)
				mu.Lock()
				defer mu.Unlock()
				statuses[status]++
			})
		}
		group.Wait()
		if statuses[http.StatusUnauthorized] != mostTries || statuses[http.StatusTooManyRequests] != 200-mostTries {
			t.Errorf("%s: %v", name, statuses)
		}
	}
	// A try costs the same whether the name is there: a hash each time, of which the answer without one would be a small part.
	n.user("carol", rule("/**", model.RightView))
	fastest := map[string]time.Duration{}
	for range mostTries {
		for _, name := range []string{"carol", "no-carol"} {
			began := time.Now()
			try(name)
			if took := time.Since(began); fastest[name] == 0 || took < fastest[name] {
				fastest[name] = took
			}
		}
	}
	if there, not := fastest["carol"], fastest["no-carol"]; there > 3*not || not > 3*there {
		t.Errorf("the fastest try took %s where the name is there, and %s where it is not", there, not)
	}
	locks := n.must(Request{Op: OpCall, Path: systemPath, Name: functionLocks}).Results[0].Value.Table().Rows
	if len(locks) != 4 || locks[0][0].Text() != "alice" || locks[3][0].Text() != "nobody" {
		t.Errorf("%v", locks)
	}
	n.must(Request{Op: OpCall, Path: systemPath, Name: functionUnlock, Arguments: []model.Argument{textArgument("what", "alice")}})
	n.login("alice", "correct horse")
}

// TestTokensWithScope: what a token does must be allowed by its user's rules and by its scope, everywhere that rights are asked for.
func TestTokensWithScope(t *testing.T) {
	n := startNode(t)
	n.simulator("/devices/sim")
	n.simulator("/devices/gate")
	n.user("robot", rule("/devices/**", model.RightConfigure), rule("/system", model.RightView))
	make := func(who access.Principal, scope []access.Rule, from string) (Response, error) {
		arguments := []model.Argument{textArgument("name", "x"), textArgument("from", from)}
		if scope != nil {
			arguments = append(arguments, model.Argument{Name: "scope", Value: RulesValue(scope)})
		}
		return n.execute(who, Request{Op: OpCall, Path: model.MustPath("/users/robot"), Name: functionCreateToken, Arguments: arguments})
	}
	made, err := make(n.admin(), []access.Rule{rule("/devices/gate", model.RightNone), rule("/devices/**", model.RightOperate)}, "")
	if err != nil {
		t.Fatal(err)
	}
	token := made.Results[0].Value.Text()
	for body, want := range map[string]int{
		`Get {"address":"/devices/sim:step"}`:                                       http.StatusOK,
		`Get {"address":"/devices/gate:step"}`:                                      http.StatusNotFound,
		`Get {"address":"/system:name"}`:                                            http.StatusNotFound,
		`Set {"address":"/devices/sim:setpoint","value":2}`:                         http.StatusOK,
		`Set {"address":"/devices/sim:step","value":2}`:                             http.StatusForbidden,
		`Call {"path":"/devices/sim","function":"poll_now"}`:                        http.StatusOK,
		`Create {"path":"/devices/x","kind":"simulator"}`:                           http.StatusForbidden,
		`Remove {"path":"/devices/sim"}`:                                            http.StatusForbidden,
		`Apply {"edits":[{"path":"/devices/sim","change":{"texts":{"step":"3"}}}]}`: http.StatusForbidden,
	} {
		method, rest, _ := strings.Cut(body, " ")
		status, raw := n.post("/banyan.api.v1.TreeService/"+method, token, rest)
		if status != want {
			t.Errorf("%s: %d %s", body, status, raw)
		}
		if status == http.StatusForbidden && !strings.Contains(string(raw), "of token ") {
			t.Errorf("%s: the refusal does not name the token: %s", body, raw)
		}
	}
	for _, listed := range []string{"List", "Export"} {
		body, status := `{"path":"/devices"}`, 0
		var raw []byte
		if listed == "List" {
			status, raw = n.post("/banyan.api.v1.TreeService/List", token, body)
		} else {
			stream, err := n.api(token).Export(t.Context(), &apiv1.ExportRequest{Path: "/"})
			if err != nil {
				t.Fatal(err)
			}
			status = http.StatusOK
			for stream.Receive() {
				for _, c := range stream.Msg().Contexts {
					raw = append(raw, c.Path+" "...)
				}
			}
		}
		if status != http.StatusOK || !strings.Contains(string(raw), "/devices/sim") || strings.Contains(string(raw), "gate") || strings.Contains(string(raw), "/system") {
			t.Errorf("%s: %d %s", listed, status, raw)
		}
	}
	// Who follows with a scope does not share the view of who follows without.
	whole, narrow := n.follow(n.login("robot", "correct horse"), "/"), n.follow(token, "/")
	seen := func(f *stream[apiv1.FollowResponse]) (paths string) {
		for !strings.Contains(paths, "listed") {
			m := f.next()
			for _, c := range m.GetDefinitions().GetContexts() {
				paths += c.Path + " "
			}
			if m.GetDefinitions().GetListed() {
				paths += "listed"
			}
		}
		return paths
	}
	if a, b := seen(whole), seen(narrow); !strings.Contains(a, "/devices/gate") || strings.Contains(b, "/devices/gate") || !strings.Contains(b, "/devices/sim") {
		t.Errorf("without a scope %s, with it %s", a, b)
	}
	// A token is no way to more: neither for its own holder nor for who makes it.
	scoped := principal("robot", "berlin")
	if scoped.Scope, err = access.NewScope("token x", []access.Rule{rule("/devices/sim", model.RightView)}); err != nil {
		t.Fatal(err)
	}
	n.user("keeper", rule("/users/**", model.RightAdminister), rule("/devices/sim", model.RightView))
	keeper := principal("keeper", "berlin")
	for name, test := range map[string]struct {
		who     access.Principal
		scope   []access.Rule
		allowed bool
	}{
		"without a scope":     {keeper, nil, false},
		"within what one has": {keeper, []access.Rule{rule("/devices/sim", model.RightView)}, true},
		"for nothing":         {keeper, []access.Rule{}, true},
		"beyond that":         {keeper, []access.Rule{rule("/devices/**", model.RightView)}, false},
		"higher than that":    {keeper, []access.Rule{rule("/devices/sim", model.RightOperate)}, false},
		"by a token":          {scoped, []access.Rule{rule("/devices/sim", model.RightView)}, false},
	} {
		if _, err := make(test.who, test.scope, ""); (err == nil) != test.allowed {
			t.Errorf("%s: %v", name, err)
		}
	}
	// From elsewhere it is none; when and from where it was used is shown.
	if _, err := make(n.admin(), nil, "10.0.0.0/33"); model.KindOf(err) != model.KindInvalid {
		t.Error(err)
	}
	for from, want := range map[string]int{"10.0.0.0/8,192.0.2.1": http.StatusUnauthorized, "127.0.0.0/8": http.StatusOK, "::1,127.0.0.1": http.StatusOK} {
		made, err := make(n.admin(), nil, from)
		if err != nil {
			t.Fatal(err)
		}
		if status, _ := n.post(apiv1connect.SessionServiceWhoProcedure, made.Results[0].Value.Text(), "{}"); status != want {
			t.Errorf("from %s: %d", from, status)
		}
		at, _ := made.Results[2].Value.Ref()
		usedFrom := model.Address{Path: at.Path, Name: variableUsedFrom}
		if want != http.StatusOK {
			n.tokens.tell(t.Context())
			if used, _ := n.Tree().Read(usedFrom); !used.Sample.Value.IsNone() {
				t.Errorf("from %s: used from %s", from, used.Sample.Value)
			}
			continue
		}
		watched := n.watch(n.token, usedFrom.String())
		watched.until("the address", func(m *apiv1.WatchResponse) bool {
			return strings.HasPrefix(m.Readings[0].Value.GetStringValue(), "127.0.0.1:")
		})
	}
	first := 0
	for _, line := range n.audited(0) {
		if strings.Contains(line, "robot token") && strings.Contains(line, "used for the first time") {
			first++
		}
	}
	if first != 3 {
		t.Errorf("the first use of %d tokens is in the audit log", first)
	}
}

// TestRightsTakenAwayAreNotPassedOn: whoever gives rights at the moment in which they lose them, gives none.
func TestRightsTakenAwayAreNotPassedOn(t *testing.T) {
	n := startNode(t)
	all := []access.Rule{rule("/**", model.RightAdminister)}
	keeper := n.user("keeper", all...)
	n.user("friend")
	taken, gave := 0, 0
	for range 40 {
		n.must(setRequest("/users/keeper", settingRules, RulesValue(all)))
		n.must(setRequest("/users/friend", settingRules, RulesValue(nil)))
		var group sync.WaitGroup
		var given, gone Response
		var refused error
		group.Go(func() { given, refused = n.execute(keeper, setRequest("/users/friend", settingRules, RulesValue(all))) })
		group.Go(func() { gone = n.must(setRequest("/users/keeper", settingRules, RulesValue(nil))) })
		group.Wait()
		if refused != nil {
			taken++
			continue
		}
		gave++
		if given.Revision.Number > gone.Revision.Number {
			t.Fatalf("rights were given by commit %s, after they had been taken away by %s", given.Revision, gone.Revision)
		}
	}
	t.Logf("%d times they were given before, %d times they were refused", gave, taken)
}

// TestWhatAGrantRestsOn: a commit that gives rights is judged anew when what it was judged by has changed meanwhile, and only then.
func TestWhatAGrantRestsOn(t *testing.T) {
	n := startNode(t)
	keeper := n.user("keeper", rule("/users/**", model.RightAdminister), rule("/devices/**", model.RightView))
	n.user("friend")
	q := setRequest("/users/friend", settingRules, RulesValue([]access.Rule{rule("/devices/**", model.RightView)}))
	q.draw()
	to, gives := q.gives()
	if !gives {
		t.Fatal("it gives nothing")
	}
	q.relied = n.policies.relied(t.Context(), keeper, to...)
	n.must(setRequest("/users/keeper", settingRules, RulesValue([]access.Rule{rule("/users/**", model.RightAdminister)})))
	c, _ := n.Tree().Lookup(q.Path)
	if _, err := n.router.setSetting(t.Context(), n.admin(), &q, &c); model.KindOf(err) != model.KindConflict {
		t.Errorf("what was judged before the change was committed after it: %v", err)
	}
	if _, err := n.execute(keeper, setRequest("/users/friend", settingRules, q.Value)); model.KindOf(err) != model.KindDenied {
		t.Error(err)
	}
	// Another revision that was expected is nothing to judge anew for.
	stale := setRequest("/users/friend", settingEnabled, model.Bool(false))
	stale.Expected = model.Revision{Epoch: n.store.Epoch(), Number: 1}
	if _, err := n.execute(n.admin(), stale); model.KindOf(err) != model.KindConflict {
		t.Error(err)
	}
}
