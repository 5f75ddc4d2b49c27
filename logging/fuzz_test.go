package logging

import (
	"testing"

	"github.com/hashicorp/go-hclog"
)

// FuzzParseLevels: levels that are taken are levels, of components that are names.
func FuzzParseLevels(f *testing.F) {
	for _, seed := range []string{"info", "info,peering=debug", "=", "a=b=c", ",,,", "store.mirror = trace", "off"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseLevels(text, hclog.Info)
		if err != nil {
			return
		}
		if l.All == hclog.NoLevel || len(l.Component) > maxComponents {
			t.Errorf("%q is %v", text, l)
		}
		for name, level := range l.Component {
			if again, err := ParseLevels(name+"="+level.String(), hclog.Info); err != nil || again.Component[name] != level {
				t.Errorf("%s=%s came back as %v, %v", name, level, again, err)
			}
		}
	})
}
