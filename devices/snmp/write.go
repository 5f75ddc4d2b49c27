package snmp

import (
	"context"
	"encoding/hex"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"

	"banyan/devices"
	"banyan/model"
)

// Write sets an object, and publishes what the device then says.
func (d *device) Write(ctx context.Context, variable int, value model.Value, publish devices.Publisher) error {
	p := d.planned()
	if p == nil {
		return model.Errorf(model.KindUnavailable, "the device was not asked yet what it is")
	}
	at := slices.IndexFunc(p.points, func(pt point) bool { return pt.variable == variable })
	if at < 0 || !p.points[at].declared.Writable {
		return model.Errorf(model.KindUnsupported, "the variable cannot be written")
	}
	return d.write(ctx, &p.points[at], "", value, publish)
}

// WriteChild sets an object of a row of a table.
func (d *device) WriteChild(ctx context.Context, at []string, variable string, value model.Value, publish devices.Publisher) error {
	d.mu.Lock()
	var row place
	if len(at) == 2 {
		row = d.places[at[0]][at[1]]
	}
	d.mu.Unlock()
	if row.table == nil {
		return model.Errorf(model.KindNotFound, "the device has nothing called %s (any more)", strings.Join(at, "/"))
	}
	i := slices.IndexFunc(row.table.points, func(p point) bool { return p.declared.Name == variable })
	if i < 0 || !row.table.points[i].declared.Writable {
		return model.Errorf(model.KindNotFound, "the device has no variable %s there that can be written", variable)
	}
	folder, err := publish.Child(at[0], row.table.declared.Title, devices.FolderSchema)
	if err != nil {
		return err
	}
	child, err := folder.Child(at[1], row.label, row.table.schema)
	if err != nil {
		return err
	}
	return d.write(ctx, &row.table.points[i], "."+row.index, value, child)
}

// write finds the object that the device has, sends the value in the form in which the device has it, and reads it back.
func (d *device) write(ctx context.Context, p *point, suffix string, value model.Value, publish devices.Publisher) error {
	list := make([]oid, len(p.oids))
	for i, o := range p.oids {
		list[i] = o + oid(suffix)
	}
	answers := make([]reading, len(list))
	if err := d.session.get(ctx, list, answers); err != nil {
		return err
	}
	at := slices.IndexFunc(answers, reading.there)
	if at < 0 && p.set == "" {
		return model.Errorf(model.KindUnsupported, "the device does not have %s", list[0])
	}
	at = max(at, 0)
	as := answers[at].form
	if p.set != "" {
		as = setForms[p.set]
	}
	v, err := p.encode(list[at], as, value)
	if err != nil {
		return err
	}
	if err := d.session.set(ctx, v); err != nil {
		return err
	}
	if err := d.session.get(ctx, list[at:at+1], answers[at:at+1]); err != nil {
		return model.Errorf(model.KindUnknownFate, "it was sent, and the device does not answer what came of it: %w", err)
	}
	shown, quality := p.convert(answers[at])
	publish.Publish([]devices.Update{{Variable: p.variable, Value: shown, Quality: quality, Source: model.TimeOf(time.Now())}})
	return nil
}

// set sends a value and says what the device has against it. It is not sent again when no answer comes: nobody knows whether it was done.
func (s *session) set(ctx context.Context, v gosnmp.SnmpPDU) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.release()
	sent := false
	answer, err := s.send(ctx, func() (*gosnmp.SnmpPacket, error) {
		sent = true
		retries := s.client.Retries
		s.client.Retries = 0
		answer, err := s.client.Set([]gosnmp.SnmpPDU{v})
		s.client.Retries = retries
		return answer, err
	})
	switch kind := model.KindOf(err); {
	case err != nil && sent && (kind == model.KindTimeout || kind == model.KindCanceled || kind == model.KindCorrupt):
		return model.Errorf(model.KindUnknownFate, "it may or may not have been done: %w", err)
	case err != nil:
		return err
	case answer.Error == gosnmp.NoError:
		return nil
	}
	return refusedSet(answer.Error)
}

