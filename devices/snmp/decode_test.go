package snmp

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"banyan/model"
	"banyan/profiles"
)

func TestOIDs(t *testing.T) {
	for text, want := range map[string]oid{
		"1.3.6.1": ".1.3.6.1", ".1.3": ".1.3", "2.100.4294967295": ".2.100.4294967295", "0.39": ".0.39",
		"": "", "1": "", "3.1": "", "1.40": "", "1.3.": "", "1..3": "", "1.3.4294967296": "", "1.3.06": "", "1.3.-1": "", "iso.3": "", "1.3 ": "",
		"1.3" + strings.Repeat(".1", 127): "",
	} {
		got, err := parseOID(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q became %q, %v", text, got, err)
		}
	}
	ordered := []oid{".1.3", ".1.3.0", ".1.3.6", ".1.3.6.1", ".1.3.6.2", ".1.3.6.10", ".1.3.6.4294967295", ".1.3.7", ".2.1"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := a.compare(b); got != sign(i-j) {
				t.Errorf("%s to %s is %d", a, b, got)
			}
		}
	}
	if index, ok := oid(".1.3.60.1").below(".1.3.6"); ok {
		t.Errorf("a longer number counts as below: %q", index)
	}
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

func TestIndexes(t *testing.T) {
	parts := func(kinds ...string) (list []indexPart) {
		for _, kind := range kinds {
			list = append(list, indexPart{name: kind, kind: kind})
		}
		return list
	}
	for _, c := range []struct {
		index string
		parts []indexPart
		want  string // parts with | between them; empty for an error
	}{
		{"7", parts("integer"), "7"}, {"7.4294967295", parts("integer", "integer"), "7|4294967295"}, {"7", parts("integer", "integer"), ""}, {"7.8", parts("integer"), ""},
		{"3.97.98.99", parts("string"), "abc"}, {"3.97.98.99.5", parts("string", "integer"), "abc|5"}, {"0", parts("string"), ""}, {"4.97.98.99", parts("string"), ""},
		{"4294967295.97", parts("string"), ""}, {"1.256", parts("string"), ""}, {"5.97.98", parts("integer", "implied"), "5|ab"}, {"2.0.1", parts("string"), "0001"},
		{"192.0.2.1", parts("ip"), "192.0.2.1"}, {"192.0.2", parts("ip"), ""}, {"192.0.2.300", parts("ip"), ""},
		{"100.0.27.44.0.0.1", parts("integer", "mac"), "100|00:1b:2c:00:00:01"}, {"1.4.10.0.0.1.9", parts("inet", "integer"), "10.0.0.1|9"},
		{"2.16.32.1.13.184.0.0.0.0.0.0.0.0.0.0.0.1", parts("inet"), "2001:db8::1"}, {"16.3.97.98.99", parts("inet"), "abc"}, {"3.1.3.6.9", parts("oid", "integer"), "1.3.6|9"},
		{"9.1.2.3", parts("integer", "rest"), "9|1.2.3"}, {"", parts("integer"), ""}, {"2", parts("inet"), ""},
	} {
		values, err := decodeIndex(c.parts, c.index)
		var texts, pieces []string
		for _, v := range values {
			texts, pieces = append(texts, v.value.plain()), append(pieces, v.arcs)
		}
		if got := strings.Join(texts, "|"); err == nil && got != c.want && !(c.index == "0" && got == "") || err != nil && c.want != "" {
			t.Errorf("%s by %v became %q, %v, expected %q", c.index, c.parts, got, err, c.want)
		}
		if joined := strings.Join(pieces, "."); err == nil && joined != c.index {
			t.Errorf("the pieces of %s are %s", c.index, joined)
		}
	}
}

func FuzzIndex(f *testing.F) {
	f.Add("3.97.98.99.5", "string integer")
	f.Add("2.16.32.1.13.184.0.0.0.0.0.0.0.0.0.0.0.1", "inet")
	f.Add("4294967295.1.2", "oid rest")
	f.Fuzz(func(t *testing.T, index, kinds string) {
		var parts []indexPart
		for kind := range strings.FieldsSeq(kinds) {
			parts = append(parts, indexPart{name: kind, kind: kind})
		}
		if _, err := parseOID("1.3." + index); err != nil || len(parts) > 8 {
			return
		}
		values, err := decodeIndex(parts, index)
		if err != nil {
			return
		}
		var pieces []string
		for _, v := range values {
			if v.arcs != "" {
				pieces = append(pieces, v.arcs)
			}
		}
		if joined := strings.Join(pieces, "."); joined != index {
			t.Fatalf("the pieces of %s by %s are %s", index, kinds, joined)
		}
	})
}

