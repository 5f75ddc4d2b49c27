package pki

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/model"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
)

func newTestToken(t testing.TB) Token {
	t.Helper()
	token, err := NewToken(Token{Addresses: []string{"hq.example:7443", "[::1]:7443"}, Node: model.NodeID{1, 2, 3}, Inviter: RoleConsumer, JoinDials: true}, testNow)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTokenRoundTrip(t *testing.T) {
	token := newTestToken(t)
	text := token.Reveal()
	// As mail programs and people make it.
	for _, pasted := range []string{text, "  " + text + "\r\n", text[:70] + "\n   " + text[70:]} {
		got, err := ParseToken(pasted)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(token, got, cmp.Comparer(func(a, b Secret) bool { return bytes.Equal(a.Reveal(), b.Reveal()) })); diff != "" {
			t.Error(diff)
		}
	}
	if !token.Expires.Equal(testNow.Add(15 * time.Minute)) {
		t.Errorf("expires %s", token.Expires)
	}
	if err := token.CheckExpiry(token.Expires.Add(-1)); err != nil {
		t.Error(err)
	}
	if r, _ := RefusalOf(token.CheckExpiry(token.Expires)); r != InvitationExpired {
		t.Error("valid at its expiry")
	}
	hash := token.Secret.Hash()
	wrong := token.Secret.Reveal()
	wrong[15] ^= 1
	if !hash.Matches(token.Secret.Reveal()) || hash.Matches(wrong) || hash.Matches(nil) || hash.Matches(wrong[:15]) {
		t.Error("the hash takes the wrong secret, or refuses the right one")
	}
	if other := newTestToken(t); other.Secret.Hash() == hash {
		t.Error("two invitations have one secret")
	}
}

func TestTokenErrors(t *testing.T) {
	text := newTestToken(t).Reveal()
	for n := range len(text) { // cut anywhere
		if _, err := ParseToken(text[:n]); err == nil || !strings.Contains(err.Error(), "cut off") {
			t.Errorf("cut after %d: %v", n, err)
		}
	}
	for n := len(tokenPrefix) + 4; n < len(text); n++ { // one character altered; the first four hold the length
		swapped := byte('A')
		if text[n] == 'A' {
			swapped = 'B'
		}
		if _, err := ParseToken(text[:n] + string(swapped) + text[n+1:]); err == nil || !strings.Contains(err.Error(), "altered") {
			t.Errorf("altered at %d: %v", n, err)
		}
	}
	for in, want := range map[string]string{
		"":                                  "cut off",
		"eyJhbGciOiJIUzI1NiJ9":              "is not a token",
		strings.ToUpper(text):               "is not a token",
		"banyan2." + text[8:]:               "version",
		text + "AAAA":                       "something follows",
		text[:40] + "\u2026" + text[41:]:    "a character that no token has",
		strings.Repeat("a", maxTokenText+1): "too long",
	} {
		_, err := ParseToken(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %s", in, err, want)
		}
		if err != nil && len(in) > 60 && strings.Contains(err.Error(), in[20:60]) {
			t.Errorf("the error shows the token: %v", err)
		}
	}
	for name, spoil := range map[string]func(*Token){
		"no address": func(t *Token) { t.Addresses = nil }, "nine addresses": func(t *Token) { t.Addresses = slices.Repeat([]string{"a:1"}, 9) },
		"no port": func(t *Token) { t.Addresses = []string{"hq"} }, "port 0": func(t *Token) { t.Addresses = []string{"hq:0"} },
		"no host": func(t *Token) { t.Addresses = []string{":7443"} }, "no node": func(t *Token) { t.Node = model.NodeID{} },
		"no role": func(t *Token) { t.Inviter = RoleNone }, "past": func(t *Token) { t.Expires = testNow },
		"too long": func(t *Token) { t.Expires = testNow.Add(MaxTokenLifetime + time.Hour) },
	} {
		token := newTestToken(t)
		spoil(&token)
		if _, err := NewToken(token, testNow); model.KindOf(err) != model.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTokenStaysHidden prints a token in every way that is to hand, also from where its methods cannot be called.
func TestTokenStaysHidden(t *testing.T) {
	token := newTestToken(t)
	type holder struct {
		Open   any
		hidden Token
		secret Secret
	}
	held := holder{token, token, token.Secret}
	var out bytes.Buffer
	for _, v := range []any{token, &token, token.Secret, &token.Secret, held, &held, []Token{token}, map[string]any{"t": token}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		text, _ := json.Marshal(v)
		out.Write(text)
		for _, asJSON := range []bool{false, true} {
			logger := hclog.New(&hclog.LoggerOptions{Output: &out, JSONFormat: asJSON})
			logger.Info("joined", "token", v, "with", hclog.Fmt("%v", v))
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("joined", "token", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("joined", "token", v)
	}
	fmt.Fprintf(&out, "%v %v", held.hidden, held.secret)
	secret := token.Secret.Reveal()
	for _, canary := range []string{
		hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)), base64.StdEncoding.EncodeToString(secret), string(secret),
		fmt.Sprint(secret), strings.Trim(fmt.Sprintf("%#v", secret), "[]byte{}"), token.Reveal()[60:],
	} {
		if strings.Contains(out.String(), canary) {
			at := strings.Index(out.String(), canary)
			t.Errorf("the secret shows as %q: %s", canary, out.String()[max(0, at-200):at+100])
		}
	}
	if !strings.Contains(out.String(), redacted) || !strings.Contains(out.String(), "hq.example") {
		t.Error("nothing was printed")
	}
}

func FuzzToken(f *testing.F) {
	f.Add(newTestToken(f).Reveal())
	f.Add("banyan1.AAA")
	f.Add("banyan2.x")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			return
		}
		again, err := ParseToken(token.Reveal())
		if err != nil || again.String() != token.String() || !bytes.Equal(again.Secret.Reveal(), token.Secret.Reveal()) {
			t.Errorf("%v, then %v, %v", token, again, err)
		}
	})
}

