package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"strings"

	"banyan/model"
)

// Role is what a node has to do with a request of its ledger. Its numbers are part of the encoded form.
type Role uint8

// The roles.
const (
	RoleMade   Role = 1 // it was made here, and is sent from here
	RolePassed Role = 2 // it came over a link, and went out over another one
	RoleOwner  Role = 3 // it is done here
)

var roleNames = [...]string{"", "made", "passed", "owner"}

// String is the role's name.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return "none"
}

// Ledger is a change that writes what is known of a request that is sent until it is answered, in place of what was known. A row stays whose it was:
// one of another role, person or link is refused. Without Body that of before stays, until the request has ended.
type Ledger struct {
	ID        RequestID
	Role      Role
	Fate      model.Fate
	Who       string // as the audit log names them
	Person    string // the user who made it here
	Link      string // over which it came
	Account   string // ID of that user, and after a space that of the token by which it was asked for
	Digest    []byte // of what is asked for
	Operation string
	Path      string
	Name      string
	Made      model.Time
	Until     model.Time
	Since     model.Time // it has this fate
	Attempts  uint32
	Doubt     bool // one of them may have been done
	Owner     model.Position
	Via       []string // names of nodes, the owner last
	Problem   []byte   // banyan.model.v1.Error
	Body      []byte   // sealed
	Result    []byte   // sealed
}

// ForgetLedger forgets requests.
type ForgetLedger struct{ IDs []RequestID }

func (Ledger) change()       {}
func (ForgetLedger) change() {}

// Limits of a row of the ledger.
const (
	MaxLedgerBytes  = 256 << 10 // of a body, and of a result
	maxLedgerText   = 2_048
	maxLedgerVia    = 64
	MaxLedgerForget = 1_000 // requests to be forgotten in one change
)

func (l *Ledger) check() (size int, err error) {
	if l.Role < RoleMade || l.Role > RoleOwner || l.Fate < model.FatePending || l.Fate > model.FateUnknown || len(l.Via) > maxLedgerVia {
		return 0, model.Errorf(model.KindInvalid, "a row of the ledger with the role %d, the fate %d and %d nodes", l.Role, l.Fate, len(l.Via))
	}
	size = 256
	for _, text := range append([]string{l.Who, l.Person, l.Link, l.Account, l.Operation, l.Path, l.Name}, l.Via...) {
		if len(text) > maxLedgerText {
			return 0, model.Errorf(model.KindExhausted, "a text of %d bytes in a row of the ledger, at most %d are allowed", len(text), maxLedgerText)
		}
		size += len(text)
	}
	for _, bytes := range [][]byte{l.Digest, l.Problem, l.Body, l.Result} {
		if len(bytes) > MaxLedgerBytes+MaxSealedExcess {
			return 0, model.Errorf(model.KindExhausted, "%d bytes in a row of the ledger, at most %d are allowed", len(bytes), MaxLedgerBytes)
		}
		size += len(bytes)
	}
	return size, nil
}

func (c *ForgetLedger) check() (size int, err error) {
	if len(c.IDs) > MaxLedgerForget {
		return 0, model.Errorf(model.KindExhausted, "%d requests to be forgotten at once, at most %d are allowed", len(c.IDs), MaxLedgerForget)
	}
	return 32 * len(c.IDs), nil
}

