package rest

import (
	"context"
	"net/http"

	"banyan/proto/apiv1"
)

// Node is which node this is, and how it is.
type Node struct {
	Name      string `json:"name" example:"berlin" doc:"What people call it."`
	ID        string `json:"id" doc:"The fingerprint of its first root certificate, 64 hexadecimal digits."`
	Version   string `json:"version,omitempty" doc:"Of the program. This and what follows are for whoever may see /system."`
	Epoch     string `json:"epoch,omitempty" example:"7-0123456789abcdef" doc:"This life of the node."`
	Started   string `json:"started,omitempty" format:"date-time" doc:"When it began."`
	Contexts  int64  `json:"contexts,omitempty" doc:"How many contexts its tree has, mounted ones included."`
	ProcessID int64  `json:"process_id,omitempty" doc:"Of the program."`
}

type nodeAnswer struct{ Body Node }

// addNode adds what strangers may ask.
func (h *Handler) addNode() {
	register(h, operation{
		id: "getNode", tag: "node", method: http.MethodGet, path: "/node", summary: "Find out which node this is",
		description: "Anybody may ask which node it is; how it is, whoever may see /system.",
	}, func(ctx context.Context, _ *struct{}) (*nodeAnswer, error) {
		info, err := h.cfg.Core.Info(ctx, &apiv1.InfoRequest{})
		if err != nil {
			return nil, err
		}
		return &nodeAnswer{Node{
			Name: info.GetName(), ID: info.GetId(), Version: info.GetVersion(), Epoch: info.GetEpoch(), Started: info.GetStarted(),
			Contexts: info.GetContexts(), ProcessID: info.GetProcessId(),
		}}, nil
	})
}
