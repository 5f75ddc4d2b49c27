package rest

import (
	"context"
	"net/http"

	"banyan/access"
	"banyan/proto/apiv1"
)

// Tree is the part of the node's handlers that is about contexts.
type Tree interface {
	Get(context.Context, *apiv1.GetRequest) (*apiv1.Reading, error)
	Describe(context.Context, *apiv1.DescribeRequest) (*apiv1.ContextInfo, error)
	List(context.Context, *apiv1.ListRequest) (*apiv1.ListResponse, error)
	// Watch calls the function with what is watched as it is, at least once, and then with what changes, until the context ends or something does.
	Watch(context.Context, *apiv1.WatchRequest, func(*apiv1.WatchResponse, Phase) error) error
	// Export calls the function with each part. A part is used again for the next one.
	Export(context.Context, *apiv1.ExportRequest, func(*apiv1.ExportResponse) error) error
}

// Phase is where in a watch a message stands.
type Phase uint8

// The phases.
const (
	Changes  Phase = iota // what changed since
	Snapshot              // a part of everything as it was at the beginning
	Complete              // the last part of that
)

// Acts is the part that changes something.
type Acts interface {
	Set(context.Context, *apiv1.SetRequest) (*apiv1.SetResponse, error)
	Call(context.Context, *apiv1.CallRequest) (*apiv1.CallResponse, error)
	Create(context.Context, *apiv1.CreateRequest) (*apiv1.CreateResponse, error)
	Remove(context.Context, *apiv1.RemoveRequest) (*apiv1.RemoveResponse, error)
	Apply(context.Context, *apiv1.ApplyRequest) (*apiv1.ApplyResponse, error)
	Requests(context.Context, *apiv1.RequestsRequest) (*apiv1.RequestsResponse, error)
	CancelRequest(context.Context, *apiv1.CancelRequestRequest) (*apiv1.RequestInfo, error)
}

// Sessions is the part that is about who asks, and which node is asked.
type Sessions interface {
	Login(context.Context, *apiv1.LoginRequest) (*apiv1.LoginResponse, error)
	Logout(context.Context, *apiv1.LogoutRequest) (*apiv1.LogoutResponse, error)
	Who(context.Context, *apiv1.WhoRequest) (*apiv1.WhoResponse, error)
	Info(context.Context, *apiv1.InfoRequest) (*apiv1.InfoResponse, error)
}

// Core is what answers: the handlers behind the RPCs. Their errors are those of package model.
type Core interface {
	Tree
	Acts
	Sessions
}

// Enter lets a request in, or not, before anything of it but its head is read: it finds who asks, and counts the request. The context that it
// returns carries who asks, for Core. An error with a method RetryAfter says when to come again.
type Enter func(*http.Request, access.Requirement) (context.Context, error)