// writeLedger writes a row, unless one of the same ID is another request's.
func (t *Transaction) writeLedger(l *Ledger) error {
	var known struct {
		role         Role
		person, link string
	}
	found := false
	err := t.query(func(rows *sql.Rows) error {
		found = true
		return rows.Scan(&known.role, &known.person, &known.link)
	}, "SELECT role, person, link FROM ledger WHERE id = ?1", l.ID[:])
	if err != nil {
		return err
	}
	if found && (known.role != l.Role || known.person != l.Person || known.link != l.Link) {
		return model.Errorf(model.KindInvalid, "the ID of this request was used for another one: each request has an ID of its own")
	}
	return t.exec(`INSERT INTO ledger (id, role, fate, who, person, link, account, digest, operation, path, name, made, until, since, attempts, doubt,
			owner_ordinal, owner_random, owner_number, via, problem, body, result)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)
		ON CONFLICT (id) DO UPDATE SET fate = excluded.fate, since = excluded.since, attempts = excluded.attempts, doubt = excluded.doubt,
			owner_ordinal = excluded.owner_ordinal, owner_random = excluded.owner_random, owner_number = excluded.owner_number,
			via = excluded.via, problem = excluded.problem, result = excluded.result,
			body = CASE WHEN ?24 THEN x'' WHEN length(excluded.body) > 0 THEN excluded.body ELSE body END`,
		l.ID[:], int64(l.Role), int64(l.Fate), l.Who, l.Person, l.Link, l.Account, bytesOf(l.Digest), l.Operation, l.Path, l.Name, int64(l.Made), int64(l.Until),
		int64(l.Since), int64(l.Attempts), l.Doubt, int64(l.Owner.Epoch.Ordinal), int64(l.Owner.Epoch.Random), int64(l.Owner.Number),
		strings.Join(l.Via, " "), bytesOf(l.Problem), bytesOf(l.Body), bytesOf(l.Result), l.Fate.Ended())
}

// bytesOf is never NULL.
func bytesOf(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func (t *Transaction) forgetLedger(c *ForgetLedger) error {
	for _, id := range c.IDs {
		if err := t.exec("DELETE FROM ledger WHERE id = ?1", id[:]); err != nil {
			return err
		}
	}
	return nil
}

// Ledger is what is known of requests, without their bodies and results, those made first before others. It sees what is on disk.
func (s *Store) Ledger(ctx context.Context) ([]Ledger, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT id, role, fate, who, person, link, account, digest, operation, path, name, made, until, since, attempts, doubt,
		owner_ordinal, owner_random, owner_number, via, problem FROM ledger ORDER BY made, id`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all []Ledger
	for rows.Next() {
		var l Ledger
		var id []byte
		var ordinal, random, number int64
		var via string
		err := rows.Scan(&id, &l.Role, &l.Fate, &l.Who, &l.Person, &l.Link, &l.Account, &l.Digest, &l.Operation, &l.Path, &l.Name, &l.Made, &l.Until, &l.Since,
			&l.Attempts, &l.Doubt, &ordinal, &random, &number, &via, &l.Problem)
		if err != nil {
			return nil, err
		}
		if l.ID, err = toRequestID(id); err != nil {
			return nil, err
		}
		l.Owner = model.Position{Epoch: model.Epoch{Ordinal: uint64(ordinal), Random: uint64(random)}, Number: uint64(number)}
		l.Via = viaOf(via)
		all = append(all, l)
	}
	return all, rows.Err()
}

// LedgerContent is what a request asks for and what was answered, as they were sealed; false where nothing is known of it.
func (s *Store) LedgerContent(ctx context.Context, id RequestID) (body, result []byte, known bool, err error) {
	err = s.reader.QueryRowContext(ctx, "SELECT body, result FROM ledger WHERE id = ?1", id[:]).Scan(&body, &result)
	if err == sql.ErrNoRows {
		return nil, nil, false, nil
	}
	return body, result, err == nil, err
}

// SealContent seals what a request asks for, or what was answered. All of it is sealed, since which part is a secret only its owner's schema says: a
// wrong guess would leave a password in the file.
func (s *Store) SealContent(id RequestID, what string, plain []byte) ([]byte, error) {
	if s.cfg.Sealer == nil {
		return nil, model.Errorf(model.KindUnsupported, "this node has no key to seal requests with")
	}
	return s.cfg.Sealer.Seal(plain, model.ContextID{}, contentOf(id, what)), nil
}

// OpenContent is the reverse of SealContent.
func (s *Store) OpenContent(id RequestID, what string, sealed []byte) ([]byte, error) {
	if s.cfg.Sealer == nil {
		return nil, model.Errorf(model.KindUnsupported, "this node has no key to open requests with")
	}
	return s.cfg.Sealer.Open(sealed, model.ContextID{}, contentOf(id, what))
}

func contentOf(id RequestID, what string) string {
	return "request " + hex.EncodeToString(id[:]) + " " + what
}
