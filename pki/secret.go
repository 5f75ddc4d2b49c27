package pki

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// SecretBytes is the length of an invitation's secret.
const SecretBytes = 16

const redacted = "[redacted]"

// Secret is an invitation's secret. However it is printed, marshalled or logged, it shows nothing. That holds also where a formatter
// reaches a Secret in an unexported field, whose methods it cannot call: the bytes lie in a function, since fmt looks through a pointer
// when the verb does not fit. Only Reveal gives them.
type Secret struct{ bytes func() [SecretBytes]byte }

func secretOf(bytes [SecretBytes]byte) Secret {
	return Secret{func() [SecretBytes]byte { return bytes }}
}

func newSecret() Secret {
	var bytes [SecretBytes]byte
	_, _ = rand.Read(bytes[:]) // it never fails
	return secretOf(bytes)
}

// Reveal is the bytes; nil for the zero Secret.
func (s Secret) Reveal() []byte {
	if s.bytes == nil {
		return nil
	}
	bytes := s.bytes()
	return bytes[:]
}

// Hash is what the inviter keeps in place of the secret. The secret has 128 random bits, so that a plain SHA-256 cannot be guessed back.
func (s Secret) Hash() SecretHash { return sha256.Sum256(s.Reveal()) }

// SecretHash is the SHA-256 of a secret.
type SecretHash [sha256.Size]byte

// Matches reports, in constant time, whether presented is the secret.
func (h SecretHash) Matches(presented []byte) bool {
	if len(presented) != SecretBytes {
		return false
	}
	other := sha256.Sum256(presented)
	return subtle.ConstantTimeCompare(h[:], other[:]) == 1
}

// Format shows nothing, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String shows nothing.
func (Secret) String() string { return redacted }

// MarshalJSON shows nothing.
func (Secret) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// MarshalText shows nothing.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue shows nothing.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
