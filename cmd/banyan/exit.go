package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"banyan/model"
	"banyan/yamlfile"

	"github.com/spf13/cobra"
)

// The exit codes of the program, as the help of banyan tells them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitDenied      = 3
	exitNotFound    = 4
	exitUnavailable = 5
	exitKept        = 6
)

// endedWith is the end of a command that has exit codes of its own; without an error there is nothing to report.
type endedWith struct {
	code int
	err  error
}

func (e endedWith) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// Unwrap is what is reported.
func (e endedWith) Unwrap() error { return e.err }

// usageError is a mistake in the command line. command is whose help says how it is right.
type usageError struct {
	text    string
	command string
}

func (e usageError) Error() string { return e.text }

// usagef is a mistake that a command finds in its own arguments.
func usagef(cmd *cobra.Command, format string, args ...any) error {
	return usageError{fmt.Sprintf(format, args...), cmd.CommandPath()}
}

// explainFlag adds the way out where a value that begins with a minus was taken for a flag.
func explainFlag(cmd *cobra.Command, err error) error {
	text := err.Error()
	if strings.HasPrefix(text, "unknown shorthand flag") {
		text += "; write -- before a value that begins with a minus"
	}
	return usageError{text, cmd.CommandPath()}
}

// explainArguments has a command that is given too few arguments, or too many, say which it takes.
func explainArguments(cmd *cobra.Command) {
	for _, below := range cmd.Commands() {
		explainArguments(below)
	}
	check, line := cmd.Args, cmd.UseLine()
	if check == nil || !strings.ContainsAny(cmd.Use, " ") {
		return // it takes none
	}
	cmd.Args = func(cmd *cobra.Command, given []string) error {
		err := check(cmd, given)
		if err == nil || !strings.Contains(err.Error(), "arg(s)") {
			return err
		}
		return usagef(cmd, "it is: %s", line)
	}
}

// exitCode is the exit code for an error.
func exitCode(err error) int {
	if _, usage := err.(usageError); usage { //nolint:errorlint // run and usagef never wrap it
		return exitUsage
	}
	switch model.KindOf(err) {
	case model.KindUnauthenticated, model.KindDenied:
		return exitDenied
	case model.KindNotFound:
		return exitNotFound
	case model.KindUnavailable, model.KindTimeout, model.KindUnknownFate:
		return exitUnavailable
	}
	return exitFailed
}

// report prints an error, once, in the one form that errors have, and returns the exit code. What it says came from far away in part, so that
// it is made harmless first.
func report(to io.Writer, err error) int {
	var problems yamlfile.Problems
	if errors.As(err, &problems) {
		for _, problem := range problems { // one a line, as compilers do: editors jump there
			_, _ = fmt.Fprintln(to, clean(problem.String()))
		}
		what := "the topology"
		var e *model.Error
		if errors.As(err, &e) && e.Detail != "" {
			what = e.Detail
		}
		mistakes := "mistakes"
		if len(problems) == 1 {
			mistakes = "mistake"
		}
		err = model.Errorf(model.KindInvalid, "%s has %d %s", what, len(problems), mistakes)
	}
	var refused refusals
	if errors.As(err, &refused) {
		for _, line := range refused.lines {
			_, _ = fmt.Fprintln(to, clean(line))
		}
		err = model.Errorf(refused.kind, "nothing was done: %d refused", len(refused.lines))
	}
	_, _ = fmt.Fprintf(to, "banyan: %s\n", clean(errorText(err)))
	if usage, is := err.(usageError); is { //nolint:errorlint // run and usagef never wrap it
		_, _ = fmt.Fprintf(to, "Run '%s --help' to see what there is.\n", usage.command)
	}
	return exitCode(err)
}

// errorText is what happened, where, and what to do. The node that answered is named, unless the detail does that already.
func errorText(err error) string {
	e, is := err.(*model.Error) //nolint:errorlint // a wrapped one is told by whoever wrapped it
	if !is {
		return err.Error()
	}
	told := *e
	if e.Kind == model.KindDenied && e.Remedy == "" && !e.Path.IsRoot() && strings.HasSuffix(e.Detail, " is needed") {
		told.Remedy = "who administers the node sees with `banyan explain right USER " + model.Address{Path: e.Path, Name: e.Name}.String() + "` what would allow it"
	}
	if e.Node != "" && !namesWord(e.Detail, e.Node) {
		told.Detail = strings.TrimSuffix("at "+e.Node+": "+e.Detail, ": ")
	}
	return told.Error()
}

// namesWord reports whether word stands in text as a word of its own.
func namesWord(text, word string) bool {
	for rest := text; ; {
		at := strings.Index(rest, word)
		if at < 0 {
			return false
		}
		before, after := rest[:at], rest[at+len(word):]
		if (before == "" || !isNameByte(before[len(before)-1])) && (after == "" || !isNameByte(after[0]) || after[0] == '.') {
			return true
		}
		rest = rest[at+1:]
	}
}

func isNameByte(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '_' || b == '-' || b == '.'
}
