package graphs

import (
	"bytes"
	"fmt"

	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
)

// inspect holds a frame of the provider against what may go over the link in this moment.
func (l *link) inspect(raw []byte) {
	for _, token := range tokensIn(raw) {
		if !l.mayCarry(token) {
			l.leaks(raw, "the bytes %s", token)
		}
	}
	if encoded, _, _, some := (&proto.RawFrame{Bytes: raw}).LiveSamples(); some {
		l.inspectSamples(raw, encoded)
		return
	}
	frame := &linkv1.ProviderFrame{}
	if err := proto.Unmarshal(raw, frame); err != nil {
		l.world.fail("%v", err)
	}
	switch body := frame.GetBody().(type) {
	case *linkv1.ProviderFrame_Schema:
		l.world.told++
	case *linkv1.ProviderFrame_Delta:
		l.inspectDelta(raw, body.Delta)
	case *linkv1.ProviderFrame_Bindings:
		l.world.told++
		for _, p := range body.Bindings.GetPaths() {
			l.inspectPath(raw, p.GetPath())
		}
	case *linkv1.ProviderFrame_Overlays:
		l.world.told++
		for _, s := range body.Overlays.GetStale() {
			l.inspectStale(raw, s.GetPath())
		}
	}
}

func (l *link) leaks(raw []byte, format string, args ...any) {
	l.world.t.Helper()
	l.world.fail("%s carries %s, which the consumer is not entitled to: %v", l, fmt.Sprintf(format, args...), readable(raw))
}

// tokensIn are all tokens in a frame.
func tokensIn(raw []byte) (tokens []string) {
	const length = len("tk000000")
	for from := 0; ; {
		at := bytes.Index(raw[from:], []byte("tk"))
		if at < 0 || from+at+length > len(raw) {
			return tokens
		}
		from += at
		if token := raw[from : from+length]; isDigits(token[2:]) {
			tokens = append(tokens, string(token))
		}
		from += 2
	}
}

func isDigits(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// mayCarry reports whether the bytes of a token may go over the link.
func (l *link) mayCarry(token string) bool {
	n := l.world.net
	switch token[2] {
	case '9':
		return n.mayTell(l.edge, "kind "+token) || n.mayTell(l.edge, "entry "+token)
	case '8':
		_, had := n.may[l.edge.consumer].ever[token] // it may be told what goes
		return had || token == l.provider.hop.Name || token == l.consumer.hop.Name || n.everShown(l.edge, token)
	default:
		return n.mayTell(l.edge, token)
	}
}

func (l *link) inspectSamples(raw, encoded []byte) {
	var columns proto.Samples
	if err := columns.Decode(encoded); err != nil {
		l.world.fail("%v", err)
	}
	if len(columns.Keys) > 0 {
		l.world.told++
	}
	for _, bits := range columns.Bits {
		if bits >= firstNumber && !l.world.net.mayTell(l.edge, numberToken(int64(bits))) {
			l.leaks(raw, "the value %d", bits)
		}
	}
	for _, boxed := range columns.Boxed {
		l.inspectValue(raw, boxed.Value)
	}
}

func (l *link) inspectDelta(raw []byte, delta *linkv1.Delta) {
	if len(delta.GetDefinitions())+len(delta.GetRemovals()) > 0 {
		l.world.told++
	}
	n, root, mount := l.world.net, l.edge.grant.root, l.edge.mount
	for _, d := range delta.GetDefinitions() {
		if !n.mayTell(l.edge, idKey(d.GetNumber(), under(root, d.GetPath()))) {
			l.leaks(raw, "the context %d at %s", d.GetNumber(), d.GetPath())
		}
		for _, s := range d.GetSettings() {
			value, err := proto.ToValue(s.GetValue())
			if err != nil {
				l.world.fail("%v", err)
			}
			l.inspectValue(raw, value)
		}
	}
	for _, r := range delta.GetRemovals() {
		_, had := n.may[l.edge.consumer].ever[idKey(r.GetNumber(), under(mount, r.GetPath()))]
		if !had && !n.everShown(l.edge, idKey(r.GetNumber(), under(root, r.GetPath()))) {
			l.leaks(raw, "the removal of context %d at %s", r.GetNumber(), r.GetPath())
		}
	}
}

// inspectValue holds references against the grant: what one names must be shown, or would be if it were there.
func (l *link) inspectValue(raw []byte, v model.Value) {
	switch v.Type() {
	case model.TypeRef:
		to, inside := v.Ref()
		if !inside {
			return
		}
		l.inspectPath(raw, to.Path.String())
		if at := under(l.edge.grant.root, to.Path.String()); to.Name != "" && !l.world.net.everShown(l.edge, at+":"+to.Name) {
			l.leaks(raw, "a reference to %s", to)
		}
	case model.TypeTable:
		for _, row := range v.Table().Rows {
			for _, cell := range row {
				l.inspectValue(raw, cell)
			}
		}
	}
}

func (l *link) inspectPath(raw []byte, path string) {
	if !l.edge.grant.showsPath(under(l.edge.grant.root, path)) {
		l.leaks(raw, "the path %s", path)
	}
}

// inspectStale holds a path that is stale against the grant: something below it must be shown.
func (l *link) inspectStale(raw []byte, path string) {
	at := under(l.edge.grant.root, path)
	for f := range l.world.net.may[l.edge.provider].all {
		if _, inside := below(at, f.path); inside && l.edge.grant.shows(&f) {
			return
		}
	}
	l.leaks(raw, "that %s is stale", path)
}

// inspectUp holds a frame of the consumer against what its provider can know: a consumer tells only what it was told.
func (l *link) inspectUp(raw []byte) {
	for _, token := range tokensIn(raw) {
		known := l.world.net.may[l.edge.provider].ever[token]
		if len(known) == 0 && token != l.provider.hop.Name && token != l.consumer.hop.Name {
			l.world.fail("%s: the consumer tells %s, which is none of what the provider can know", l, token)
		}
	}
}