func TestOctets(t *testing.T) {
	for _, c := range []struct {
		raw, as, want string
		bad           bool
	}{
		{"plain", asAuto, "plain", false}, {"plain\x00\x00", asAuto, "plain", false}, {"\x00\x1b", asAuto, "001b", false}, {"caf\xe9", asAuto, "636166e9", false}, {"", asAuto, "", false},
		{"caf\xe9", asText, "café", false}, {"a\x1b[31mb", asText, "a [31mb", false}, {"two\nlines", asText, "two\nlines", false}, {"\xff", asHex, "ff", false},
		{"\x00\x1b\x2c\x00\x00\x01", asMAC, "00:1b:2c:00:00:01", false}, {"00:1B:2C:00:00:01", asMAC, "00:1b:2c:00:00:01", false}, {"", asMAC, "", false}, {strings.Repeat("x", 33), asMAC, "", true},
		{"\x0a\x00\x00\x01", asIP, "10.0.0.1", false}, {"\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01", asIP, "2001:db8::1", false}, {"\xfe\x80" + strings.Repeat("\x00", 13) + "\x01\x00\x00\x00\x02", asIP, "fe80::1%2", false},
		{"abc", asIP, "", true}, {"\xc0\x01", asBits, "0 1 15", false}, {"", asBits, "", false}, {"\x00", asBits, "", false},
	} {
		got, ok := show(c.raw, c.as)
		if ok == c.bad || ok && got != c.want {
			t.Errorf("%q as %q is %q, %v, expected %q", c.raw, c.as, got, ok, c.want)
		}
	}
}

func TestDateAndTime(t *testing.T) {
	for raw, want := range map[string]string{
		"\x07\xda\x0a\x19\x16\x0f\x0b\x00\x2b\x04\x00": "2010-10-25T18:15:11Z", "\x07\xda\x0a\x19\x16\x0f\x0b\x05": "2010-10-25T22:15:11.5Z",
		"\x07\xe8\x02\x1d\x00\x00\x3c\x00\x2d\x0d\x1e": "2024-02-29T13:30:59Z",
		"\x07\xe7\x02\x1d\x00\x00\x00\x00":             "", "\x00\x00\x01\x01\x00\x00\x00\x00": "", "\x07\xe7\x0d\x01\x00\x00\x00\x00": "", "short": "", "": "",
		"\x07\xe7\x01\x01\x00\x00\x00\x00\x2a\x00\x00": "", "\x07\xe7\x01\x01\x18\x00\x00\x00": "",
	} {
		at, ok := dateAndTime(raw)
		if ok != (want != "") {
			t.Errorf("%q is a time: %v", raw, ok)
			continue
		}
		if ok {
			if expected, err := time.Parse(time.RFC3339, want); err != nil || !at.Std().Equal(expected) {
				t.Errorf("%q is %s, expected %s", raw, at, want)
			}
		}
	}
}

// FuzzOctets: whatever a device sends, what is shown is text that a terminal can bear, and short.
func FuzzOctets(f *testing.F) {
	f.Add("\x07\xda\x0a\x19\x16\x0f\x0b\x00\x2b\x04\x00")
	f.Add("caf\xe9\x1b[31m\x00")
	f.Fuzz(func(t *testing.T, raw string) {
		for _, as := range append(formats, asAuto) {
			text, ok := show(raw, as)
			if ok && (!isText(text) || len(text) > 40*len(raw)+40) {
				t.Fatalf("%q as %s is shown as %q", raw, as, text)
			}
		}
		if at, ok := dateAndTime(raw); ok && (at.Std().Year() < -1 || at.Std().Year() > 65536) {
			t.Fatalf("%q is %s", raw, at)
		}
	})
}

// FuzzConvert: each answer becomes a value of the declared type, or none with a reason.
func FuzzConvert(f *testing.F) {
	f.Add(byte(4), uint64(5), "text", byte(2))
	f.Add(byte(6), uint64(math.MaxUint64), " 1e400 ", byte(3))
	f.Fuzz(func(t *testing.T, kind byte, n uint64, raw string, typ byte) {
		r := reading{form: form(kind) % (broken + 1), number: n, text: raw}
		declared := &profiles.Point{Name: "x", Type: model.Type(typ%7 + 1), Scale: 1}
		if n%3 == 0 {
			declared.Scale, declared.Offset = 0.1, -3
		}
		if n%5 == 0 && declared.Type == model.TypeString {
			declared.Values = map[int64]string{5: "five"}
		}
		p := &point{object: &object{on: 1, times: -1, percentOf: -1}, declared: declared}
		v, q := p.convert(r)
		if v.IsNone() != (q.Level == model.Bad) || !v.IsNone() && v.Type() != declared.Type {
			t.Fatalf("%+v as %s became %s, %s", r, declared.Type, v, q)
		}
		_ = r.plain()
	})
}

// FuzzAnswer gives a session whatever comes in a datagram.
func FuzzAnswer(f *testing.F) {
	packet := &gosnmp.SnmpPacket{Version: gosnmp.Version2c, Community: "public", PDUType: gosnmp.GetResponse, RequestID: 5, Variables: system("fuzzed", "1.3.6.1.4.1.5", 7)}
	raw, err := packet.MarshalMsg()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:40])
	f.Fuzz(func(t *testing.T, raw []byte) {
		decoder := &gosnmp.GoSNMP{Version: gosnmp.Version2c}
		answer, err := decoder.SnmpDecodePacket(raw)
		if err != nil {
			return
		}
		for i := range answer.Variables {
			r := read(&answer.Variables[i])
			_, _ = r.plain(), r.typeName()
		}
		to := make([]reading, 2)
		_ = assign([]oid{oidDescr, oidName}, answer.Variables, to)
		all := &everything{roots: []oid{".1.3"}, objects: map[oid]reading{}}
		advance([]cursor{{root: ".1.3", last: ".1.3"}}, answer.Variables, all)
	})
}
