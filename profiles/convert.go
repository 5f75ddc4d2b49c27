package profiles

import (
	"math"
	"strconv"

	"banyan/model"
)

// Convert makes the point's value of a raw number: scaled, named, of the point's type. The quality is uncertain/out-of-range outside of Min and Max, and
// for a number that is none. An error says that the number cannot be of the point's type at all.
func (p *Point) Convert(raw float64) (model.Value, model.Quality, error) {
	if p.Values != nil && p.Type == model.TypeString {
		return model.String(p.nameOf(int64(raw))), model.QualityGood, nil
	}
	scaled := p.scaled(raw) + p.Offset
	quality := p.judge(scaled)
	switch p.Type {
	case model.TypeFloat64:
		return model.Float64(scaled), quality, nil
	case model.TypeInt64:
		rounded := math.Round(scaled)
		if !(rounded >= -1<<63 && rounded < 1<<63) {
			return model.Value{}, quality, model.Errorf(model.KindInvalid, "%v is no int64", scaled)
		}
		return model.Int64(int64(rounded)), quality, nil
	case model.TypeBool:
		return model.Bool(scaled != 0), model.QualityGood, nil
	case model.TypeString:
		return model.String(strconv.FormatFloat(scaled, 'g', -1, 64)), quality, nil
	case model.TypeDuration:
		nanoseconds := scaled * 1e9
		if !(nanoseconds >= -1<<63 && nanoseconds < 1<<63) {
			return model.Value{}, quality, model.Errorf(model.KindInvalid, "%v seconds are no duration", scaled)
		}
		return model.Scalar(model.TypeDuration, uint64(int64(nanoseconds))), quality, nil
	}
	return model.Value{}, quality, model.Errorf(model.KindInvalid, "a number is no %s", p.Type)
}

// ConvertInt is Convert for whole numbers, exact also beyond 2^53 where nothing is scaled.
func (p *Point) ConvertInt(raw int64) (model.Value, model.Quality, error) {
	if p.Type == model.TypeInt64 && p.scale() == 1 && p.Offset == 0 {
		return model.Int64(raw), p.judge(float64(raw)), nil
	}
	if p.Values != nil && p.Type == model.TypeString {
		return model.String(p.nameOf(raw)), model.QualityGood, nil
	}
	return p.Convert(float64(raw))
}

// Raw is the raw number of a value that somebody wants to set: the way back of Convert. What is outside of Min and Max, or no name, is refused.
func (p *Point) Raw(v model.Value) (float64, error) {
	var number float64
	switch v.Type() {
	case model.TypeFloat64:
		number = v.Float64()
	case model.TypeInt64:
		number = float64(v.Int64())
	case model.TypeBool:
		if v.Bool() {
			number = 1
		}
	case model.TypeDuration:
		number = v.Duration().Seconds()
	case model.TypeString:
		return p.rawOf(v.Text())
	default:
		return 0, model.Errorf(model.KindInvalid, "a %s cannot be written as a number", v.Type())
	}
	if math.IsNaN(number) || p.judge(number) != model.QualityGood {
		return 0, model.Errorf(model.KindInvalid, "%v is outside of %s", number, p.limits())
	}
	return p.unscaled(number - p.Offset), nil
}

func (p *Point) scale() float64 {
	if p.Scale == 0 {
		return 1
	}
	return p.Scale
}

// divisor is the whole number that dividing by is the same as multiplying by Scale, or 0: 2301 divided by 10 is 230.1, multiplied by 0.1 it is
// 230.10000000000002, which nobody wants to read.
func (p *Point) divisor() float64 {
	inverse := 1 / p.scale()
	if whole := math.Round(inverse); whole > 1 && math.Abs(inverse-whole) < 1e-9*whole {
		return whole
	}
	return 0
}

func (p *Point) scaled(raw float64) float64 {
	if d := p.divisor(); d != 0 {
		return raw / d
	}
	return raw * p.scale()
}

func (p *Point) unscaled(v float64) float64 {
	if d := p.divisor(); d != 0 {
		return v * d
	}
	return v / p.scale()
}

func (p *Point) judge(v float64) model.Quality {
	if math.IsNaN(v) || p.Min != nil && v < *p.Min || p.Max != nil && v > *p.Max {
		return model.Quality{Level: model.Uncertain, Reason: model.ReasonRange}
	}
	return model.QualityGood
}

func (p *Point) limits() string {
	text := func(limit *float64, none string) string {
		if limit == nil {
			return none
		}
		return strconv.FormatFloat(*limit, 'g', -1, 64)
	}
	return text(p.Min, "-∞") + " to " + text(p.Max, "∞")
}

// nameOf is what a raw number is called; one without a name is its digits.
func (p *Point) nameOf(raw int64) string {
	if name, known := p.Values[raw]; known {
		return name
	}
	return strconv.FormatInt(raw, 10)
}

func (p *Point) rawOf(name string) (float64, error) {
	for raw, known := range p.Values {
		if known == name {
			return float64(raw), nil
		}
	}
	if p.Values == nil {
		return 0, model.Errorf(model.KindInvalid, "text cannot be written as a number")
	}
	return 0, model.Errorf(model.KindInvalid, "%.80q is none of the values: %s", name, p.names())
}
