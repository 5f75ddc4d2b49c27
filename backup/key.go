package backup

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"banyan/model"

	"filippo.io/age"
)

// Key is a recovery key: whoever has it opens the backups that were sealed to its recipient. It is an age identity (X25519), so that a backup can
// be opened with the age program as well. However it is printed or logged it shows nothing; Reveal gives the text that a person keeps.
type Key struct{ identity func() *age.X25519Identity }

// NewKey draws a recovery key.
func NewKey() (Key, error) {
	drawn, err := age.GenerateX25519Identity()
	if err != nil {
		return Key{}, model.Errorf(model.KindInternal, "a recovery key cannot be drawn: %w", err)
	}
	return keyOf(drawn), nil
}

func keyOf(identity *age.X25519Identity) Key {
	return Key{func() *age.X25519Identity { return identity }}
}

const keyPrefix = "AGE-SECRET-KEY-1"

// ParseKey reads a recovery key as a person pastes it: the key alone, or a file with comments as age-keygen writes it. Errors never show it.
func ParseKey(text string) (Key, error) {
	var found string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if found != "" {
			return Key{}, badKey("there is more than one line of it")
		}
		found = line
	}
	switch {
	case found == "":
		return Key{}, badKey("it is empty")
	case strings.HasPrefix(found, "age1"):
		return Key{}, badKey("it is the recipient, which everybody may know")
	case !strings.HasPrefix(strings.ToUpper(found), keyPrefix):
		return Key{}, badKey("one begins with " + keyPrefix)
	}
	identity, err := age.ParseX25519Identity(strings.ToUpper(found))
	if err != nil {
		return Key{}, badKey("it was altered or is cut off")
	}
	return keyOf(identity), nil
}

func badKey(detail string) error {
	return &model.Error{
		Kind: model.KindInvalid, Detail: "this is no recovery key: " + detail,
		Remedy: "give the key that `banyan init` or `banyan recovery renew` printed",
	}
}

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k.identity == nil }

// Recipient is the public half, by which backups are sealed.
func (k Key) Recipient() string { return k.identity().Recipient().String() }

// Reveal is the text to be kept by a person, apart from the node.
func (k Key) Reveal() string { return k.identity().String() }

const redacted = "[recovery key]"

// Format shows nothing, whatever the verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String shows nothing.
func (Key) String() string { return redacted }

// MarshalJSON shows nothing.
func (Key) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// MarshalText shows nothing.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue shows nothing.
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// CheckRecipient says whether text is the public half of a recovery key.
func CheckRecipient(text string) error {
	if _, err := age.ParseX25519Recipient(text); err != nil {
		return &model.Error{
			Kind: model.KindInvalid, Detail: "this is not the recipient of a recovery key: one begins with age1 and has 62 characters",
			Remedy: "`banyan recovery renew` draws a key and sets its recipient",
		}
	}
	return nil
}

// A challenge is a number sealed to a recipient. It begins with these words, and what is answered is made from it and from both ends, so
// that nobody can have a key open something else by calling that a challenge, or hand an answer on to another node.
const (
	challengeWords = "banyan recovery challenge 1\n"
	answerWords    = "banyan recovery answer 1\n"
	// MaxChallenge bounds what is opened as a challenge, bytes.
	MaxChallenge = 4 << 10
)

// Challenge is a question that only the holder of a recipient's key can answer, asked once.
type Challenge struct {
	Sealed []byte
	answer []byte
}

// NewChallenge asks asked, a node's ID as its certificate proves it, on behalf of asker.
func NewChallenge(recipient string, asker, asked model.NodeID) (Challenge, error) {
	var number [32]byte
	_, _ = rand.Read(number[:]) // it never fails
	sealed, err := sealBytes(recipient, append([]byte(challengeWords), number[:]...))
	return Challenge{sealed, answerOf(number[:], asker, asked)}, err
}

// Matches reports, in constant time, whether the question was answered.
func (c Challenge) Matches(answer []byte) bool {
	return len(c.answer) > 0 && hmac.Equal(c.answer, answer)
}

// Answer opens a challenge that asker put to asked.
func (k Key) Answer(sealed []byte, asker, asked model.NodeID) ([]byte, error) {
	if len(sealed) > MaxChallenge {
		return nil, model.Errorf(model.KindInvalid, "a challenge has %d bytes at most", MaxChallenge)
	}
	opened, err := age.Decrypt(strings.NewReader(string(sealed)), k.identity())
	if err != nil {
		return nil, wrongKey(err)
	}
	plain, err := io.ReadAll(io.LimitReader(opened, MaxChallenge))
	number, ours := strings.CutPrefix(string(plain), challengeWords)
	if err != nil || !ours || len(number) != sha256.Size {
		return nil, model.Errorf(model.KindCorrupt, "what the other node sent is no challenge")
	}
	return answerOf([]byte(number), asker, asked), nil
}

func answerOf(number []byte, asker, asked model.NodeID) []byte {
	mac := hmac.New(sha256.New, number)
	mac.Write([]byte(answerWords))
	mac.Write(asker[:])
	mac.Write(asked[:])
	return mac.Sum(nil)
}

func sealBytes(recipient string, plain []byte) ([]byte, error) {
	to, err := age.ParseX25519Recipient(recipient)
	if err != nil {
		return nil, CheckRecipient(recipient)
	}
	var sealed strings.Builder
	w, err := age.Encrypt(&sealed, to)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	return []byte(sealed.String()), err
}

// wrongKey is the error of a key that does not open something.
func wrongKey(cause error) error {
	return &model.Error{
		Kind: model.KindDenied, Detail: "the recovery key does not open this backup", Err: quiet{cause},
		Remedy: "give the key that was printed when the node was made, or when its key was renewed before this backup was made",
	}
}

// quiet keeps a cause without its text.
type quiet struct{ error }

func (quiet) Error() string   { return "" }
func (q quiet) Unwrap() error { return q.error }
