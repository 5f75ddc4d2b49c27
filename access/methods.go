package access

import (
	"errors"
	"slices"
	"strings"

	"banyan/model"
)

// Who says whom a method answers. The zero value answers nobody.
type Who uint8

// The classes of methods.
const (
	Nobody        Who = iota
	Public            // anybody, without an identity: health, login, reflection
	Authenticated     // whoever has an identity, about nothing but themselves
	Entitled          // who has Right on the path in the request
	Declared          // who has the right that the schema declares for what the request addresses, and Right at least
	Filtered          // whoever has an identity; the answer holds only that on which they have Right
	Neighbour         // the other end of a link, proved by its certificate
)

// Requirement is what a method asks of whoever calls it.
type Requirement struct {
	Who   Who
	Right model.Right // for Entitled, Declared and Filtered
	Field string      // for Entitled and Declared: the field of the request that holds the path, like "path", or the path itself, like "/system"
}

func (r Requirement) check() string {
	rights := r.Right >= model.RightView && r.Right <= model.RightAdminister
	switch r.Who {
	case Public, Authenticated, Neighbour:
		if r.Right != model.RightNone || r.Field != "" {
			return "names a right or a field that nobody asks for"
		}
	case Entitled, Declared:
		if !rights || r.Field == "" {
			return "needs a right and the field that holds the path"
		}
	case Filtered:
		if !rights || r.Field != "" {
			return "needs a right and no field"
		}
	default:
		return "does not say whom it answers"
	}
	return ""
}

// Methods declares what each method requires, by its full name, like "/banyan.v1.Tree/Set". What is not in it is refused.
type Methods map[string]Requirement

// Of is what a method requires. An undeclared one is refused with an error that names it.
func (m Methods) Of(method string) (Requirement, error) {
	r, ok := m[method]
	if !ok || r.check() != "" {
		return Requirement{}, model.Errorf(model.KindDenied, "method %s is not declared, so nobody may call it", shownMethod(method))
	}
	return r, nil
}

// Check compares the table with all methods that are served: each must be declared, each declared one must exist, and each requirement
// must be complete. The error names every difference.
func (m Methods) Check(served []string) error {
	var wrong []error
	for _, method := range served {
		if _, ok := m[method]; !ok {
			wrong = append(wrong, model.Errorf(model.KindInvalid, "%s is served and not declared", shownMethod(method)))
		}
	}
	for method, r := range m {
		if !slices.Contains(served, method) {
			wrong = append(wrong, model.Errorf(model.KindInvalid, "%s is declared and not served", shownMethod(method)))
		}
		if text := r.check(); text != "" {
			wrong = append(wrong, model.Errorf(model.KindInvalid, "%s %s", shownMethod(method), text))
		}
	}
	slices.SortFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(wrong...)
}

// shownMethod is the name of a method, which a caller may have made up, as it may stand in a message.
func shownMethod(method string) string {
	service, name, ok := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	if ok && method[0] == '/' && model.CheckName(service) == nil && model.CheckName(name) == nil {
		return method
	}
	return shown(method)
}
