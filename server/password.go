package server

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"banyan/model"

	"golang.org/x/crypto/argon2"
)

// Bounds of a password, bytes.
const (
	minPassword = 10
	maxPassword = 256
)

// cost is how hard a password is to guess: OWASP's recommendation for argon2id of 19 MiB.
type cost struct {
	time, memory uint32 // passes; KiB
	threads      uint8
}

var currentCost = cost{time: 2, memory: 19 << 10, threads: 1}

// mostCost bounds what a stored hash may ask for.
var mostCost = cost{time: 10, memory: 256 << 10, threads: 8}

// passwords hashes and verifies. Two at once at most, so that a flood of tries takes 38 MiB and two cores, and a bounded number may wait.
type passwords struct {
	working chan struct{}
	waiting chan struct{}
	dummy   string // what unknown users are compared with, so that they cost the same
}

func newPasswords() *passwords {
	p := &passwords{working: make(chan struct{}, 2), waiting: make(chan struct{}, 100)}
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // it never fails
	p.dummy = encodeHash(currentCost, salt, make([]byte, 32))
	return p
}

func (p *passwords) enter(ctx context.Context) (leave func(), err error) {
	select {
	case p.waiting <- struct{}{}:
	default:
		return nil, model.Errorf(model.KindExhausted, "too many logins at once: try again")
	}
	defer func() { <-p.waiting }()
	select {
	case p.working <- struct{}{}:
		return func() { <-p.working }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func checkPassword(password string) error {
	if len(password) < minPassword || len(password) > maxPassword {
		return model.Errorf(model.KindInvalid, "a password has %d to %d bytes", minPassword, maxPassword)
	}
	return nil
}

// hash is the form in which a password is kept.
func (p *passwords) hash(ctx context.Context, password string) (string, error) {
	if err := checkPassword(password); err != nil {
		return "", err
	}
	leave, err := p.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // it never fails
	c := currentCost
	return encodeHash(c, salt, argon2.IDKey([]byte(password), salt, c.time, c.memory, c.threads, 32)), nil
}

// verify compares. With an empty hash, as of somebody who is not there, it takes as long and fails.
func (p *passwords) verify(ctx context.Context, hash, password string) (bool, error) {
	leave, err := p.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	real := hash != ""
	if !real {
		hash = p.dummy
	}
	c, salt, want, err := decodeHash(hash)
	if err != nil {
		return false, err
	}
	if len(password) > maxPassword {
		password, real = password[:maxPassword], false
	}
	got := argon2.IDKey([]byte(password), salt, c.time, c.memory, c.threads, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1 && real, nil
}

var unpadded = base64.RawStdEncoding

// encodeHash is the PHC string format, so that the costs stand with each hash and can be raised.
func encodeHash(c cost, salt, hash []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.memory, c.time, c.threads, unpadded.EncodeToString(salt), unpadded.EncodeToString(hash))
}

func decodeHash(text string) (c cost, salt, hash []byte, err error) {
	parts := strings.Split(text, "$")
	version := 0
	damaged := model.Errorf(model.KindCorrupt, "a stored password is damaged: set it anew")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return c, nil, nil, damaged
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return c, nil, nil, damaged
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.memory, &c.time, &c.threads); err != nil {
		return c, nil, nil, damaged
	}
	if c.time < 1 || c.time > mostCost.time || c.memory < 8 || c.memory > mostCost.memory || c.threads < 1 || c.threads > mostCost.threads {
		return c, nil, nil, damaged
	}
	salt, errSalt := unpadded.DecodeString(parts[4])
	hash, errHash := unpadded.DecodeString(parts[5])
	if errSalt != nil || errHash != nil || len(salt) < 8 || len(hash) < 16 || len(hash) > 64 {
		return c, nil, nil, damaged
	}
	return c, salt, hash, nil
}

// DrawPassword is a new password: 20 characters, 98 bits, none of which looks like another.
func DrawPassword() string {
	const letters = "abcdefghjkmnpqrstuvwxyz23456789" // 31
	password := make([]byte, 0, 20)
	var b [64]byte
	for len(password) < 20 {
		_, _ = rand.Read(b[:]) // it never fails
		for _, x := range b {
			// Above the greatest multiple of 31 some letters would come more often.
			if x < 248 && len(password) < 20 {
				password = append(password, letters[x%31])
			}
		}
	}
	return string(password)
}
