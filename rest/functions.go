package rest

import (
	"context"
	"net/http"

	"banyan/proto/apiv1"
)

// Arguments are what a function is called with.
type Arguments struct {
	_         struct{}          `additionalProperties:"false"`
	Arguments map[string]Value  `json:"arguments,omitempty" example:"{\"name\":\"backup\",\"lifetime\":\"24h0m0s\"}" doc:"By name, each in the JSON form of its type."`
	Texts     map[string]string `json:"texts,omitempty" doc:"By name as a person types them, in place of arguments."`
}

type callRequest struct {
	AddressParameter
	Once
	Keep
	Body *Arguments
}

// Results are what a function answered.
type Results struct {
	Results []Result `json:"results" nullable:"false" doc:"In the order in which they are declared."`
	Via     []string `json:"via,omitempty" nullable:"false" doc:"The nodes that the request went through, the owner last."`
	// Request is nil where it was not kept.
	Request *KeptRequest `json:"request,omitempty" doc:"With until: what is known of it."`
}

// Result is one of them.
type Result struct {
	Name  string   `json:"name" example:"expires" doc:"Of the result."`
	Type  TypeName `json:"type" example:"time" doc:"Of its value."`
	Value Value    `json:"value" doc:"In the JSON form of its type."`
	Unit  string   `json:"unit,omitempty" doc:"Of its value."`
}

type resultsAnswer struct {
	Status   int
	Location string `header:"Location" doc:"Where a request is that has not ended (202)."`
	Body     Results
}

// addFunctions adds calling.
func (h *Handler) addFunctions() {
	register(h, operation{
		id: "callFunction", tag: "functions", method: http.MethodPost, path: "/functions/{address}", summary: "Call a function",
		description: "At the owner of the context, with the right that is declared for the function. The context says which functions it has and what they take (getContext). The answer comes when the function has ended.",
		problems:    changing(tooLarge, wrongType),
	}, h.call)
}

func (h *Handler) call(ctx context.Context, in *callRequest) (*resultsAnswer, error) {
	path, name, err := in.named("call")
	if err != nil {
		return nil, err
	}
	request := &apiv1.CallRequest{Path: path, Function: name, Id: in.id(), Until: in.Until, Async: in.async()}
	if in.Body != nil {
		request.Arguments, request.Texts = values(in.Body.Arguments), in.Body.Texts
	}
	done, err := h.cfg.Core.Call(ctx, request)
	if err != nil {
		return nil, err
	}
	kept := keptOf(done.GetRequest())
	out := Results{Results: []Result{}, Via: done.GetVia(), Request: kept}
	for _, r := range done.GetResults() {
		out.Results = append(out.Results, Result{Name: r.GetName(), Type: TypeName(r.GetType()), Value: Value{r.GetValue()}, Unit: r.GetUnit()})
	}
	status, location := placeOf(kept, http.StatusOK)
	return &resultsAnswer{status, location, out}, nil
}
