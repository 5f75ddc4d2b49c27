package snmp

import (
	"context"

	"github.com/gosnmp/gosnmp"

	"banyan/model"
)

// get asks for objects and puts each answer at the same place of to. What the device has not is absent, what it cannot answer is broken; an
// error means that it did not answer at all.
func (s *session) get(ctx context.Context, list []oid, to []reading) error {
	for len(list) > 0 {
		n, err := s.getFirst(ctx, list, to)
		if err != nil {
			return err
		}
		list, to = list[n:], to[n:]
	}
	return nil
}

// getFirst asks for the first of the list, as many as the device bears.
func (s *session) getFirst(ctx context.Context, list []oid, to []reading) (n int, err error) {
	if err := s.take(ctx); err != nil {
		return 0, err
	}
	defer s.release()
	n = min(s.oids, len(list))
	s.damage = nil
	if err := s.getSome(ctx, list[:n], to[:n]); err != nil {
		return 0, err
	}
	for _, r := range to[:n] {
		if r.form != broken {
			return n, nil
		}
	}
	return n, s.damage
}

// getSome asks for as many objects as go into a request, and for fewer when the device finds that too many. An object that makes the
// device fail is left out and the others are asked again, so it takes at most two requests for each object.
func (s *session) getSome(ctx context.Context, list []oid, to []reading) error {
	answer, err := s.request(ctx, gosnmp.GetRequest, list, 0, 0)
	damaged := model.KindOf(err) == model.KindCorrupt && ctx.Err() == nil
	switch {
	case err != nil && !damaged:
		return err
	case err == nil && answer.Error == gosnmp.NoError:
		return assign(list, answer.Variables, to)
	case len(list) == 1:
		to[0] = reading{form: broken}
		if err == nil && answer.Error == gosnmp.NoSuchName {
			to[0].form = absent
		}
		if err != nil {
			s.damage = err
		}
		return nil
	}
	if at := 0; err == nil && answer.Error != gosnmp.TooBig {
		if at = int(answer.ErrorIndex) - 1; at >= 0 && at < len(list) {
			to[at] = reading{form: broken}
			if answer.Error == gosnmp.NoSuchName {
				to[at].form = absent
			}
			return s.getAround(ctx, list, to, at)
		}
	}
	half := len(list) / 2
	if err == nil && answer.Error == gosnmp.TooBig {
		s.oids = min(s.oids, max(half, 1))
	}
	if err := s.getSome(ctx, list[:half], to[:half]); err != nil {
		return err
	}
	return s.getSome(ctx, list[half:], to[half:])
}

// getAround asks for all but one. The others stay together: devices of version 1 refuse one missing object after the other.
func (s *session) getAround(ctx context.Context, list []oid, to []reading, without int) error {
	rest := make([]oid, 0, len(list)-1)
	rest = append(append(rest, list[:without]...), list[without+1:]...)
	answers := make([]reading, len(rest))
	if err := s.getSome(ctx, rest, answers); err != nil {
		return err
	}
	copy(to[:without], answers[:without])
	copy(to[without+1:], answers[without:])
	return nil
}

// assign puts answers to what was asked. Most devices answer in order; those that do not are forgiven.
func assign(list []oid, answers []gosnmp.SnmpPDU, to []reading) error {
	found := false
	for i, o := range list {
		to[i] = reading{form: broken}
		if i < len(answers) && answers[i].Name == string(o) {
			to[i], found = read(&answers[i]), true
			continue
		}
		for j := range answers {
			if answers[j].Name == string(o) {
				to[i], found = read(&answers[j]), true
				break
			}
		}
	}
	if !found {
		return model.Errorf(model.KindCorrupt, "the device answers with other objects than it was asked for")
	}
	return nil
}
