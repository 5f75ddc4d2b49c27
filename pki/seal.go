package pki

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"path/filepath"

	"banyan/durable"
	"banyan/model"

	"golang.org/x/crypto/chacha20poly1305"
)

// Sealer encrypts secret settings at rest with a key that lies beside the database: a copy of the database alone, as backups and support
// bundles are, shows none of them. Whoever reads the whole directory reads them too. Safe for concurrent use.
type Sealer struct {
	aead   cipher.AEAD
	naming []byte // the key of Name, which is not the one that seals
}

// CreateSealer makes the key in dir. It fails with model.KindExists where there is one already: a new key would make everything sealed
// unreadable.
func CreateSealer(dir string) (*Sealer, error) {
	if err := durable.MakeDirs(dir, 0o700); err != nil {
		return nil, model.Errorf(model.KindInternal, "cannot make the directory: %w", err)
	}
	key := make([]byte, chacha20poly1305.KeySize)
	_, _ = rand.Read(key) // it never fails
	if err := createFile(filepath.Join(dir, SecretFile), key, 0o600); err != nil {
		return nil, err
	}
	return LoadSealer(dir)
}

// LoadSealer reads the key in dir.
func LoadSealer(dir string) (*Sealer, error) {
	path := filepath.Join(dir, SecretFile)
	key, err := readFile(path, othersMay)
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, damaged(path, "it does not have 32 bytes")
	}
	return &Sealer{aead, keyed(key, "banyan names")}, nil
}

// Name is a name for something that this node alone can give: it stays the same as long as the key does, and nobody else can tell of which text it is.
func (s *Sealer) Name(text string) string { return hex.EncodeToString(keyed(s.naming, text)) }

func keyed(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(text))
	return h.Sum(nil)
}

// sealVersion begins everything sealed. XChaCha20-Poly1305 has nonces long enough to be drawn at random, without a counter to be lost.
const sealVersion = 1

// Seal encrypts the value of a setting of a context. It can be opened only for the same setting of the same context, so that nobody
// who can write the database moves a secret to where he may see it used.
func (s *Sealer) Seal(plain []byte, context model.ContextID, setting string) []byte {
	sealed := make([]byte, 1+s.aead.NonceSize(), 1+s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	sealed[0] = sealVersion
	_, _ = rand.Read(sealed[1:]) // it never fails
	return s.aead.Seal(sealed, sealed[1:], plain, about(context, setting))
}

// Open is the reverse of Seal. What was not sealed with this key for this setting is model.KindCorrupt.
func (s *Sealer) Open(sealed []byte, context model.ContextID, setting string) ([]byte, error) {
	if nonce := s.aead.NonceSize(); len(sealed) > nonce && sealed[0] == sealVersion {
		if plain, err := s.aead.Open(nil, sealed[1:1+nonce], sealed[1+nonce:], about(context, setting)); err == nil {
			return plain, nil
		}
	}
	return nil, &model.Error{Kind: model.KindCorrupt, Op: "open secret", Name: setting, Detail: "the secret cannot be opened with this node's " + SecretFile,
		Remedy: "restore " + SecretFile + " of the same backup as the database, or set the secret anew"}
}

// about binds a sealed value to its place; the fixed length of a context ID keeps two places from having the same bytes.
func about(context model.ContextID, setting string) []byte {
	b := append([]byte("banyan seal\n"), context.Node[:]...)
	b = binary.BigEndian.AppendUint64(b, context.Epoch.Ordinal)
	b = binary.BigEndian.AppendUint64(b, context.Epoch.Random)
	b = binary.BigEndian.AppendUint64(b, context.Number)
	return append(b, setting...)
}