func refusedSet(e gosnmp.SNMPError) error {
	refused := &model.Error{Kind: model.KindInvalid, Detail: "the device refuses the value: " + status(e)}
	switch e {
	case gosnmp.NoAccess, gosnmp.AuthorizationError, gosnmp.ReadOnly, gosnmp.NotWritable, gosnmp.NoSuchName, gosnmp.NoCreation:
		refused.Kind = model.KindDenied
		refused.Detail = "the device does not let it be set: " + status(e)
		refused.Remedy = "the community or user of the device may need to be one that can write"
	case gosnmp.GenErr, gosnmp.ResourceUnavailable, gosnmp.CommitFailed, gosnmp.UndoFailed:
		refused.Kind = model.KindUnavailable
		refused.Detail = "the device failed to set it: " + status(e)
	}
	return refused
}

// encode makes of a value what is sent, in one of the forms of answers.
func (p *point) encode(at oid, as form, value model.Value) (gosnmp.SnmpPDU, error) {
	v := gosnmp.SnmpPDU{Name: string(at)}
	switch as {
	case octets:
		raw, err := p.octets(value)
		v.Type, v.Value = gosnmp.OctetString, raw
		return v, err
	case objectID:
		o, err := parseOID(value.Text())
		v.Type, v.Value = gosnmp.ObjectIdentifier, string(o)
		return v, err
	case address:
		a, err := netip.ParseAddr(value.Text())
		v.Type, v.Value = gosnmp.IPAddress, a.String()
		if err != nil || !a.Is4() {
			return v, model.Errorf(model.KindInvalid, "%.80q is not an IPv4 address", value.Text())
		}
		return v, nil
	}
	n, err := p.raw(as, value)
	if err != nil {
		return v, err
	}
	least, most := int64(0), int64(math.MaxUint32)
	switch as {
	case integer:
		least, most = math.MinInt32, math.MaxInt32
		v.Type, v.Value = gosnmp.Integer, int(n)
	case unsigned:
		v.Type, v.Value = gosnmp.Gauge32, uint32(n)
	case ticks:
		v.Type, v.Value = gosnmp.TimeTicks, uint32(n)
	default:
		return v, model.Errorf(model.KindUnsupported, "an object of the type %s cannot be set", reading{form: as}.typeName())
	}
	if n < least || n > most {
		return v, model.Errorf(model.KindInvalid, "%d is outside of what the device can take", n)
	}
	return v, nil
}

// raw is the whole number that stands for a value.
func (p *point) raw(as form, value model.Value) (int64, error) {
	if value.Type() == model.TypeBool {
		if value.Bool() {
			return p.on, nil
		}
		if p.on == 1 {
			return 2, nil // TruthValue of RFC 2579
		}
		return 0, nil
	}
	f, err := p.declared.Raw(value)
	if err != nil {
		return 0, err
	}
	if as == ticks && value.Type() == model.TypeDuration {
		f *= 100
	}
	if f = math.Round(f); f < math.MinInt32 || f > math.MaxUint32 {
		return 0, model.Errorf(model.KindInvalid, "%v is outside of what the device can take", f)
	}
	return int64(f), nil
}

// octets are the bytes that stand for a value.
func (p *point) octets(value model.Value) ([]byte, error) {
	const most = 65535 // RFC 2578, 7.1.2
	raw := value.Bytes()
	switch {
	case value.Type() == model.TypeBytes:
	case p.as == asHex || p.as == asMAC || p.set == "hex":
		var err error
		if raw, err = hex.DecodeString(strings.NewReplacer(":", "", "-", "", " ", "").Replace(value.Text())); err != nil {
			return nil, model.Errorf(model.KindInvalid, "%.80q is not in hexadecimal", value.Text())
		}
	case p.as == asIP:
		a, err := netip.ParseAddr(value.Text())
		if err != nil {
			return nil, model.Errorf(model.KindInvalid, "%.80q is not an IP address", value.Text())
		}
		raw = a.AsSlice()
	case p.as == asTime || p.as == asBits:
		return nil, model.Errorf(model.KindUnsupported, "what is shown as %s cannot be written", p.as)
	default:
		raw = []byte(value.String())
	}
	if len(raw) > most {
		return nil, model.Errorf(model.KindInvalid, "%d bytes are more than an object can have", len(raw))
	}
	return raw, nil
}
