package rest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// described is the document as a reader sees it.
type described struct {
	OpenAPI string
	Paths   map[string]map[string]struct {
		OperationID, Summary, Description string
		Parameters                        []struct{ Name, In, Description string }
		Responses                         map[string]any
		Security                          []any
	}
	Components struct{ Schemas map[string]any }
}

func describe(t *testing.T, h *Handler) described {
	t.Helper()
	raw, err := h.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var d described
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestEveryRouteIsDeclaredAndDescribed: what is served, what is in the table of who may, and what is in the document are the same.
func TestEveryRouteIsDeclaredAndDescribed(t *testing.T) {
	d := describe(t, New(Config{}))
	served := []string{"GET " + Prefix + "/openapi.json", "GET " + Prefix + "/openapi.yaml"}
	for path, methods := range d.Paths {
		for method, op := range methods {
			served = append(served, strings.ToUpper(method)+" "+Prefix+path)
			if op.OperationID == "" || op.Summary == "" || op.Description == "" {
				t.Errorf("%s %s is not described: %+v", method, path, op)
			}
			missing := path
			for _, parameter := range op.Parameters {
				missing = strings.Replace(missing, "{"+parameter.Name+"}", "", 1)
				if parameter.Description == "" {
					t.Errorf("%s does not describe %s", op.OperationID, parameter.Name)
				}
			}
			if strings.Contains(missing, "{") {
				t.Errorf("%s does not have the parameter of its URL %s", op.OperationID, path)
			}
			for _, status := range []string{"429", "500"} {
				if op.Responses[status] == nil {
					t.Errorf("%s does not say when it answers %s", op.OperationID, status)
				}
			}
			if op.Security == nil && op.Responses["401"] == nil {
				t.Errorf("%s asks for a token and does not say what happens without", op.OperationID)
			}
		}
	}
	if err := Routes.Check(served); err != nil {
		t.Error(err)
	}
	if d.OpenAPI != "3.1.0" || len(d.Components.Schemas) < 10 {
		t.Errorf("%s, %d schemas", d.OpenAPI, len(d.Components.Schemas))
	}
}

// TestDocumentIsServed to anybody, without a core.
func TestDocumentIsServed(t *testing.T) {
	h := New(Config{Enter: letIn})
	for form, begins := range map[string]string{"json": "{", "yaml": "components:"} {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, Prefix+"/openapi."+form, nil))
		if answer.Code != http.StatusOK || answer.Header().Get("Content-Type") != "application/openapi+"+form || !strings.HasPrefix(answer.Body.String(), begins) {
			t.Errorf("%s: %d %v %.40s", form, answer.Code, answer.Header(), answer.Body)
		}
	}
}

// TestCommittedDocument: the one in the repository is what the code gives.
func TestCommittedDocument(t *testing.T) {
	committed, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	made, err := New(Config{}).YAML()
	if err != nil || string(made) != string(committed) {
		t.Errorf("rest/openapi.yaml is not what the code gives (%v): run 'make gen' and commit the result", err)
	}
}
