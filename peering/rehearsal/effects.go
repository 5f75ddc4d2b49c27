package rehearsal

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"banyan/model"
)

// Effects are what is done to a line at one moment. The zero value is nothing.
type Effects struct {
	Delay    time.Duration // each way, at most MostDelay
	Jitter   time.Duration // the delay is by chance that much shorter or longer; at most Delay
	Rate     int64         // bytes a second each way, 0 for as fast as it goes
	Loss     float64       // chance that a packet is lost, 0 to 1
	BlockIn  bool          // nothing arrives here
	BlockOut bool          // nothing leaves
	Cut      bool          // connections break, and none comes about
	Refuse   bool          // none comes about
}

// Bounds of effects.
const (
	MostDelay = time.Minute
	LeastRate = 100
	MostRate  = 1_000_000_000
)

// none reports whether nothing is done.
func (e Effects) none() bool { return e == Effects{} }

// refuses reports whether no connection comes about.
func (e *Effects) refuses() bool { return e.Cut || e.Refuse }

// silent reports whether whoever dials hears nothing.
func (e *Effects) silent() bool { return e.BlockIn || e.BlockOut }

// over lays effects over others: what they say outweighs.
func (e Effects) over(base Effects) Effects {
	if e.Delay == 0 {
		e.Delay = base.Delay
	}
	if e.Jitter == 0 {
		e.Jitter = min(base.Jitter, e.Delay)
	}
	if e.Rate == 0 {
		e.Rate = base.Rate
	}
	if e.Loss == 0 {
		e.Loss = base.Loss
	}
	e.BlockIn, e.BlockOut = e.BlockIn || base.BlockIn, e.BlockOut || base.BlockOut
	e.Cut, e.Refuse = e.Cut || base.Cut, e.Refuse || base.Refuse
	return e
}

// String is the effects as ParseEffects reads them; "none" for nothing.
func (e Effects) String() string {
	var words []string
	add := func(given bool, format string, args ...any) {
		if given {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	add(e.Delay > 0, "delay=%s", e.Delay)
	add(e.Jitter > 0, "jitter=%s", e.Jitter)
	add(e.Rate > 0, "rate=%d", e.Rate)
	add(e.Loss > 0, "loss=%s%%", strconv.FormatFloat(e.Loss*100, 'f', -1, 64))
	switch {
	case e.BlockIn && e.BlockOut:
		words = append(words, "block=both")
	case e.BlockIn:
		words = append(words, "block=in")
	case e.BlockOut:
		words = append(words, "block=out")
	}
	add(e.Cut, "cut")
	add(e.Refuse, "refuse")
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, " ")
}

const effectsRemedy = "write words like: delay=300ms jitter=50ms rate=20k loss=2% block=in|out|both cut refuse"

// ParseEffects reads words apart by spaces or commas.
func ParseEffects(text string) (Effects, error) {
	var e Effects
	for _, word := range wordsOf(text) {
		if err := e.take(word); err != nil {
			return Effects{}, err
		}
	}
	return e, e.check()
}

// mostWords bounds what is read of a text.
const mostWords = 1000

func wordsOf(text string) []string {
	words := strings.FieldsFunc(text[:min(len(text), 64<<10)], func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })
	return words[:min(len(words), mostWords)]
}

func (e *Effects) take(word string) error {
	name, value, _ := strings.Cut(word, "=")
	var err error
	switch name {
	case "none":
	case "cut":
		e.Cut = true
	case "refuse":
		e.Refuse = true
	case "delay":
		e.Delay, err = time.ParseDuration(value)
	case "jitter":
		e.Jitter, err = time.ParseDuration(value)
	case "rate":
		e.Rate, err = parseRate(value)
	case "loss":
		e.Loss, err = strconv.ParseFloat(strings.TrimSuffix(value, "%"), 64)
		e.Loss /= 100
	case "block":
		switch value {
		case "in":
			e.BlockIn = true
		case "out":
			e.BlockOut = true
		case "both":
			e.BlockIn, e.BlockOut = true, true
		default:
			return invalid("block is in, out or both, not %q", value)
		}
	default:
		return invalid("%q is nothing that can be done to a line", word)
	}
	if err != nil {
		return invalid("%s=%q cannot be read", name, value)
	}
	return nil
}

// parseRate reads bytes a second, with k, M or G behind them for thousands of those before.
func parseRate(text string) (int64, error) {
	factor := int64(1)
	for unit, by := range map[string]int64{"k": 1e3, "M": 1e6, "G": 1e9} {
		if bare, is := strings.CutSuffix(text, unit); is {
			text, factor = bare, by
			break
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err == nil && (n <= 0 || n > MostRate/factor) {
		err = strconv.ErrRange
	}
	return n * factor, err
}

func (e *Effects) check() error {
	switch {
	case e.Delay < 0 || e.Delay > MostDelay:
		return invalid("delay is at most %s, not %s", MostDelay, e.Delay)
	case e.Jitter < 0 || e.Jitter > e.Delay:
		return invalid("jitter is at most the delay, not %s", e.Jitter)
	case e.Rate != 0 && (e.Rate < LeastRate || e.Rate > MostRate):
		return invalid("rate is %d to %d bytes a second, not %d", LeastRate, MostRate, e.Rate)
	case !(e.Loss >= 0 && e.Loss <= 1):
		return invalid("loss is between 0%% and 100%%")
	}
	return nil
}

func invalid(format string, args ...any) error {
	err := model.Errorf(model.KindInvalid, format, args...)
	err.Remedy = effectsRemedy
	return err
}
