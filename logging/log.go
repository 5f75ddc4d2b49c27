package logging

import (
	"io"
	"log"
	"os"
	"strings"
	"sync/atomic"

	"banyan/model"

	"github.com/hashicorp/go-hclog"
)

// The forms of a line.
const (
	Text = "text"
	JSON = "json"
)

// CheckFormat refuses what is no form of a line; empty is Text.
func CheckFormat(format string) error {
	if format != "" && format != Text && format != JSON {
		return model.Errorf(model.KindInvalid, "log format %s is neither text nor json", quoted(format))
	}
	return nil
}

// Config of a Log.
type Config struct {
	Name   string    // of the program, in front of each component
	Levels Levels    // to begin with
	Format string    // to begin with
	Output io.Writer // os.Stderr when nil
}

// Log is a logger, and where levels and form of all that come from it are changed. What was changed holds from the next line on, whoever writes it.
type Log struct {
	*logger
	control *control
	levels  Levels // to begin with
	format  string
}

// control is what all loggers of a Log have in common.
type control struct {
	levels atomic.Pointer[Levels]
	json   atomic.Bool
}

// New makes a Log.
func New(cfg Config) *Log {
	if cfg.Output == nil {
		cfg.Output = os.Stderr
	}
	c := &control{}
	made := func(json bool) hclog.Logger {
		return hclog.New(&hclog.LoggerOptions{Name: cfg.Name, Level: hclog.Trace, JSONFormat: json, Output: cfg.Output})
	}
	l := &Log{&logger{control: c, text: made(false), json: made(true)}, c, cfg.Levels, cfg.Format}
	l.Set(cfg.Levels, cfg.Format)
	return l
}

// Beginning is what levels and form were to begin with.
func (l *Log) Beginning() (Levels, string) { return l.levels, l.format }

// Set changes levels and form.
func (l *Log) Set(levels Levels, format string) {
	l.control.levels.Store(&levels)
	l.control.json.Store(format == JSON)
}

// logger is one component's. It has both forms, since a line is written in the one that holds then.
type logger struct {
	control    *control
	component  string
	text, json hclog.Logger
	known      atomic.Pointer[known]
}

// known is the level of a component, worked out from some Levels.
type known struct {
	from  *Levels
	level hclog.Level
}

var _ hclog.Logger = (*logger)(nil)

// GetLevel is the level that holds now.
func (l *logger) GetLevel() hclog.Level {
	levels := l.control.levels.Load()
	k := l.known.Load()
	if k == nil || k.from != levels {
		k = &known{levels, levels.of(l.component)}
		l.known.Store(k)
	}
	return k.level
}

func (l *logger) out() hclog.Logger {
	if l.control.json.Load() {
		return l.json
	}
	return l.text
}

// Log writes a line of a level.
func (l *logger) Log(level hclog.Level, msg string, args ...any) {
	if own := l.GetLevel(); own != hclog.Off && level >= own {
		l.out().Log(level, msg, args...)
	}
}

// Trace writes a line.
func (l *logger) Trace(msg string, args ...any) { l.Log(hclog.Trace, msg, args...) }

// Debug writes a line.
func (l *logger) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }

// Info writes a line.
func (l *logger) Info(msg string, args ...any) { l.Log(hclog.Info, msg, args...) }

// Warn writes a line.
func (l *logger) Warn(msg string, args ...any) { l.Log(hclog.Warn, msg, args...) }

// Error writes a line.
func (l *logger) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

func (l *logger) is(level hclog.Level) bool {
	own := l.GetLevel()
	return own != hclog.Off && level >= own
}

// IsTrace reports whether such lines are written.
func (l *logger) IsTrace() bool { return l.is(hclog.Trace) }

// IsDebug reports whether such lines are written.
func (l *logger) IsDebug() bool { return l.is(hclog.Debug) }

// IsInfo reports whether such lines are written.
func (l *logger) IsInfo() bool { return l.is(hclog.Info) }

// IsWarn reports whether such lines are written.
func (l *logger) IsWarn() bool { return l.is(hclog.Warn) }

// IsError reports whether such lines are written.
func (l *logger) IsError() bool { return l.is(hclog.Error) }

// ImpliedArgs are the pairs of each line.
func (l *logger) ImpliedArgs() []any { return l.text.ImpliedArgs() }

// With is a logger with more pairs in each line.
func (l *logger) With(args ...any) hclog.Logger {
	return &logger{control: l.control, component: l.component, text: l.text.With(args...), json: l.json.With(args...)}
}

// Name is the program's and the component's.
func (l *logger) Name() string { return l.text.Name() }

// Named is the logger of a component below this one.
func (l *logger) Named(name string) hclog.Logger {
	return &logger{
		control: l.control, component: strings.TrimPrefix(l.component+"."+name, "."), text: l.text.Named(name), json: l.json.Named(name),
	}
}

// ResetNamed is the logger of a component of this name alone.
func (l *logger) ResetNamed(name string) hclog.Logger {
	return &logger{control: l.control, component: name, text: l.text.ResetNamed(name), json: l.json.ResetNamed(name)}
}

// SetLevel does nothing: levels belong to the Log.
func (*logger) SetLevel(hclog.Level) {}

// StandardWriter is for libraries that write lines.
func (l *logger) StandardWriter(*hclog.StandardLoggerOptions) io.Writer { return lines{l} }

// StandardLogger is for libraries that have a logger of their own.
func (l *logger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return log.New(lines{l}, "", 0)
}

// lines takes lines of others, as information.
type lines struct{ to *logger }

// Write writes a line.
func (w lines) Write(line []byte) (int, error) {
	w.to.Info(strings.TrimSpace(string(line)))
	return len(line), nil
}
