package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"banyan/model"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/structpb"
)

// maxTypedBytes bounds what is read from standard input as a value: the JSON form of the largest one.
const maxTypedBytes = 8 << 20

// named are values with their names, as they stand on a command line: NAME=TEXT as a person types it, or NAME:=JSON.
type named struct {
	texts  map[string]string
	values map[string]*structpb.Value
}

// parseNamed reads NAME=TEXT and NAME:=JSON.
func parseNamed(args []string) (named, error) {
	n := named{texts: map[string]string{}, values: map[string]*structpb.Value{}}
	for _, arg := range args {
		name, text, found := strings.Cut(arg, "=")
		if !found {
			return n, fmt.Errorf("%q is not NAME=VALUE", arg)
		}
		name, asJSON := strings.CutSuffix(name, ":")
		if err := model.CheckName(name); err != nil {
			return n, err
		}
		if n.has(name) {
			return n, fmt.Errorf("%s is given twice", name)
		}
		if !asJSON {
			n.texts[name] = text
			continue
		}
		value, err := parseJSON(text)
		if err != nil {
			return n, fmt.Errorf("%s: %w", name, err)
		}
		n.values[name] = value
	}
	return n, nil
}

func (n *named) has(name string) bool {
	_, typed := n.texts[name]
	_, valued := n.values[name]
	return typed || valued
}

// namedFlags are how values come to a command beside its arguments.
type namedFlags struct{ values, secret string }

func (f *namedFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.values, "values", "", "all values as one JSON object; - reads it from standard input")
	cmd.Flags().StringVar(&f.secret, "stdin", "", "name of a value that is read from standard input, so that no list of processes shows it")
}

// read puts the values of arguments and flags together.
func (f *namedFlags) read(c *cli, cmd *cobra.Command, args []string) (named, error) {
	n, err := parseNamed(args)
	if err != nil {
		return n, usagef(cmd, "%v", err)
	}
	if f.values != "" {
		text := f.values
		if text == "-" {
			if text, err = c.readInput(); err != nil {
				return n, err
			}
		}
		object, err := parseJSON(text)
		if err != nil || object.GetStructValue() == nil {
			return n, usagef(cmd, "--values is not a JSON object: %v", err)
		}
		for name, value := range object.GetStructValue().GetFields() {
			if n.has(name) {
				return n, usagef(cmd, "%s is given twice", name)
			}
			n.values[name] = value
		}
	}
	if f.secret != "" {
		if n.has(f.secret) || f.values == "-" {
			return n, usagef(cmd, "%s is given twice", f.secret)
		}
		if n.texts[f.secret], err = c.readInput(); err != nil {
			return n, err
		}
	}
	return n, nil
}

// readInput reads standard input whole, without the end of its last line.
func (c *cli) readInput() (string, error) {
	raw, err := io.ReadAll(io.LimitReader(c.in, maxTypedBytes+1))
	if err != nil {
		return "", err
	}
	if len(raw) > maxTypedBytes {
		return "", model.Errorf(model.KindInvalid, "standard input holds more than %d bytes", maxTypedBytes)
	}
	text := strings.TrimSuffix(string(raw), "\n")
	return strings.TrimSuffix(text, "\r"), nil
}

// parseJSON reads one JSON value. Protobuf carries numbers as float64; a whole number that would lose digits goes as a string, which is the
// form of an int64 and is refused for a float64, rather than being changed silently.
func parseJSON(text string) (*structpb.Value, error) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.UseNumber()
	var decoded any
	if err := decoder.Decode(&decoded); err != nil {
		return nil, fmt.Errorf("%.64q is not JSON: %w", text, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%.64q is more than one JSON value", text)
	}
	return structpb.NewValue(exact(decoded))
}

// exact turns numbers into what carries all their digits.
func exact(decoded any) any {
	switch v := decoded.(type) {
	case json.Number:
		f, err := v.Float64()
		if whole, isWhole := v.Int64(); err != nil || isWhole == nil && int64(f) != whole {
			return v.String()
		}
		return f
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = exact(v[key])
		}
	}
	return decoded
}

// parseAddress reads PATH:NAME.
func parseAddress(cmd *cobra.Command, text string) (model.Address, error) {
	address, err := model.ParseAddress(text)
	if err != nil {
		return address, usagef(cmd, "%v", err)
	}
	if address.Name == "" {
		return address, usagef(cmd, "%s names a context and nothing of it: write PATH:NAME", address)
	}
	return address, nil
}

// parsePath reads a path; none is the root.
func parsePath(cmd *cobra.Command, args []string) (model.Path, error) {
	if len(args) == 0 {
		return model.Root, nil
	}
	path, err := model.ParsePath(args[0])
	if err != nil {
		return path, usagef(cmd, "%v", err)
	}
	return path, nil
}
