package store

import (
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"banyan/model"
)

// Audit is a change that writes a row of the audit log: in the same commit as what it tells of, or in one before and one after it where the effect is
// none of a commit's. All that it says was decided before the commit; its number, time, revision and hash are those of the commit.
type Audit struct {
	Who       string // "alice", "alice@hq, as told by north"
	From      string // "127.0.0.1:4711, session 1f0c...", "link north"
	Operation string // "set", "login"
	Path      string
	Name      string
	What      string // what was to become, in short; of a secret only that it was set
	Decision  string // "allowed by berlin, rule 3: alice has configure"
	Outcome   string // "done", "begun", "refused"
	Request   RequestID
}

// TrimAudit forgets the rows up to a number, and says so in a row of its own. The chain then begins behind them, with the hash of the last one.
type TrimAudit struct{ Through uint64 }

func (Audit) change()     {}
func (TrimAudit) change() {}

// Limits of an audit row, and of what one TrimAudit takes away.
const (
	MaxAuditText = 1_024 // bytes of each text
	MaxAuditTrim = 10_000
)

// OperationTrim is the operation of a row that says that earlier ones were trimmed.
const OperationTrim = "trim"

// AuditHash is the hash of a row and so of all rows before it.
type AuditHash [sha256.Size]byte

// AuditHead names a row and everything before it. Whoever remembers one can tell later whether the log still says what it said then.
type AuditHead struct {
	Seq  uint64
	Hash AuditHash
}

// String is "SEQ:HASH".
func (h AuditHead) String() string {
	return strconv.FormatUint(h.Seq, 10) + ":" + hex.EncodeToString(h.Hash[:])
}

// ParseAuditHead reads what String wrote.
func ParseAuditHead(text string) (AuditHead, error) {
	var h AuditHead
	seq, digits, _ := strings.Cut(text, ":")
	number, err := strconv.ParseUint(seq, 10, 63)
	if err != nil || len(digits) != 2*len(h.Hash) {
		return h, model.Errorf(model.KindInvalid, "%.100q is not a head of the audit log: it is written 1234:HASH, with 64 hexadecimal digits", text)
	}
	if _, err := hex.Decode(h.Hash[:], []byte(digits)); err != nil {
		return h, model.Errorf(model.KindInvalid, "%.100q is not a head of the audit log: it is written 1234:HASH, with 64 hexadecimal digits", text)
	}
	h.Seq = number
	return h, nil
}

// AuditRow is a row as it is kept.
type AuditRow struct {
	Audit
	Seq      uint64
	Time     model.Time
	Revision model.Revision
	Hash     AuditHash
}

// beginAudit is what the first row of a node has before it.
func beginAudit(node model.NodeID) AuditHash {
	return sha256.Sum256(append([]byte("banyan audit 1\n"), node[:]...))
}

// hashAfter is the hash that the row has behind another: of that one's hash, and of each field with its length, so that no two rows have the same bytes.
func (r *AuditRow) hashAfter(before AuditHash) AuditHash {
	encoded := make([]byte, 0, 512)
	encoded = append(encoded, before[:]...)
	for _, number := range []uint64{r.Seq, uint64(r.Time), r.Revision.Epoch.Ordinal, r.Revision.Epoch.Random, r.Revision.Number} {
		encoded = binary.BigEndian.AppendUint64(encoded, number)
	}
	for _, text := range []string{r.Who, r.From, r.Operation, r.Path, r.Name, r.What, r.Decision, r.Outcome, string(r.requestBytes())} {
		encoded = binary.AppendUvarint(encoded, uint64(len(text)))
		encoded = append(encoded, text...)
	}
	return sha256.Sum256(encoded)
}

// requestBytes are those of the ID, none where there is none.
func (a *Audit) requestBytes() []byte {
	if a.Request == (RequestID{}) {
		return []byte{}
	}
	return a.Request[:]
}

func (a *Audit) texts() []string {
	return []string{a.Who, a.From, a.Operation, a.Path, a.Name, a.What, a.Decision, a.Outcome}
}

// check refuses what could forge a line in a terminal, or fill the disk.
func (a *Audit) check() (size int, err error) {
	if a.Operation == "" {
		return 0, model.Errorf(model.KindInvalid, "an audit row without an operation")
	}
	for _, text := range a.texts() {
		if len(text) > MaxAuditText || !utf8.ValidString(text) || strings.IndexFunc(text, unicode.IsControl) >= 0 {
			return 0, model.Errorf(model.KindInvalid, "a text of an audit row is one line of at most %d bytes", MaxAuditText)
		}
		size += len(text)
	}
	return size + 160, nil
}

// writeAudit puts a row behind the last one.
func (t *Transaction) writeAudit(a *Audit) error {
	row := AuditRow{Audit: *a, Seq: t.audit.Seq + 1, Time: t.time, Revision: t.now}
	row.Hash = row.hashAfter(t.audit.Hash)
	err := t.exec(`INSERT INTO audit (seq, time, epoch, revision, who, origin, operation, path, name, what, decision, outcome, request, hash)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)`,
		row.Seq, int64(row.Time), row.Revision.Epoch.Ordinal, row.Revision.Number, row.Who, row.From, row.Operation, row.Path, row.Name, row.What,
		row.Decision, row.Outcome, row.requestBytes(), row.Hash[:])
	if err != nil {
		return err
	}
	t.audit = AuditHead{row.Seq, row.Hash}
	return nil
}

// trimAudit takes the oldest rows away, and says so in a row.
func (t *Transaction) trimAudit(c TrimAudit) error {
	if c.Through <= t.audited.Seq {
		return nil // done before
	}
	if c.Through >= t.audit.Seq || c.Through-t.audited.Seq > MaxAuditTrim {
		return model.Errorf(model.KindInvalid, "the audit log has the rows %d to %d: up to %d of them can be trimmed at once, and not the last one",
			t.audited.Seq+1, t.audit.Seq, MaxAuditTrim)
	}
	last := AuditHead{Seq: c.Through}
	found := false
	err := t.query(func(rows *sql.Rows) error {
		var hash sql.RawBytes
		if err := rows.Scan(&hash); err != nil {
			return err
		}
		found = copy(last.Hash[:], hash) == len(last.Hash)
		return nil
	}, "SELECT hash FROM audit WHERE seq = ?1", c.Through)
	if err != nil {
		return err
	}
	if !found {
		return model.Errorf(model.KindCorrupt, "row %d of the audit log is missing or damaged: nothing is trimmed", c.Through)
	}
	if err := t.exec("DELETE FROM audit WHERE seq <= ?1", c.Through); err != nil {
		return err
	}
	t.audited = last
	return t.writeAudit(&Audit{Who: "the node", Operation: OperationTrim, What: trimText(last), Outcome: "done"})
}

// trimText is how a row says up to where was trimmed.
func trimText(h AuditHead) string { return fmt.Sprintf("through %s", h) }

// AuditHead is the last row of the audit log that is on disk; the zero head where there is none.
func (s *Store) AuditHead() AuditHead { return s.auditHead.Load().head }

// AuditTrimmed is the last row that was trimmed; the zero head where none was.
func (s *Store) AuditTrimmed() AuditHead { return s.auditHead.Load().trimmed }

// auditEnds is where the chain ends and begins.
type auditEnds struct{ head, trimmed AuditHead }
