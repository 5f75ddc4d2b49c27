package devices

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"banyan/model"
)

// NetworkError says what went wrong between this node and a device, in an operator's words, with the kind that gives the device the right
// state: who is silent or cannot be reached gives an error of kind timeout or unavailable, so the state no-response; who refuses,
// resets, closes or speaks nonsense is there, and has failed. What says what was being done: "connecting to 192.0.2.1:80".
// Nil stays nil, and an error of package model stays what it is.
func NetworkError(what string, err error) error {
	var known *model.Error
	var name *net.DNSError
	var timeout net.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.As(err, &name):
		return nameError(name)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", what, context.Canceled)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT),
		errors.As(err, &timeout) && timeout.Timeout():
		return model.Errorf(model.KindTimeout, "%s: no answer in time", what)
	}
	for _, c := range networkCauses {
		if !errors.Is(err, c.cause) {
			continue
		}
		if c.silent {
			return model.Errorf(model.KindUnavailable, "%s: %s", what, c.text)
		}
		return fmt.Errorf("%s: %s", what, c.text)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// networkCauses are what networks say, and whether the device itself is silent then.
var networkCauses = []struct {
	cause  error
	silent bool
	text   string
}{
	{syscall.ECONNREFUSED, false, "refused: nothing listens there"},
	{syscall.ECONNRESET, false, "the other side reset the connection"},
	{syscall.EPIPE, false, "the other side has closed the connection"},
	{syscall.EHOSTUNREACH, true, "the host cannot be reached"},
	{syscall.ENETUNREACH, true, "this node has no route there"},
	{syscall.EHOSTDOWN, true, "the host is down"},
	{syscall.ENETDOWN, true, "the network is down"},
	{syscall.EACCES, false, "this machine does not allow it: see its firewall"},
	{syscall.EPERM, false, "this machine does not allow it: see its firewall"},
	{syscall.EMFILE, false, "this node has no file descriptor left: raise its limit (LimitNOFILE)"},
	{syscall.ENFILE, false, "this machine has no file descriptor left"},
	{syscall.EADDRNOTAVAIL, false, "this machine has no local port or address for it"},
	{io.ErrUnexpectedEOF, false, "the other side closed the connection in the middle"},
	{io.EOF, false, "the other side closed the connection"},
}

func nameError(err *net.DNSError) error {
	switch {
	case err.IsNotFound:
		return fmt.Errorf("the name %s does not exist, or has no address of the kind that is wanted", err.Name)
	case err.IsTimeout:
		return model.Errorf(model.KindTimeout, "the name %s could not be resolved: no name server answered in time", err.Name)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("resolving %s: %w", err.Name, context.Canceled)
	}
	return model.Errorf(model.KindUnavailable, "the name %s could not be resolved: %s", err.Name, err.Err)
}
