package rest

import (
	"net/http"

	"banyan/access"
	"banyan/model"

	"github.com/danielgtaylor/huma/v2"
)

// Routes says whom each operation answers, by method and URL. One that is not here answers nobody.
var Routes = access.Methods{
	"GET " + Prefix + "/contexts/{path}":      {Who: access.Entitled, Right: model.RightView, Field: "path"},
	"GET " + Prefix + "/children/{path}":      {Who: access.Filtered, Right: model.RightView},
	"GET " + Prefix + "/settings/{path}":      {Who: access.Entitled, Right: model.RightView, Field: "path"},
	"PUT " + Prefix + "/settings/{path}":      {Who: access.Declared, Right: model.RightView, Field: "path"},
	"PATCH " + Prefix + "/settings/{path}":    {Who: access.Declared, Right: model.RightView, Field: "path"},
	"POST " + Prefix + "/edits":               {Who: access.Declared, Right: model.RightView, Field: "edits"},
	"GET " + Prefix + "/export/{path}":        {Who: access.Filtered, Right: model.RightView},
	"POST " + Prefix + "/contexts":            {Who: access.Entitled, Right: model.RightConfigure, Field: "path"},
	"DELETE " + Prefix + "/contexts/{path}":   {Who: access.Entitled, Right: model.RightConfigure, Field: "path"},
	"GET " + Prefix + "/values/{address}":     {Who: access.Entitled, Right: model.RightView, Field: "address"},
	"PUT " + Prefix + "/values/{address}":     {Who: access.Declared, Right: model.RightView, Field: "address"},
	"POST " + Prefix + "/functions/{address}": {Who: access.Declared, Right: model.RightView, Field: "address"},
	"GET " + Prefix + "/requests":             {Who: access.Filtered, Right: model.RightView},
	"GET " + Prefix + "/requests/{id}":        {Who: access.Filtered, Right: model.RightView},
	"DELETE " + Prefix + "/requests/{id}":     {Who: access.Authenticated},
	"GET " + Prefix + "/watch":                {Who: access.Entitled, Right: model.RightView, Field: "address"},
	"POST " + Prefix + "/session":             {Who: access.Public},
	"GET " + Prefix + "/session":              {Who: access.Authenticated},
	"DELETE " + Prefix + "/session":           {Who: access.Authenticated},
	"GET " + Prefix + "/node":                 {Who: access.Public},
	"GET " + Prefix + "/openapi.json":         {Who: access.Public},
	"GET " + Prefix + "/openapi.yaml":         {Who: access.Public},
}

// operation is what is told of a route in the document.
type operation struct {
	id, tag     string
	method      string
	path        string // below Prefix
	summary     string
	description string
	status      int // of success; 200 when 0
	problems    []problemCase
	success     *huma.Response // where it is not a document
}

// problemCase is a status that an operation can answer with, and when it does.
type problemCase struct {
	status int
	when   string
}

// Problems that most operations have.
var (
	badRequest   = problemCase{http.StatusBadRequest, "The request cannot be read, or can never succeed as it stands."}
	unknownAsker = problemCase{http.StatusUnauthorized, "No token, or one that is not valid (any more)."}
	denied       = problemCase{http.StatusForbidden, "The caller may see it, and may not do this with it. The problem names the node and the rule."}
	notThere     = problemCase{http.StatusNotFound, "Nothing is there that the caller may see."}
	tooMany      = problemCase{http.StatusTooManyRequests, "Too many requests, or a limit of the node is reached. Where the header Retry-After is there, it says after how many seconds to come again."}
	broken       = problemCase{http.StatusInternalServerError, "A defect of the node; its log has the detail."}
)
