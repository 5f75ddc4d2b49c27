package dialing

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"

	"banyan/model"
)

// reason is why a connection could not be made, in few words.
func reason(err error) string {
	var known *model.Error
	var number syscall.Errno
	var name *net.DNSError
	switch {
	case errors.As(err, &known):
		return strings.TrimPrefix(known.Error(), ": ")
	case errors.As(err, &name) && name.IsNotFound:
		return "there is no name " + name.Name
	case errors.As(err, &name):
		return "the name " + name.Name + " cannot be resolved: the name server does not answer"
	case isTimeout(err):
		return "nobody answers"
	case errors.As(err, &number):
		return number.Error()
	}
	return err.Error()
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// failures collects what became of each address: of several tries at one, the last word.
type failures struct {
	order []string
	said  map[string]error
}

func (f *failures) add(address string, err error) {
	if f.said == nil {
		f.said = map[string]error{}
	}
	if _, before := f.said[address]; !before {
		f.order = append(f.order, address)
	}
	f.said[address] = err
}

// err is one error about all addresses.
func (f *failures) err() error {
	e := &model.Error{Kind: model.KindUnavailable}
	var parts []string
	for _, address := range f.order {
		err := f.said[address]
		var known *model.Error
		if errors.As(err, &known) && known.Remedy != "" {
			bare := *known
			bare.Remedy = ""
			e.Remedy, err = known.Remedy, &bare
		}
		parts = append(parts, "dialling "+address+": "+reason(err))
	}
	e.Detail = strings.Join(parts, "; ")
	return e
}
