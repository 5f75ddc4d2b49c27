package main

import (
	"strings"
	"testing"
	"time"
)

// A bar is as wide as its share, below who called it, and names are shown as they are, also those that mean something in a picture.
func TestFlame(t *testing.T) {
	all := &flameBar{name: "centre"}
	for _, s := range []struct {
		stack []string
		took  time.Duration
	}{
		{[]string{"main.run", "banyan/tree.(*Tree).Publish"}, 6 * time.Second},
		{[]string{"main.run", "crypto/tls.(*Conn).Write"}, 3 * time.Second},
		{[]string{"banyan/follow.map[<A&B>]"}, 999 * time.Millisecond},
		{[]string{"runtime.tiny"}, time.Millisecond},
	} {
		all.add(s.stack, s.took)
	}
	picture := all.picture()
	for _, want := range []string{
		`<title>main.run, 90.0 %</title><rect x="0.0" y="43" width="1260.0"`,
		`<title>banyan/tree.(*Tree).Publish, 60.0 %</title><rect x="0.0" y="60" width="840.0" height="16" fill="#8fd19e"`,
		`<title>crypto/tls.(*Conn).Write, 30.0 %</title><rect x="840.0" y="60" width="420.0" height="16" fill="#d7b5f0"`,
		`<title>banyan/follow.map[&lt;A&amp;B&gt;], 10.0 %</title><rect x="1260.0" y="43"`,
	} {
		if !strings.Contains(picture, want) {
			t.Errorf("the picture lacks %s", want)
		}
	}
	if strings.Contains(picture, "tiny") {
		t.Error("what is too narrow to be seen is drawn")
	}
}
