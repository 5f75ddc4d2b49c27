package devices

import (
	"context"
	"errors"
	"strings"

	"banyan/model"
)

// PollNow polls the device once, beside its schedule, and returns when what was read is published: a poll that begins after the
// call. While another poll runs, it waits for that one first. All who wait at the same time share one poll. When ctx ends,
// the poll is cancelled, unless somebody else wants it.
func (m *Manager) PollNow(ctx context.Context, id model.ContextID) (Poll, error) {
	l, err := m.life(id)
	if err != nil {
		return Poll{}, named(err, FunctionPollNow)
	}
	poll, err := l.pollNow(ctx)
	return poll, named(err, FunctionPollNow)
}

// Call calls a function of the device by name, poll_now included. Arguments are checked against the declaration. It returns within
// a quarter of a second of ctx's end, and the work in the device is cancelled then. Who may call is the caller's concern.
func (m *Manager) Call(ctx context.Context, id model.ContextID, function string, arguments []model.Argument) ([]model.Argument, error) {
	l, err := m.life(id)
	if err != nil {
		return nil, named(err, function)
	}
	schema := l.declared(ctx)
	index := schema.FunctionIndex(function)
	if index < 0 {
		return nil, named(l.failure("", model.KindNotFound, "a %s has no such function", l.kind.name), function)
	}
	declared := &schema.Functions[index]
	if err := checkArguments(declared, arguments); err != nil {
		return nil, named(l.failure("", model.KindInvalid, "%w", err), function)
	}
	if function == FunctionPollNow {
		poll, err := l.pollNow(ctx)
		if err != nil {
			return nil, named(err, function)
		}
		return []model.Argument{
			{Name: "time", Value: model.Instant(poll.Began)},
			{Name: "duration", Value: model.Duration(poll.Took)},
			{Name: "polls", Value: model.Int64(poll.Polls)},
		}, nil
	}
	var results []model.Argument
	err = l.do(ctx, "call "+function, declared.Idempotent, func(ctx context.Context, d Device, p Publisher) error {
		answer, err := d.Call(ctx, index, arguments, p)
		if err == nil {
			results = answer
		}
		return err
	})
	if err != nil {
		return nil, named(err, function) // results may still be written by a call that was left behind
	}
	return results, nil
}

// Write sets a writable variable. It returns when the device has taken the value, and what becomes of it is published.
func (m *Manager) Write(ctx context.Context, id model.ContextID, variable string, value model.Value) error {
	l, err := m.life(id)
	if err != nil {
		return named(err, variable)
	}
	schema := l.declared(ctx)
	index := schema.VariableIndex(variable)
	if index < 0 {
		return named(l.failure("", model.KindNotFound, "a %s has no such variable", l.kind.name), variable)
	}
	declared := &schema.Variables[index]
	if !declared.Writable {
		return named(l.failure("", model.KindUnsupported, "the variable can be read only"), variable)
	}
	if value.Type() != declared.Type {
		return named(l.failure("", model.KindInvalid, "the variable is a %s, not a %s", declared.Type, value.Type()), variable)
	}
	err = l.do(ctx, "write "+variable, false, func(ctx context.Context, d Device, p Publisher) error {
		return d.Write(ctx, index, value, p)
	})
	return named(err, variable)
}

// WriteChild sets a variable of a child of the device, which is at these segments below it. That the child declares the variable as writable
// and of the value's type is the caller's concern, who knows the child's schema.
func (m *Manager) WriteChild(ctx context.Context, id model.ContextID, at []string, variable string, value model.Value) error {
	l, err := m.life(id)
	if err != nil {
		return named(err, variable)
	}
	err = l.do(ctx, "write "+strings.Join(at, "/")+":"+variable, false, func(ctx context.Context, d Device, p Publisher) error {
		writer, able := d.(ChildWriter)
		if !able {
			return model.Errorf(model.KindUnsupported, "what a %s has found can only be read", l.kind.name)
		}
		return writer.WriteChild(ctx, at, variable, value, p)
	})
	return named(err, variable)
}

func (m *Manager) life(id model.ContextID) (*life, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.lives[id]; l != nil {
		return l, nil
	}
	return nil, model.Errorf(model.KindNotFound, "no device runs there")
}

// named puts the name of the function or variable into an error that names the device.
func named(err error, name string) error {
	var e *model.Error
	if !errors.As(err, &e) {
		return err
	}
	copied := *e
	copied.Name = name
	return &copied
}

// checkArguments checks that every argument is declared, given once and of its type, and that none is missing.
func checkArguments(f *model.Function, arguments []model.Argument) error {
	given := make(map[string]bool, len(arguments))
	for _, a := range arguments {
		if given[a.Name] {
			return model.Errorf(model.KindInvalid, "parameter %s is given twice", a.Name)
		}
		given[a.Name] = true
	}
	for _, p := range f.Parameters {
		v := Argument(arguments, p.Name)
		if v.IsNone() && !p.Optional {
			return model.Errorf(model.KindInvalid, "parameter %s (%s) is missing", p.Name, p.Type)
		}
		if !v.IsNone() && v.Type() != p.Type {
			return model.Errorf(model.KindInvalid, "parameter %s is a %s, not a %s", p.Name, p.Type, v.Type())
		}
		delete(given, p.Name)
	}
	for _, a := range arguments {
		if given[a.Name] {
			return model.Errorf(model.KindInvalid, "the function has no parameter %q", a.Name)
		}
	}
	return nil
}
