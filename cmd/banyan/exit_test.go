package main

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"banyan/model"
)

func TestErrorsSayWhatWhereAndWhatToDo(t *testing.T) {
	path := model.MustPath("/devices/sim")
	tests := []struct {
		err  error
		want string
		code int
	}{
		{&model.Error{Kind: model.KindDenied, Op: "set", Path: path, Name: "poll_interval", Node: "berlin", Detail: "denied by berlin, rule 3: alice@hq has operate, configure is needed"},
			"banyan: set /devices/sim:poll_interval: denied by berlin, rule 3: alice@hq has operate, configure is needed " +
				"(who administers the node sees with `banyan explain right USER /devices/sim:poll_interval` what would allow it)\n", exitDenied},
		{&model.Error{Kind: model.KindTimeout, Op: "call", Path: path, Name: "hang", Node: "berlin", Detail: "no answer within 3s"},
			"banyan: call /devices/sim:hang: at berlin: no answer within 3s\n", exitUnavailable},
		{&model.Error{Kind: model.KindUnavailable, Node: "berlin", Detail: "berlin: the link is down", Remedy: "look at `banyan links`"},
			"banyan: berlin: the link is down (look at `banyan links`)\n", exitUnavailable},
		{&model.Error{Kind: model.KindNotFound, Op: "get", Path: path, Detail: "nothing is there that you may see"},
			"banyan: get /devices/sim: nothing is there that you may see\n", exitNotFound},
		{&model.Error{Kind: model.KindConflict, Node: "hq", Detail: "two\nlines \x1b[0m"}, "banyan: at hq: two\\nlines \\x1b[0m\n", exitFailed},
		{&model.Error{Kind: model.KindUnauthenticated, Detail: "no"}, "banyan: no\n", exitDenied},
		{&model.Error{Kind: model.KindUnknownFate}, "banyan: unknown-fate\n", exitUnavailable},
		{fmt.Errorf("reading: %w", &model.Error{Kind: model.KindNotFound, Detail: "gone"}), "banyan: reading: gone\n", exitNotFound},
		{errors.New("broken pipe"), "banyan: broken pipe\n", exitFailed},
		{usageError{"what?", "banyan get"}, "banyan: what?\nRun 'banyan get --help' to see what there is.\n", exitUsage},
	}
	for _, test := range tests {
		var out bytes.Buffer
		if code := report(&out, test.err); code != test.code || out.String() != test.want {
			t.Errorf("got %d %q, want %d %q", code, out.String(), test.code, test.want)
		}
	}
}

func TestNamesWord(t *testing.T) {
	tests := []struct {
		text, word string
		want       bool
	}{
		{"denied by berlin, rule 3", "berlin", true}, {"berlin", "berlin", true}, {"at berlin.", "berlin", true}, {"berlin-2 says no", "berlin", false},
		{"new-berlin berlin", "berlin", true}, {"alice@hq has view", "hq", true}, {"", "hq", false},
	}
	for _, test := range tests {
		if got := namesWord(test.text, test.word); got != test.want {
			t.Errorf("namesWord(%q, %q) = %v", test.text, test.word, got)
		}
	}
}
