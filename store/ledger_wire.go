package store

import (
	"math"
	"slices"
	"strings"

	"banyan/model"
	wire "banyan/proto"
	"banyan/proto/storev1"
)

func fromLedger(l *Ledger) *storev1.Ledger {
	return &storev1.Ledger{
		Id: l.ID[:], Role: uint32(l.Role), Fate: uint32(l.Fate), Who: l.Who, Person: l.Person, Link: l.Link, Account: l.Account, Digest: l.Digest, Operation: l.Operation,
		Path: l.Path, Name: l.Name, Made: int64(l.Made), Until: int64(l.Until), Since: int64(l.Since), Attempts: l.Attempts, Doubt: l.Doubt,
		Owner: wire.FromPosition(l.Owner), Via: strings.Join(l.Via, " "), Problem: l.Problem, Body: l.Body, Result: l.Result,
	}
}

func toLedger(m *storev1.Ledger) (Change, error) {
	if m.GetRole() > math.MaxUint8 || m.GetFate() > math.MaxUint8 {
		return nil, model.Errorf(model.KindUnsupported, "a request of the role %d with the fate %d", m.GetRole(), m.GetFate())
	}
	id, err := toRequestID(m.GetId())
	return Ledger{
		ID: id, Role: Role(m.GetRole()), Fate: model.Fate(m.GetFate()), Who: m.GetWho(), Person: m.GetPerson(), Link: m.GetLink(), Account: m.GetAccount(), Digest: m.GetDigest(),
		Operation: m.GetOperation(), Path: m.GetPath(), Name: m.GetName(), Made: model.Time(m.GetMade()), Until: model.Time(m.GetUntil()),
		Since: model.Time(m.GetSince()), Attempts: m.GetAttempts(), Doubt: m.GetDoubt(), Owner: wire.ToPosition(m.GetOwner()), Via: viaOf(m.GetVia()),
		Problem: m.GetProblem(), Body: m.GetBody(), Result: m.GetResult(),
	}, err
}

// viaOf are the names of a row.
func viaOf(text string) []string {
	if names := slices.DeleteFunc(strings.Split(text, " "), func(name string) bool { return name == "" }); len(names) > 0 {
		return names
	}
	return nil
}

func toForgetLedger(m *storev1.ForgetLedger) (Change, error) {
	var c ForgetLedger
	for _, raw := range m.GetIds() {
		id, err := toRequestID(raw)
		if err != nil {
			return nil, err
		}
		c.IDs = append(c.IDs, id)
	}
	return c, nil
}
