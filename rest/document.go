package rest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"

	"banyan/access"

	"github.com/danielgtaylor/huma/v2"
)

// Version is of the interface that the document describes. It counts up when something is added; what would break a client gets another Prefix.
const Version = "1.0.0"

const aboutAPI = `One tree of contexts over many nodes, as resources. A context has settings (what is wanted), variables (what is observed) and functions.
The same tree is there as gRPC and as JSON methods; no feature is in one of them only.

**Who asks** is said by a token in the header Authorization: Bearer TOKEN: that of a session (openSession), or that of a program (the function
create_token of a user). Operations without that requirement answer anybody.

**Two who edit.** Each context has a revision, which is its ETag. A change with If-Match is done at that revision only; otherwise the answer is
412 with the revision of now, and nothing has changed.

**Twice is once.** A change with the header Idempotency-Key happens once, however often it is sent within a day.

**Errors** are problems (RFC 9457), with the same kinds as in the other interfaces.`

// configuration is the document without its operations.
func configuration() huma.Config {
	config := huma.DefaultConfig("banyan", Version)
	config.CreateHooks = nil // no $schema in documents
	config.AllowAdditionalPropertiesByDefault = true
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.Info.Description = aboutAPI
	config.Info.License = &huma.License{Name: "Apache License 2.0", Identifier: "Apache-2.0"}
	config.Servers = []*huma.Server{{URL: Prefix, Description: "The node that serves this document."}}
	config.Tags = []*huma.Tag{
		{Name: "contexts", Description: "The tree."},
		{Name: "values", Description: "Single settings and variables of contexts."},
		{Name: "functions", Description: "What contexts can do."},
		{Name: "session", Description: "Who asks."},
		{Name: "node", Description: "The node itself, and this document."},
	}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "The token of a session or of a program."},
	}
	config.Security = []map[string][]string{{"token": {}}}
	return config
}

func public(r access.Requirement) bool { return r.Who == access.Public }

// problems are the answers of an operation that are problems.
func problems(o operation, r access.Requirement) map[string]*huma.Response {
	cases := append([]problemCase(nil), o.problems...)
	if !public(r) {
		cases = append(cases, unknownAsker)
	}
	cases = append(cases, tooMany, broken)
	schema := &huma.Schema{Ref: "#/components/schemas/Problem"}
	out := map[string]*huma.Response{}
	for _, c := range cases {
		response := &huma.Response{Description: c.when, Content: map[string]*huma.MediaType{problemType: {Schema: schema}}}
		if c.status == http.StatusTooManyRequests {
			response.Headers = map[string]*huma.Param{"Retry-After": {
				Description: "Seconds to wait.", Schema: &huma.Schema{Type: huma.TypeInteger},
			}}
		}
		out[strconv.Itoa(c.status)] = response
	}
	return out
}

// document is the OpenAPI document in its forms, made when it is first asked for.
type document struct {
	once       sync.Once
	json, yaml []byte
	err        error
}

func (h *Handler) made() *document {
	d := &h.document
	d.once.Do(func() {
		open(h.api.OpenAPI().Components.Schemas.Map())
		var compact []byte
		if compact, d.err = json.Marshal(h.api.OpenAPI()); d.err != nil {
			return
		}
		var indented bytes.Buffer
		if d.err = json.Indent(&indented, compact, "", "  "); d.err != nil {
			return
		}
		d.json = append(indented.Bytes(), '\n')
		d.yaml, d.err = h.api.OpenAPI().YAML()
	})
	return d
}

// open leaves room in answers for what later versions add: only requests, where a name that is not known is a mistake, are closed.
func open(schemas map[string]*huma.Schema) {
	for _, s := range schemas {
		if s.AdditionalProperties == true {
			s.AdditionalProperties = nil
		}
	}
}

// JSON is the OpenAPI document.
func (h *Handler) JSON() ([]byte, error) { d := h.made(); return d.json, d.err }

// YAML is the same.
func (h *Handler) YAML() ([]byte, error) { d := h.made(); return d.yaml, d.err }

// serveDocument adds the document in its forms, which anybody may have: it holds nothing of the node.
func (h *Handler) serveDocument() {
	for form, make := range map[string]func() ([]byte, error){"json": h.JSON, "yaml": h.YAML} {
		h.mux.HandleFunc("GET "+Prefix+"/openapi."+form, func(w http.ResponseWriter, _ *http.Request) {
			raw, err := make()
			if err != nil {
				problemOf(err).write(w)
				return
			}
			w.Header().Set("Content-Type", "application/openapi+"+form)
			_, _ = w.Write(raw)
		})
	}
}
