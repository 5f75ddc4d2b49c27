package pki

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"strings"
	"unicode"

	"banyan/model"
)

// A verdict is the one message that each end sends right after the TLS handshake: accepted, or refused and why. On the wire it is
// a length of 4 bytes, big-endian, and as many bytes of JSON. Fields that are not known are skipped.
type verdict struct {
	OK       bool            `json:"ok"`
	Refusal  string          `json:"refusal,omitempty"`
	Kind     model.ErrorKind `json:"kind,omitempty"`
	Incident string          `json:"incident,omitempty"`
	Detail   string          `json:"detail,omitempty"` // for a known peer only
}

const (
	maxVerdictBytes = 4 << 10
	maxDetailBytes  = 600 // JSON makes up to six bytes of one
	maxWordBytes    = 32
)

func writeVerdict(w io.Writer, v verdict) error {
	v.Detail = Printable(v.Detail, maxDetailBytes)
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	return err
}

// readVerdict reads what the other end sent. Its texts come out harmless: of limited length and without control characters.
func readVerdict(r io.Reader) (verdict, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return verdict{}, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxVerdictBytes {
		return verdict{}, model.Errorf(model.KindInvalid, "the other end's verdict has %d bytes, at most %d are allowed: it speaks another protocol",
			size, maxVerdictBytes)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return verdict{}, err
	}
	var v verdict
	if err := json.Unmarshal(body, &v); err != nil {
		return verdict{}, model.Errorf(model.KindInvalid, "the other end's verdict cannot be read: it speaks another protocol")
	}
	v.Refusal, v.Incident = Printable(v.Refusal, maxWordBytes), Printable(v.Incident, maxWordBytes)
	v.Detail = Printable(v.Detail, maxDetailBytes)
	if v.Kind == model.KindInternal || v.Kind > model.KindUnknownFate {
		v.Kind = model.KindUnauthenticated
	}
	return v, nil
}

// told is the error at the end that is refused, in words that make clear whose they are.
func (v verdict) told(by string) error {
	reason := refusalNamed(v.Refusal)
	err := &model.Error{Kind: v.Kind, Remedy: refusals[reason].foreign, Err: refusalCause{reason}}
	switch {
	case v.Detail != "":
		err.Detail = by + " refused this connection: " + v.Detail
	case v.Incident != "":
		err.Detail = by + " refused this connection as " + v.Kind.String() + ", incident " + v.Incident
		err.Remedy = "the log of the other node says why, under this incident number; a node that it does not know needs an invitation, and one that it does not know any more one of `banyan invite --again LINK`"
	default:
		err.Detail = by + " refused this connection without a reason"
	}
	return err
}

// Printable makes foreign text harmless in logs and terminals: at most size bytes of valid UTF-8, unprintable characters replaced.
func Printable(text string, size int) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text[:min(len(text), size)], "?"))
	return text
}
