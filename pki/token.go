package pki

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode"

	"banyan/model"
)

// Limits of an invitation.
const (
	TokenLifetime    = 15 * time.Minute
	MaxTokenLifetime = 30 * 24 * time.Hour
	MaxAddresses     = 8
	maxAddressBytes  = 255
	maxTokenText     = 4 << 10
	maxSeconds       = 1 << 38 // of any time in a document: the year 10680
)

// Token is what a joiner must know of an invitation. What else was agreed (the link's name, what is granted) stays with the inviter. Like its
// Secret, it shows nothing secret however it is printed or logged; Reveal gives the text that people pass on.
type Token struct {
	Addresses []string     // where the inviter can be reached, host:port, 1 to MaxAddresses
	Node      model.NodeID // the inviter: the fingerprint that its root must have
	Secret    Secret
	Expires   time.Time // whole seconds
	Inviter   Role      // the inviter's part in the link
	JoinDials bool      // the joiner opens the link's connections, not the inviter
	// Recovery says that it is no invitation: it hands out the backup that the node keeps for another one. Inviter is then its part in their link.
	Recovery bool
	// Again says that it renews a link that is there: each end pins the other's root anew, and nothing else changes.
	Again bool
}

// NewToken makes an invitation with a fresh secret. A zero expiry is TokenLifetime from now.
func NewToken(t Token, now time.Time) (Token, error) {
	if t.Expires.IsZero() {
		t.Expires = now.Add(TokenLifetime)
	}
	t.Expires = t.Expires.UTC().Truncate(time.Second)
	t.Secret = newSecret()
	if life := t.Expires.Sub(now); life <= 0 || life > MaxTokenLifetime {
		return Token{}, model.Errorf(model.KindInvalid, "an invitation cannot be valid for %s: at most %s, and more than nothing", life, MaxTokenLifetime)
	}
	if err := t.check(); err != nil {
		return Token{}, err
	}
	return t, nil
}

func (t Token) check() error {
	if len(t.Addresses) == 0 || len(t.Addresses) > MaxAddresses {
		return model.Errorf(model.KindInvalid, "an invitation has 1 to %d addresses, not %d", MaxAddresses, len(t.Addresses))
	}
	for _, address := range t.Addresses {
		host, port, err := net.SplitHostPort(address)
		number, errPort := strconv.ParseUint(port, 10, 16)
		if err != nil || errPort != nil || number == 0 || len(address) > maxAddressBytes || CheckHost(host) != nil {
			return model.Errorf(model.KindInvalid, "%s is not an address: it is written host:port", quoted(address))
		}
	}
	if t.Node.IsZero() || t.Inviter != RoleConsumer && t.Inviter != RoleProvider || t.Secret.bytes == nil {
		return model.Errorf(model.KindInvalid, "an invitation names its node, a role and a secret")
	}
	return nil
}

// The text is the prefix and, in base64url: the length of all that follows it (2 bytes), flags, expiry in seconds (8), node (32), secret (16), the number
// of addresses, each with its length before it, and the first 4 bytes of the SHA-256 of everything so far. The checksum is for slips of
// hands, not against forgers: who changes a token only keeps himself from joining.
const (
	tokenPrefix   = "banyan1."
	tokenFixed    = 2 + 1 + 8 + 32 + SecretBytes + 1
	tokenChecksum = 4

	flagProvider  = 1
	flagJoinDials = 2
	flagRecovery  = 4
	flagAgain     = 8
)

// Reveal is the text to hand to the joiner, with the secret in it.
func (t Token) Reveal() string {
	raw := make([]byte, 2, 256)
	var flags byte
	if t.Inviter == RoleProvider {
		flags |= flagProvider
	}
	if t.JoinDials {
		flags |= flagJoinDials
	}
	if t.Recovery {
		flags |= flagRecovery
	}
	if t.Again {
		flags |= flagAgain
	}
	raw = append(raw, flags)
	raw = binary.BigEndian.AppendUint64(raw, uint64(t.Expires.Unix()))
	raw = append(raw, t.Node[:]...)
	raw = append(raw, t.Secret.Reveal()...)
	raw = append(raw, byte(len(t.Addresses)))
	for _, address := range t.Addresses {
		raw = append(append(raw, byte(len(address))), address...)
	}
	binary.BigEndian.PutUint16(raw, uint16(len(raw)-2+tokenChecksum))
	sum := sha256.Sum256(raw)
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(append(raw, sum[:tokenChecksum]...))
}

