package snmp

import (
	"math"
	"strconv"
	"strings"
	"time"

	"banyan/model"
)

// first is the first of several answers that says something: an empty text is passed over where there is another one.
func (p *point) first(answers []reading) (r reading, which int) {
	which = -1
	for i, at := range p.from {
		switch a := answers[at]; {
		case !a.there():
			if which < 0 && a.form > r.form {
				r = a // why there is none
			}
		case which < 0 || r.form == octets && r.text == "":
			r, which = a, i
		}
		if which >= 0 && !(r.form == octets && r.text == "") {
			break
		}
	}
	return r, which
}

// convert makes the variable's value of an answer.
func (p *point) convert(r reading) (model.Value, model.Quality) {
	switch {
	case r.form == broken:
		return model.Value{}, qualityFailed
	case !r.there():
		return model.Value{}, qualityUnsupported
	}
	v, q, ok := model.Value{}, model.QualityGood, false
	switch p.declared.Type {
	case model.TypeString:
		v, q, ok = p.text(r)
	case model.TypeInt64, model.TypeFloat64:
		v, q, ok = p.number(r)
	case model.TypeDuration:
		v, q, ok = p.duration(r)
	case model.TypeBool:
		v, ok = model.Bool(int64(r.number) == p.on), r.numeric()
	case model.TypeTime:
		v, ok = instant(r)
	case model.TypeBytes:
		v, ok = model.Bytes([]byte(r.text)), r.form == octets
	}
	if !ok {
		return model.Value{}, qualityFailed
	}
	return v, q
}

func (p *point) text(r reading) (model.Value, model.Quality, bool) {
	if r.numeric() && p.declared.Values != nil {
		n, _ := r.signed()
		v, q, err := p.declared.ConvertInt(n)
		return v, q, err == nil
	}
	if r.form == octets {
		text, ok := show(r.text, p.as)
		return model.String(text), model.QualityGood, ok
	}
	return model.String(r.plain()), model.QualityGood, true
}

// number makes a number of a number, or of text that is one.
func (p *point) number(r reading) (model.Value, model.Quality, bool) {
	f := 0.0
	switch r.form {
	case float:
		f = math.Float64frombits(r.number)
	case octets:
		var err error
		if f, err = strconv.ParseFloat(strings.TrimSpace(strings.TrimRight(r.text, "\x00")), 64); err != nil {
			return model.Value{}, model.Quality{}, false
		}
	default:
		if !r.numeric() {
			return model.Value{}, model.Quality{}, false
		}
		n, exact := r.signed()
		if exact {
			v, q, err := p.declared.ConvertInt(n)
			return v, q, err == nil
		}
		f = float64(r.number)
		if p.declared.Type == model.TypeInt64 && p.declared.Scale == 1 && p.declared.Offset == 0 {
			return model.Int64(math.MaxInt64), qualityRange, true
		}
	}
	v, q, err := p.declared.Convert(f)
	return v, q, err == nil
}

// amount is a whole number that counts something. Agents count what is beyond 2^31 on into the negative numbers.
func amount(r reading) (float64, bool) {
	n, _ := r.signed()
	if r.form == integer && n < 0 {
		n += 1 << 32
	}
	return float64(n), r.numeric()
}

// related is a value in relation to others of its row: times and percent_of.
func (p *point) related(r reading, cells []reading, points []point) (model.Value, model.Quality) {
	if !r.there() {
		return p.convert(r)
	}
	f, ok := amount(r)
	other := func(column int) float64 {
		if column < 0 {
			return 1
		}
		o, _ := points[column].first(cells)
		n, known := amount(o)
		ok = ok && known
		return n
	}
	f *= other(p.times)
	if p.percentOf >= 0 {
		if f /= other(p.percentOf) / 100; math.IsNaN(f) || math.IsInf(f, 0) {
			return model.Value{}, qualityUnsupported // of nothing
		}
	}
	v, q, err := p.declared.Convert(f)
	if !ok || err != nil {
		return model.Value{}, qualityFailed
	}
	return v, q
}

// duration is exact for ticks; other numbers are seconds where scale does not say otherwise.
func (p *point) duration(r reading) (model.Value, model.Quality, bool) {
	switch {
	case r.form == ticks && p.declared.Scale == 1 && p.declared.Offset == 0:
		return model.Duration(time.Duration(r.number) * 10 * time.Millisecond), model.QualityGood, true
	case r.form == ticks:
		v, q, err := p.declared.Convert(float64(r.number) / 100)
		return v, q, err == nil
	case r.numeric():
		n, _ := r.signed()
		v, q, err := p.declared.Convert(float64(n))
		return v, q, err == nil
	}
	return model.Value{}, model.Quality{}, false
}

// instant is a DateAndTime, or a number of seconds since 1970.
func instant(r reading) (model.Value, bool) {
	if r.form == octets {
		t, ok := dateAndTime(r.text)
		return model.Instant(t), ok
	}
	n, _ := r.signed()
	return model.Instant(model.TimeOf(time.Unix(min(n, math.MaxUint32), 0))), r.numeric() && n > 0
}
