package devices_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"banyan/devices"
	"banyan/model"
)

func TestAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/30": "10.0.0.1 10.0.0.2", "10.0.0.7/31": "10.0.0.6 10.0.0.7", "10.0.0.7/32": "10.0.0.7", "10.0.0.9": "10.0.0.9",
		"10.0.0.254 - 10.0.1.1": "10.0.0.254 10.0.0.255 10.0.1.0 10.0.1.1", "::1": "::1", "fd00::/126": "fd00:: fd00::1 fd00::2 fd00::3",
		"10.0.0.2, 10.0.0.0/30,fd00::1": "10.0.0.2 10.0.0.1 fd00::1",
	} {
		all, err := devices.Addresses(text)
		if got := strings.Trim(fmt.Sprint(all), "[]"); err != nil || got != want {
			t.Errorf("%s: %s, %v; expected %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "no subnet", "x": "no subnet", "10.0.0.0/33": "no subnet", "10.0.0.9-10.0.0.1": "no subnet", "10.0.0.1-::1": "no subnet", "10.0.0.1,": "no subnet",
		"10.0.0.0/19": "4096", "::/0": "no", "fd00::/64": "4096", "224.0.0.0/24": "single machine", "0.0.0.0": "single machine", "255.255.255.255": "single machine",
		"fe80::1%eth0": "single machine", "0.0.0.0/0": "4096", "10.0.0.1-10.0.16.1": "4096",
	} {
		if all, err := devices.Addresses(text); err == nil || model.KindOf(err) != model.KindInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %d addresses, %v; expected %q", text, len(all), err, want)
		}
	}
	if all, err := devices.Addresses("10.0.0.0/20"); err != nil || len(all) != 4094 {
		t.Errorf("a /20: %d addresses, %v", len(all), err)
	}
}

func FuzzAddresses(f *testing.F) {
	for _, seed := range []string{"10.0.0.0/24", "10.0.0.1-10.0.0.9", "::/0", "255.255.255.254-255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00/120", ",-/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := devices.Addresses(text)
		if err == nil && (len(all) == 0 && !strings.ContainsAny(text, "/-") || len(all) > devices.MaxAddresses) {
			t.Errorf("%q: %d addresses", text, len(all))
		}
	})
}

// finder is a driver that finds what the test says.
type finder struct {
	fake
	kind   string
	answer func(ctx context.Context, at netip.Addr, hints devices.Settings) (devices.Found, bool, error)

	asked, now, most atomic.Int64
}

func (f *finder) Kind() string { return f.kind }

func (f *finder) Discover(ctx context.Context, at netip.Addr, hints devices.Settings) (devices.Found, bool, error) {
	f.asked.Add(1)
	now := f.now.Add(1)
	defer f.now.Add(-1)
	for most := f.most.Load(); now > most && !f.most.CompareAndSwap(most, now); most = f.most.Load() {
	}
	return f.answer(ctx, at, hints)
}

func silentAddress(ctx context.Context, _ netip.Addr, _ devices.Settings) (devices.Found, bool, error) {
	<-ctx.Done()
	return devices.Found{}, false, nil
}

func sweepOf(finders ...*finder) *devices.Sweep {
	s := &devices.Sweep{Timeout: time.Second, Log: hclog.NewNullLogger(), Progress: func(int, int) {}}
	for _, f := range finders {
		s.Drivers = append(s.Drivers, f)
	}
	return s
}

func addresses(t *testing.T, text string) []netip.Addr {
	t.Helper()
	all, err := devices.Addresses(text)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestSweepIsBounded: a silent /20 takes its time, at no more than 250 questions a second and 128 addresses at once.
func TestSweepIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &finder{kind: "a", answer: silentAddress}
		s := sweepOf(f)
		var progress []int
		s.Progress = func(done, _ int) { progress = append(progress, done) }
		began := time.Now()
		all := addresses(t, "10.0.0.0/20")
		swept := s.Run(t.Context(), all)
		took := time.Since(began)
		if swept.Done != len(all) || len(progress) != len(all) || progress[len(progress)-1] != len(all) || len(swept.Found) != 0 {
			t.Errorf("%d of %d done, %d times told", swept.Done, len(all), len(progress))
		}
		if f.most.Load() != 128 || took < 30*time.Second || took > 40*time.Second {
			t.Errorf("%d at once, %s in all", f.most.Load(), took)
		}

		quick := &finder{kind: "b", answer: func(context.Context, netip.Addr, devices.Settings) (devices.Found, bool, error) {
			return devices.Found{}, false, nil
		}}
		began = time.Now()
		sweepOf(quick).Run(t.Context(), all)
		if took := time.Since(began); took < 16*time.Second || took > 18*time.Second {
			t.Errorf("4094 quick answers took %s: more than 250 questions a second, or much less", took)
		}
	})
}

func TestSweepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &finder{kind: "a", answer: func(ctx context.Context, at netip.Addr, hints devices.Settings) (devices.Found, bool, error) {
			if at.As4()[3] == 1 {
				return devices.Found{Name: " sw\x1b[2J\n1 ", Description: strings.Repeat("x", 500)}, true, nil
			}
			return silentAddress(ctx, at, hints)
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		began := time.Now()
		swept := sweepOf(f).Run(ctx, addresses(t, "10.0.0.0/20"))
		if took := time.Since(began); took > 2800*time.Millisecond {
			t.Errorf("it took %s", took)
		}
		if swept.Done < 200 || swept.Done > 400 || len(swept.Found) != 2 {
			t.Errorf("%d done, found %v", swept.Done, swept.Found)
		}
		if found := swept.Found[0]; found.At.String() != "10.0.0.1" || found.Kind != "a" || found.Name != "sw [2J 1" || len(found.Description) != 200 {
			t.Errorf("found %+v", found)
		}
	})
}

// TestSweepSurvivesDrivers that panic, fail, and hang.
func TestSweepSurvivesDrivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var mu sync.Mutex
		given := ""
		hangs := &finder{kind: "hangs", answer: func(context.Context, netip.Addr, devices.Settings) (devices.Found, bool, error) {
			<-release
			return devices.Found{}, true, nil
		}}
		panics := &finder{kind: "panics", answer: func(context.Context, netip.Addr, devices.Settings) (devices.Found, bool, error) { panic("ouch") }}
		fails := &finder{kind: "fails", answer: func(_ context.Context, _ netip.Addr, hints devices.Settings) (devices.Found, bool, error) {
			mu.Lock()
			defer mu.Unlock()
			given = hints["community"].Text()
			return devices.Found{}, false, devices.BadSetting("community", "it is too short")
		}}
		s := sweepOf(hangs, panics, fails)
		s.Hints = map[string]devices.Settings{"fails": {"community": model.String("hush")}, "panics": {"community": model.String("other")}}
		swept := s.Run(t.Context(), addresses(t, "10.0.0.1,10.0.0.2"))
		if swept.Done != 2 || len(swept.Found) != 0 || given != "hush" {
			t.Errorf("%+v; hint %q", swept, given)
		}
		text := strings.Join(swept.Problems, "; ")
		if len(swept.Problems) != 2 || !strings.Contains(text, "fails: community: it is too short") || !strings.Contains(text, "unforeseen") || strings.Contains(text, "hush") {
			t.Errorf("problems: %s", text)
		}
		close(release)
	})
}
