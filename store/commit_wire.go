package store

import (
	"crypto/sha256"

	"banyan/model"
	wire "banyan/proto"
	"banyan/proto/modelv1"
	"banyan/proto/storev1"

	"google.golang.org/protobuf/proto"
)

// Marshal encodes a commit: equal commits have equal bytes.
func (c *Commit) Marshal() ([]byte, error) {
	m := &storev1.Commit{Class: uint32(c.Class), Time: int64(c.Time)}
	for _, condition := range c.Conditions {
		m.Conditions = append(m.Conditions, &storev1.Condition{
			Target: fromTarget(condition.Target), Absent: condition.Absent, Revision: wire.FromPosition(condition.Revision),
		})
	}
	for _, change := range c.Changes {
		m.Changes = append(m.Changes, fromChange(change))
	}
	if c.Start != nil {
		m.Start = &storev1.RequestStart{Id: c.Start.ID[:], Digest: c.Start.Digest, Expiry: int64(c.Start.Expiry)}
	}
	if c.Done != nil {
		m.Done = &storev1.RequestDone{Id: c.Done.ID[:], Result: c.Done.Result}
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

func fromTarget(t Target) *storev1.Target {
	m := &storev1.Target{}
	if t.ID.IsZero() {
		m.Path = t.Path.String()
	} else {
		m.Id = wire.FromContextID(t.ID)
	}
	return m
}

func fromSettings(settings []Setting) []*storev1.Setting {
	var m []*storev1.Setting
	for _, s := range settings {
		setting := &storev1.Setting{Name: s.Name, Sealed: s.Sealed}
		if !s.Value.IsNone() {
			setting.Value = wire.FromValue(s.Value)
		}
		m = append(m, setting)
	}
	return m
}

func fromChange(change Change) *storev1.Change {
	switch c := change.(type) {
	case PutSchema:
		return &storev1.Change{Kind: &storev1.Change_PutSchema{PutSchema: &storev1.PutSchema{Body: []byte(c.Schema.Raw)}}}
	case Create:
		return &storev1.Change{Kind: &storev1.Change_Create{Create: &storev1.CreateContext{
			Id: wire.FromContextID(c.ID), Path: c.Path.String(), Label: c.Label, Schema: c.Schema[:], Settings: fromSettings(c.Settings),
		}}}
	case Set:
		return &storev1.Change{Kind: &storev1.Change_Set{Set: &storev1.SetSettings{
			Target: fromTarget(c.Target), Settings: fromSettings(c.Settings), Expected: wire.FromPosition(c.Expected),
		}}}
	case Move:
		m := &storev1.MoveContext{Target: fromTarget(c.Target), Label: c.Label, Expected: wire.FromPosition(c.Expected)}
		if !c.Path.IsRoot() {
			m.Path = c.Path.String()
		}
		return &storev1.Change{Kind: &storev1.Change_Move{Move: m}}
	case Rebind:
		return &storev1.Change{Kind: &storev1.Change_Rebind{Rebind: &storev1.RebindContext{
			Target: fromTarget(c.Target), Schema: c.Schema[:], Expected: wire.FromPosition(c.Expected),
		}}}
	case Remove:
		return &storev1.Change{Kind: &storev1.Change_Remove{Remove: &storev1.RemoveContext{
			Target: fromTarget(c.Target), Below: c.Below, Expected: wire.FromPosition(c.Expected),
		}}}
	case OpenEpoch:
		return &storev1.Change{Kind: &storev1.Change_OpenEpoch{OpenEpoch: &storev1.OpenEpoch{
			Epoch: wire.FromEpoch(c.Epoch), LeastChange: c.LeastChange, LostFrom: c.LostFrom,
		}}}
	case Trim:
		return &storev1.Change{Kind: &storev1.Change_Trim{Trim: &storev1.Trim{
			Tombstones: c.Tombstones, Horizon: c.Horizon, RequestsBefore: int64(c.RequestsBefore),
		}}}
	case Audit:
		return &storev1.Change{Kind: &storev1.Change_Audit{Audit: &storev1.Audit{
			Who: c.Who, From: c.From, Operation: c.Operation, Path: c.Path, Name: c.Name, What: c.What, Decision: c.Decision, Outcome: c.Outcome,
			Request: c.requestBytes(),
		}}}
	case TrimAudit:
		return &storev1.Change{Kind: &storev1.Change_TrimAudit{TrimAudit: &storev1.TrimAudit{Through: c.Through}}}
	case Ledger:
		return &storev1.Change{Kind: &storev1.Change_Ledger{Ledger: fromLedger(&c)}}
	case ForgetLedger:
		m := &storev1.ForgetLedger{}
		for _, id := range c.IDs {
			m.Ids = append(m.Ids, id[:])
		}
		return &storev1.Change{Kind: &storev1.Change_ForgetLedger{ForgetLedger: m}}
	}
	return &storev1.Change{}
}

// UnmarshalCommit reads what Marshal wrote, and checks it.
func UnmarshalCommit(encoded []byte) (*Commit, error) {
	if len(encoded) > 2*MaxCommitBytes {
		return nil, model.Errorf(model.KindExhausted, "a commit of %d bytes, at most %d are allowed", len(encoded), 2*MaxCommitBytes)
	}
	var m storev1.Commit
	if err := proto.Unmarshal(encoded, &m); err != nil {
		return nil, model.Errorf(model.KindCorrupt, "a commit that cannot be decoded: %w", err)
	}
	if m.GetClass() > uint32(ClassEvents) {
		return nil, model.Errorf(model.KindUnsupported, "a commit has no class %d", m.GetClass())
	}
	c := &Commit{Class: Class(m.GetClass()), Time: model.Time(m.GetTime())}
	for _, condition := range m.GetConditions() {
		target, err := toTarget(condition.GetTarget())
		if err != nil {
			return nil, err
		}
		c.Conditions = append(c.Conditions, Condition{target, condition.GetAbsent(), wire.ToPosition(condition.GetRevision())})
	}
	for _, change := range m.GetChanges() {
		decoded, err := toChange(change)
		if err != nil {
			return nil, err
		}
		c.Changes = append(c.Changes, decoded)
	}
	var err error
	if start := m.GetStart(); start != nil {
		c.Start = &RequestStart{Digest: start.GetDigest(), Expiry: model.Time(start.GetExpiry())}
		if c.Start.ID, err = toRequestID(start.GetId()); err != nil {
			return nil, err
		}
	}
	if done := m.GetDone(); done != nil {
		c.Done = &RequestDone{Result: done.GetResult()}
		if c.Done.ID, err = toRequestID(done.GetId()); err != nil {
			return nil, err
		}
	}
	_, err = c.Validate()
	return c, err
}

func toRequestID(b []byte) (RequestID, error) {
	var id RequestID
	if len(b) != len(id) {
		return id, model.Errorf(model.KindInvalid, "a request's ID has 16 bytes, not %d", len(b))
	}
	copy(id[:], b)
	return id, nil
}

func toHash(b []byte) (model.SchemaHash, error) {
	var hash model.SchemaHash
	if len(b) != len(hash) {
		return hash, model.Errorf(model.KindInvalid, "a schema's hash has 32 bytes, not %d", len(b))
	}
	copy(hash[:], b)
	return hash, nil
}

func toTarget(m *storev1.Target) (Target, error) {
	if m.GetId() != nil {
		id, err := wire.ToContextID(m.GetId())
		return Target{ID: id}, err
	}
	path, err := model.ParsePath(m.GetPath())
	return Target{Path: path}, err
}

func toSettings(m []*storev1.Setting) ([]Setting, error) {
	var settings []Setting
	for _, s := range m {
		value, err := wire.ToValue(s.GetValue())
		if err != nil {
			return nil, err
		}
		settings = append(settings, Setting{s.GetName(), value, s.GetSealed()})
	}
	return settings, nil
}

func toChange(m *storev1.Change) (Change, error) {
	switch kind := m.GetKind().(type) {
	case *storev1.Change_PutSchema:
		schema, err := wire.ToSchema(kind.PutSchema.GetBody())
		return PutSchema{schema}, err
	case *storev1.Change_Create:
		return toCreate(kind.Create)
	case *storev1.Change_Set:
		target, err := toTarget(kind.Set.GetTarget())
		if err != nil {
			return nil, err
		}
		settings, err := toSettings(kind.Set.GetSettings())
		return Set{target, settings, wire.ToPosition(kind.Set.GetExpected())}, err
	case *storev1.Change_Move:
		target, err := toTarget(kind.Move.GetTarget())
		if err != nil {
			return nil, err
		}
		move := Move{Target: target, Label: kind.Move.Label, Expected: wire.ToPosition(kind.Move.GetExpected())}
		if kind.Move.GetPath() != "" {
			move.Path, err = model.ParsePath(kind.Move.GetPath())
		}
		return move, err
	case *storev1.Change_Rebind:
		target, err := toTarget(kind.Rebind.GetTarget())
		if err != nil {
			return nil, err
		}
		hash, err := toHash(kind.Rebind.GetSchema())
		return Rebind{target, hash, wire.ToPosition(kind.Rebind.GetExpected())}, err
	case *storev1.Change_Remove:
		target, err := toTarget(kind.Remove.GetTarget())
		return Remove{target, kind.Remove.GetBelow(), wire.ToPosition(kind.Remove.GetExpected())}, err
	case *storev1.Change_OpenEpoch:
		return OpenEpoch{wire.ToEpoch(kind.OpenEpoch.GetEpoch()), kind.OpenEpoch.GetLeastChange(), kind.OpenEpoch.GetLostFrom()}, nil
	case *storev1.Change_Trim:
		return Trim{kind.Trim.Tombstones, kind.Trim.GetHorizon(), model.Time(kind.Trim.GetRequestsBefore())}, nil
	case *storev1.Change_Audit:
		return toAudit(kind.Audit)
	case *storev1.Change_TrimAudit:
		return TrimAudit{kind.TrimAudit.GetThrough()}, nil
	case *storev1.Change_Ledger:
		return toLedger(kind.Ledger)
	case *storev1.Change_ForgetLedger:
		return toForgetLedger(kind.ForgetLedger)
	default:
		return nil, model.Errorf(model.KindUnsupported, "a commit does something that this version does not know")
	}
}

func toCreate(m *storev1.CreateContext) (Change, error) {
	id, err := wire.ToContextID(m.GetId())
	if err != nil {
		return nil, err
	}
	path, err := model.ParsePath(m.GetPath())
	if err != nil {
		return nil, err
	}
	hash, err := toHash(m.GetSchema())
	if err != nil {
		return nil, err
	}
	settings, err := toSettings(m.GetSettings())
	return Create{id, path, m.GetLabel(), hash, settings}, err
}

func toAudit(m *storev1.Audit) (Change, error) {
	a := Audit{
		Who: m.GetWho(), From: m.GetFrom(), Operation: m.GetOperation(), Path: m.GetPath(), Name: m.GetName(), What: m.GetWhat(),
		Decision: m.GetDecision(), Outcome: m.GetOutcome(),
	}
	var err error
	if len(m.GetRequest()) > 0 {
		a.Request, err = toRequestID(m.GetRequest())
	}
	return a, err
}

// encodeValue is a value as it stands in a row.
func encodeValue(v model.Value) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(wire.FromValue(v))
}

func decodeValue(encoded []byte) (model.Value, error) {
	var m modelv1.Value
	if err := proto.Unmarshal(encoded, &m); err != nil {
		return model.Value{}, model.Errorf(model.KindCorrupt, "a stored value that cannot be decoded: %w", err)
	}
	return wire.ToValue(&m)
}

// decodeSchema reads a stored schema and checks it against its hash.
func decodeSchema(hash, body []byte) (*model.Schema, error) {
	if sum := sha256.Sum256(body); string(sum[:]) != string(hash) {
		return nil, model.Errorf(model.KindCorrupt, "a stored schema does not have the hash %x", hash)
	}
	return wire.ToSchema(body)
}