func TestSeal(t *testing.T) {
	dir := t.TempDir()
	if _, err := CreateSealer(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateSealer(dir); model.KindOf(err) != model.KindExists {
		t.Error("a second key replaces the first: ", err)
	}
	s, err := LoadSealer(dir)
	if err != nil {
		t.Fatal(err)
	}
	context := model.ContextID{Node: model.NodeID{1}, Epoch: model.Epoch{Ordinal: 2, Random: 3}, Number: 4}
	for _, plain := range []string{"", "community", strings.Repeat("x", model.MaxValueBytes)} {
		sealed := s.Seal([]byte(plain), context, "community")
		if got, err := s.Open(sealed, context, "community"); err != nil || string(got) != plain {
			t.Fatal(err)
		}
		if plain != "" && bytes.Contains(sealed, []byte(plain)) {
			t.Error("not encrypted")
		}
		moved := context
		moved.Number++
		if _, err := s.Open(sealed, moved, "community"); model.KindOf(err) != model.KindCorrupt {
			t.Error("opened for another context")
		}
		if _, err := s.Open(sealed, context, "community2"); err == nil {
			t.Error("opened for another setting")
		}
		for _, i := range []int{0, 1, 24, 25, len(sealed) - 1} {
			bad := bytes.Clone(sealed)
			bad[i] ^= 1
			if _, err := s.Open(bad, context, "community"); err == nil {
				t.Errorf("opened with byte %d flipped", i)
			}
			if _, err := s.Open(sealed[:i], context, "community"); err == nil {
				t.Errorf("opened when cut to %d", i)
			}
		}
	}
	other, _ := CreateSealer(t.TempDir())
	if _, err := other.Open(s.Seal([]byte("a"), context, "x"), context, "x"); err == nil {
		t.Error("opened with another key")
	}
}

func TestSuccession(t *testing.T) {
	a, b, next := newAuthority(t, "hq"), newAuthority(t, "berlin"), newAuthority(t, "next")
	document, err := a.Succeed(next.Root(), testNow)
	if err != nil {
		t.Fatal(err)
	}
	pins := pin(a, b)
	s, err := VerifySuccession(document, a.ID(), pins[a.ID()], testNow)
	if err != nil || s.Node != a.ID() || !s.Root.Equal(next.Root()) || !s.NotBefore.Equal(testNow) {
		t.Fatal(s, err)
	}
	refused := func(name string, want Refusal, document []byte, node model.NodeID, at time.Time) {
		t.Helper()
		if _, err := VerifySuccession(document, node, pins[node], at); err == nil {
			t.Errorf("%s: accepted", name)
		} else if r, _ := RefusalOf(err); r != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	foreign := impersonate(t, a)
	forged, _ := foreign.Succeed(next.Root(), testNow)
	refused("signed by another node", WrongFingerprint, forged, a.ID(), testNow)
	pins[b.ID()] = append(pins[b.ID()], a.Root())
	refused("for another node", WrongFingerprint, document, b.ID(), testNow)
	refused("too early", NotYetValid, document, a.ID(), testNow.Add(-time.Second))
	refused("signed by a root that has expired", WrongFingerprint, document, a.ID(), testNow.Add(RootLifetime+time.Hour))
	for i := range document {
		bad := bytes.Clone(document)
		bad[i] ^= 1
		if _, err := VerifySuccession(bad, a.ID(), pins[a.ID()], testNow); err == nil {
			t.Fatalf("accepted with byte %d flipped", i)
		}
		if _, err := VerifySuccession(document[:i], a.ID(), pins[a.ID()], testNow); err == nil {
			t.Fatalf("accepted when cut to %d", i)
		}
	}
	if _, err := a.Succeed(show(t, a, Identity{Class: ClassLink}, testNow)().Leaf, testNow); err == nil {
		t.Error("a leaf may succeed a root")
	}
}

func FuzzSuccession(f *testing.F) {
	a := newAuthority(f, "hq")
	document, _ := a.Succeed(newAuthority(f, "next").Root(), testNow)
	_, size, _ := parseSuccession(document)
	signed := document[:size]
	f.Add(document)
	f.Add([]byte(successionMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := VerifySuccession(data, a.ID(), pin(a)[a.ID()], testNow); err == nil && !bytes.HasPrefix(data, signed) {
			t.Error("a forgery was accepted")
		}
	})
}
