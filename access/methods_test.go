package access

import (
	"strings"
	"testing"

	"banyan/model"
)

func TestMethods(t *testing.T) {
	table := Methods{
		"/banyan.v1.Health/Check": {Who: Public},
		"/banyan.v1.Tree/Get":     {Who: Entitled, Right: model.RightView, Field: "path"},
		"/banyan.v1.Tree/Set":     {Who: Declared, Right: model.RightView, Field: "path"},
		"/banyan.v1.Tree/Search":  {Who: Filtered, Right: model.RightView},
		"/banyan.v1.Self/Who":     {Who: Authenticated},
		"/banyan.v1.Link/Follow":  {Who: Neighbour},
	}
	served := []string{"/banyan.v1.Health/Check", "/banyan.v1.Tree/Get", "/banyan.v1.Tree/Set", "/banyan.v1.Tree/Search", "/banyan.v1.Self/Who", "/banyan.v1.Link/Follow"}
	if err := table.Check(served); err != nil {
		t.Error(err)
	}
	if r, err := table.Of(served[1]); err != nil || r.Right != model.RightView {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := table.Of("/banyan.v1.Tree/Remove\n"); model.KindOf(err) != model.KindDenied || strings.Contains(err.Error(), "\n") {
		t.Errorf("an undeclared method: %v", err)
	}
	err := table.Check(append(served[1:], "/banyan.v1.Tree/Remove"))
	want := "/banyan.v1.Health/Check is declared and not served\n/banyan.v1.Tree/Remove is served and not declared"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

// TestIncompleteRequirements: what is half declared answers nobody and fails the check.
func TestIncompleteRequirements(t *testing.T) {
	for _, r := range []Requirement{
		{},
		{Who: Neighbour + 1},
		{Who: Public, Right: model.RightView},
		{Who: Authenticated, Field: "path"},
		{Who: Entitled, Field: "path"},
		{Who: Entitled, Right: model.RightView},
		{Who: Declared, Right: 5, Field: "path"},
		{Who: Filtered},
		{Who: Filtered, Right: model.RightView, Field: "path"},
	} {
		table := Methods{"/s/M": r}
		if table.Check([]string{"/s/M"}) == nil {
			t.Errorf("%+v passed the check", r)
		}
		if _, err := table.Of("/s/M"); model.KindOf(err) != model.KindDenied {
			t.Errorf("%+v may be called: %v", r, err)
		}
	}
}
