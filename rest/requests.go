package rest

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"banyan/model"
	"banyan/proto/apiv1"

	"github.com/danielgtaylor/huma/v2"
)

// Keep makes the node keep a request, and send it until it is answered.
type Keep struct {
	Until  string `query:"until" maxLength:"64" example:"10m" doc:"Like 10m, or an instant, 7 days ahead at most: the node keeps the request, and sends it until its owner has answered, or until then. Where it has not ended within 2 s, the answer is 202 with its place in Location."`
	Prefer string `header:"Prefer" maxLength:"256" example:"respond-async" doc:"respond-async has a request with until answered as soon as it is kept."`
}

// keeping is what can be asked for with until.
type keeping interface{ async() bool }

// accepted says in the document what the answer is where a request is kept and has not ended: as the usual one is, with another status.
func (h *Handler) accepted(o operation) {
	item := h.api.OpenAPI().Paths[o.path]
	for _, op := range []*huma.Operation{item.Put, item.Post, item.Patch, item.Delete} {
		if op == nil || op.OperationID != o.id {
			continue
		}
		usual := *op.Responses[strconv.Itoa(max(o.status, http.StatusOK))]
		usual.Description = "The request is kept, and has not ended: Location says where it is."
		op.Responses[strconv.Itoa(http.StatusAccepted)] = &usual
	}
}

func (k *Keep) async() bool {
	for word := range strings.SplitSeq(k.Prefer, ",") {
		if strings.EqualFold(strings.TrimSpace(word), "respond-async") {
			return k.Until != ""
		}
	}
	return false
}

// KeptRequest is what the node knows of a request that is sent until it is answered.
type KeptRequest struct {
	ID        string   `json:"id" example:"00112233445566778899aabbccddeeff" doc:"The same at all nodes."`
	Role      string   `json:"role" enum:"made,passed,owner" doc:"What this node has to do with it: it was made here, it passed, or it is done here."`
	Fate      string   `json:"fate" enum:"pending,sent,started,done,failed,expired,unknown" doc:"What is known of it. The last four are ends; unknown says that it may have been done or not."`
	Since     string   `json:"since" doc:"It has this fate since then."`
	Operation string   `json:"operation" example:"set" doc:"What is asked for."`
	Path      string   `json:"path" doc:"Of which context."`
	Name      string   `json:"name,omitempty" doc:"Of the setting, variable or function."`
	Who       string   `json:"who,omitempty" doc:"Who made it; only for them, and for who may administer the node."`
	Made      string   `json:"made" doc:"When, by this node's clock like all times here."`
	Until     string   `json:"until" doc:"It is not begun after that."`
	Attempts  int64    `json:"attempts" doc:"How often it was sent from here."`
	Via       []string `json:"via,omitempty" nullable:"false" doc:"The nodes that it went through, the owner last, as far as they are known."`
	Kind      string   `json:"kind,omitempty" doc:"Of what is wrong."`
	Problem   string   `json:"problem,omitempty" doc:"What kept it from being done, or sent; only for who made it, and who may administer the node."`
	Revision  string   `json:"revision,omitempty" doc:"That the context got."`
	Results   []Result `json:"results,omitempty" nullable:"false" doc:"What a function answered."`
}

func keptOf(info *apiv1.RequestInfo) *KeptRequest {
	if info == nil {
		return nil
	}
	k := &KeptRequest{
		ID: info.GetId(), Role: info.GetRole(), Fate: info.GetFate(), Since: info.GetSince(), Operation: info.GetOperation(), Path: info.GetPath(),
		Name: info.GetName(), Who: info.GetWho(), Made: info.GetMade(), Until: info.GetUntil(), Attempts: info.GetAttempts(), Via: info.GetVia(),
		Kind: info.GetKind(), Problem: info.GetProblem(), Revision: info.GetRevision(),
	}
	for _, r := range info.GetResults() {
		k.Results = append(k.Results, Result{Name: r.GetName(), Type: TypeName(r.GetType()), Value: Value{r.GetValue()}, Unit: r.GetUnit()})
	}
	return k
}

// placeOf is the status of an answer, and where a request that has not ended can be found.
func placeOf(kept *KeptRequest, usual int) (status int, location string) {
	if kept == nil || kept.Fate == model.FateDone.String() {
		return usual, ""
	}
	return http.StatusAccepted, Prefix + "/requests/" + kept.ID
}

type requestsQuery struct {
	Ended bool   `query:"ended" doc:"Those that have ended, too."`
	After string `query:"after" maxLength:"32" doc:"The ID after which to go on."`
	Limit int32  `query:"limit" minimum:"0" maximum:"1000" doc:"The most; 0 means 200."`
}

// KeptRequests is a list of them.
type KeptRequests struct {
	Requests []KeptRequest `json:"requests" nullable:"false" doc:"The newest first."`
	More     bool          `json:"more" doc:"There are others after the last one."`
}

type requestsAnswer struct{ Body KeptRequests }

// RequestParameter is which request an operation is about.
type RequestParameter struct {
	ID string `path:"id" maxLength:"32" example:"00112233445566778899aabbccddeeff" doc:"Of the request."`
}

type oneRequest struct {
	RequestParameter
	Wait bool `query:"wait" doc:"Answer when it has ended, or after 30 s."`
}

type requestAnswer struct{ Body KeptRequest }

// addRequests adds what is known of kept requests.
func (h *Handler) addRequests() {
	register(h, operation{
		id: "listRequests", tag: "requests", method: http.MethodGet, path: "/requests", summary: "List requests that are sent until they are answered",
		description: "Those of the caller, and those for what the caller may see.", problems: []problemCase{badRequest},
	}, func(ctx context.Context, in *requestsQuery) (*requestsAnswer, error) {
		list, err := h.cfg.Core.Requests(ctx, &apiv1.RequestsRequest{Ended: in.Ended, After: in.After, Limit: in.Limit})
		if err != nil {
			return nil, err
		}
		out := KeptRequests{Requests: []KeptRequest{}, More: list.GetMore()}
		for _, info := range list.GetRequests() {
			out.Requests = append(out.Requests, *keptOf(info))
		}
		return &requestsAnswer{out}, nil
	})
	register(h, operation{
		id: "getRequest", tag: "requests", method: http.MethodGet, path: "/requests/{id}", summary: "Read what became of a request",
		description: "With wait the answer comes when it has ended.", problems: []problemCase{badRequest, notThere},
	}, func(ctx context.Context, in *oneRequest) (*requestAnswer, error) {
		if in.ID == "" {
			return nil, absent()
		}
		list, err := h.cfg.Core.Requests(ctx, &apiv1.RequestsRequest{Id: in.ID, Wait: in.Wait})
		if err != nil {
			return nil, err
		}
		return &requestAnswer{*keptOf(list.GetRequests()[0])}, nil
	})
	register(h, operation{
		id: "cancelRequest", tag: "requests", method: http.MethodDelete, path: "/requests/{id}", summary: "Give up a request that has not been sent",
		description: "By who made it, or who may administer the node. One that was sent may have been done, and is not given up.",
		problems:    []problemCase{badRequest, denied, notThere, conflict},
	}, func(ctx context.Context, in *RequestParameter) (*requestAnswer, error) {
		info, err := h.cfg.Core.CancelRequest(ctx, &apiv1.CancelRequestRequest{Id: in.ID})
		if err != nil {
			return nil, err
		}
		return &requestAnswer{*keptOf(info)}, nil
	})
}
