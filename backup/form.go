package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"banyan/model"
	"banyan/store"
)

// A backup is one line of header, which everybody may read, and behind it an age file (X25519) with a gzip stream with a tar archive: the manifest
// first, then the parts in its order. The manifest repeats the header, so that a header that was changed is found out.
const (
	magic          = "banyan-backup "
	formatVersion  = 1
	maxHeaderBytes = 4 << 10
	maxManifest    = 1 << 20
	mostParts      = 1024
)

// Header says whose backup it is. It is no secret, and is proved only to who opens the backup.
type Header struct {
	Node      model.NodeID   `json:"node"`
	Name      string         `json:"name"`
	Made      model.Time     `json:"made"`
	Revision  model.Revision `json:"revision"` // the last one in it
	Change    uint64         `json:"change"`   // the last change number of the node's own contexts
	Contexts  int            `json:"contexts"`
	Bytes     int64          `json:"bytes"`     // of all parts, before they are sealed
	Program   string         `json:"program"`   // version of the program that made it
	Recipient string         `json:"recipient"` // whose key opens it
}

// Manifest is what a backup holds. It lies within the seal.
type Manifest struct {
	Header
	Front    Sum             `json:"front"` // of the line in front, letter by letter
	Chain    model.Chain     `json:"chain"` // epochs with their first revisions
	Restores []store.Restore `json:"restores,omitempty"`
	Parts    []Part          `json:"parts"`
	// AuditProblem says where the node's audit log was not whole when the backup was made.
	AuditProblem string `json:"audit_problem,omitempty"`
}

// Part is one file of a backup, named as it lies in a node's directory, with forward slashes.
type Part struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
	Sum  Sum    `json:"sha256"`
}

// Sum is a SHA-256.
type Sum [sha256.Size]byte

// String is 64 hexadecimal digits.
func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// MarshalText is String.
func (s Sum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads 64 hexadecimal digits.
func (s *Sum) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(s)) {
		return errors.New("a SHA-256 has 64 hexadecimal digits")
	}
	_, err := hex.Decode(s[:], text)
	return err
}

// The parts that each backup has, and the folder of those that it may have.
const (
	partRoot     = "root.pem"
	partSecret   = "secret.key"
	partConfig   = "node.yaml"
	partDatabase = "node.db"
	profileDir   = "profiles"
)

var required = []string{partRoot, partSecret, partConfig, partDatabase}

// mostBytes bounds a part; the database has the disk for its bound.
func mostBytes(name string) int64 {
	switch {
	case name == partDatabase:
		return 1 << 42
	case strings.HasPrefix(name, profileDir+"/"):
		return 1 << 20
	}
	return 64 << 10
}

// checkName refuses a part that a node's directory has no place for: a name is a file's, and comes from whoever made the backup.
func checkName(name string) error {
	if slices.Contains(required, name) {
		return nil
	}
	file, profile := strings.CutPrefix(name, profileDir+"/")
	if profile && strings.HasSuffix(file, ".yaml") && model.CheckSegment(file) == nil && !strings.HasPrefix(file, ".") {
		return nil
	}
	return damaged("it holds a part " + strconv.QuoteToASCII(name[:min(len(name), 64)]) + ", which no node has")
}

func (h *Header) check() error {
	switch {
	case h.Node.IsZero() || h.Made == 0 || h.Revision.IsZero():
		return damaged("its header does not say whose it is and of when")
	case model.CheckName(h.Name) != nil:
		return damaged("its header has a name that no node has")
	case CheckRecipient(h.Recipient) != nil:
		return damaged("its header does not say whose key opens it")
	case h.Bytes < 0 || h.Contexts < 0 || len(h.Program) > 128:
		return damaged("its header has numbers that cannot be")
	}
	return nil
}

func (m *Manifest) check() error {
	if err := m.Header.check(); err != nil {
		return err
	}
	if m.Chain.Validate() != nil || m.Chain.Last().Epoch != m.Revision.Epoch || len(m.Restores) > store.MostRestores {
		return damaged("its manifest has epochs that do not follow each other")
	}
	seen, total := map[string]bool{}, int64(0)
	for _, p := range m.Parts {
		if err := checkName(p.Name); err != nil {
			return err
		}
		if seen[p.Name] || p.Size < 0 || p.Size > mostBytes(p.Name) {
			return damaged("its manifest has a part twice, or one that is too large")
		}
		seen[p.Name] = true
		total += p.Size
	}
	for _, name := range required {
		if !seen[name] {
			return damaged("it holds no " + name)
		}
	}
	if len(m.Parts) > mostParts || total != m.Bytes {
		return damaged("its manifest does not count what it lists")
	}
	return nil
}

// line is the header as it stands in front.
func (h *Header) line() ([]byte, error) {
	encoded, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	line := fmt.Appendf(nil, "%s%d %s\n", magic, formatVersion, encoded)
	if len(line) > maxHeaderBytes {
		return nil, model.Errorf(model.KindInternal, "the header of a backup has %d bytes", len(line))
	}
	return line, nil
}

// readHeader reads the line in front and leaves from at what is sealed.
func readHeader(from *bufio.Reader) (h Header, front Sum, err error) {
	line, err := readLine(from)
	front = sha256.Sum256(append(line, '\n'))
	text, ours := bytes.CutPrefix(line, []byte(magic))
	if !ours {
		if len(line) == 0 && err != nil {
			return h, front, damaged("it is empty")
		}
		return h, front, &model.Error{Kind: model.KindInvalid, Detail: "this is not a backup of a node", Remedy: "give a file that `banyan backup` made"}
	}
	if err != nil {
		return h, front, damaged("it is cut off in its header")
	}
	number, encoded, _ := bytes.Cut(text, []byte(" "))
	version, err := strconv.ParseUint(string(number), 10, 16)
	switch {
	case err != nil || version == 0:
		return h, front, damaged("its header cannot be read")
	case version > formatVersion:
		return h, front, &model.Error{
			Kind: model.KindUnsupported, Detail: fmt.Sprintf("the backup has the form %d, this version knows forms up to %d", version, formatVersion),
			Remedy: "use the version of the program that made it, or a newer one",
		}
	}
	if err := json.Unmarshal(encoded, &h); err != nil {
		return h, front, damaged("its header cannot be read")
	}
	return h, front, h.check()
}

// readLine reads up to the end of a line, which is not far.
func readLine(from *bufio.Reader) ([]byte, error) {
	var line []byte
	for len(line) < maxHeaderBytes {
		b, err := from.ReadByte()
		if err != nil {
			return line, err
		}
		if b == '\n' {
			return line, nil
		}
		line = append(line, b)
	}
	return line, io.ErrShortBuffer
}

func damaged(detail string) *model.Error {
	return &model.Error{Kind: model.KindCorrupt, Detail: "the backup is damaged: " + detail, Remedy: "use another copy of it, or another backup"}
}