// ParseToken reads the text of an invitation as people paste it: white space around and within it, as mail programs make it, does not
// matter. Errors say what is wrong with it and never show it.
func ParseToken(text string) (Token, error) {
	if len(text) > maxTokenText {
		return Token{}, badToken("this is too long for a token")
	}
	text = strings.Join(strings.FieldsFunc(text, unicode.IsSpace), "")
	encoded, ok := strings.CutPrefix(text, tokenPrefix)
	switch {
	case !ok && isOtherVersion(text):
		return Token{}, &model.Error{Kind: model.KindUnsupported, Op: "join", Detail: "the token is of a version that this program does not know",
			Remedy: "bring both nodes to the same version, and make a new invitation"}
	case !ok && (text == "" || strings.HasPrefix(tokenPrefix, text)):
		return Token{}, badToken("the token is cut off: nothing follows its beginning")
	case !ok:
		return Token{}, badToken("this is not a token: one begins with " + tokenPrefix)
	}
	if strings.Trim(encoded, base64Characters) != "" {
		return Token{}, badToken("the token was altered: it has a character that no token has")
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil { // what can be decoded tells whether a part is missing
		raw, _ = base64.RawURLEncoding.DecodeString(encoded)
	}
	if len(raw) < 2 || len(raw)-2 < int(binary.BigEndian.Uint16(raw)) {
		return Token{}, badToken("the token is cut off: a part of it is missing")
	}
	if len(raw)-2 > int(binary.BigEndian.Uint16(raw)) {
		return Token{}, badToken("the token was altered: something follows its end")
	}
	body, sum := raw[:max(0, len(raw)-tokenChecksum)], sha256.Sum256(raw[:max(0, len(raw)-tokenChecksum)])
	if err != nil || string(raw[len(body):]) != string(sum[:tokenChecksum]) {
		return Token{}, badToken("the token was altered: its checksum does not match")
	}
	return parseBody(body)
}

const base64Characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func isOtherVersion(text string) bool {
	version, ok := strings.CutPrefix(text, "banyan")
	version, _, dotted := strings.Cut(version, ".")
	_, err := strconv.ParseUint(version, 10, 16)
	return ok && dotted && err == nil
}

func badToken(detail string) error {
	return &model.Error{Kind: model.KindInvalid, Op: "join", Detail: detail, Remedy: "copy the whole token once more, or ask for a new invitation"}
}

// parseBody reads what the checksum vouches for. What fails here was never made by NewToken.
func parseBody(body []byte) (Token, error) {
	malformed := badToken("the token is malformed")
	if len(body) < tokenFixed {
		return Token{}, malformed
	}
	flags, seconds := body[2], int64(binary.BigEndian.Uint64(body[3:]))
	if flags&^(flagProvider|flagJoinDials|flagRecovery|flagAgain) != 0 || seconds < 0 || seconds > maxSeconds {
		return Token{}, malformed
	}
	t := Token{Expires: time.Unix(seconds, 0).UTC(), Inviter: RoleConsumer, JoinDials: flags&flagJoinDials != 0, Recovery: flags&flagRecovery != 0, Again: flags&flagAgain != 0,
		Secret: secretOf([SecretBytes]byte(body[43:]))}
	if flags&flagProvider != 0 {
		t.Inviter = RoleProvider
	}
	copy(t.Node[:], body[11:])
	count, rest := int(body[tokenFixed-1]), body[tokenFixed:]
	for range count {
		if len(rest) == 0 || len(rest) <= int(rest[0]) {
			return Token{}, malformed
		}
		t.Addresses = append(t.Addresses, string(rest[1:1+rest[0]]))
		rest = rest[1+int(rest[0]):]
	}
	if len(rest) > 0 || t.check() != nil {
		return Token{}, malformed
	}
	return t, nil
}

// CheckExpiry refuses a token whose time is over by this node's clock. The inviter's clock decides in the end.
func (t Token) CheckExpiry(now time.Time) error {
	if now.Before(t.Expires) {
		return nil
	}
	what := "invitation"
	if t.Recovery {
		what = "recovery token"
	}
	return Refuse(InvitationExpired, fmt.Sprintf("the "+what+" expired at %s, and the clock of this node says %s", date(t.Expires), date(now)))
}

// String shows what may be known of the token.
func (t Token) String() string {
	if t.Recovery {
		return fmt.Sprintf("recovery token of node %s until %s at %s, secret %s", t.Node.Short(), date(t.Expires), strings.Join(t.Addresses, ", "), redacted)
	}
	return fmt.Sprintf("invitation of node %s until %s at %s, secret %s", t.Node.Short(), date(t.Expires), strings.Join(t.Addresses, ", "), redacted)
}

// Format is String, whatever the verb.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// MarshalJSON is String: a token travels as what Reveal gives, and as nothing else.
func (t Token) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// MarshalText is String.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// LogValue is String.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }
