package server

import (
	"net/http"
	"strings"
	"testing"

	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1"

	"connectrpc.com/connect"
)

// served are all methods of the API, from the descriptors of what is served.
func served() []string {
	methods := []string{reflectV1, reflectV1Alpha}
	services := apiv1.File_banyan_api_v1_api_proto.Services()
	for i := range services.Len() {
		service := services.Get(i)
		for j := range service.Methods().Len() {
			methods = append(methods, "/"+string(service.FullName())+"/"+string(service.Methods().Get(j).Name()))
		}
	}
	return methods
}

// TestEveryMethodIsDeclared: a method that says nothing about whom it answers fails here, and answers nobody.
func TestEveryMethodIsDeclared(t *testing.T) {
	if err := Methods.Check(served()); err != nil {
		t.Error(err)
	}
}

func TestUndeclaredMethodAnswersNobody(t *testing.T) {
	n := startNode(t)
	header := http.Header{"Authorization": {"Bearer " + n.token}}
	_, err := n.Node.api.gate(t.Context(), connect.Spec{Procedure: "/banyan.api.v1.TreeService/Erase"}, connect.Peer{}, header)
	if connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Errorf("an undeclared method: %v", err)
	}
}

// TestDefaultDeny tries each method without a token, with a wrong one, and with one of the wrong sort.
func TestDefaultDeny(t *testing.T) {
	n := startNode(t)
	for _, method := range served() {
		requirement, err := Methods.Of(method)
		if err != nil {
			t.Fatal(err)
		}
		if requirement.Who == access.Public || strings.HasSuffix(method, "/Watch") || strings.HasSuffix(method, "/Follow") || strings.HasSuffix(method, "/Export") {
			continue // streams are tried below
		}
		for _, token := range []string{"", "x", sessionPrefix + "x", tokenPrefix + "x", n.token + "x", n.token[:len(n.token)-1], "Bearer " + n.token} {
			if status, raw := n.post(method, token, "{}"); status != http.StatusUnauthorized {
				t.Errorf("%s with the token %q: %d %s", method, token, status, raw)
			}
		}
	}
	stranger := n.api("")
	watch, err := stranger.Watch(t.Context(), &apiv1.WatchRequest{Addresses: []string{"/system"}})
	if err == nil {
		watch.Receive()
		err = watch.Err()
	}
	if connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("watch: %v", err)
	}
	follow, err := stranger.Follow(t.Context(), &apiv1.FollowRequest{Path: "/"})
	if err == nil {
		follow.Receive()
		err = follow.Err()
	}
	if connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("follow: %v", err)
	}
	export, err := stranger.Export(t.Context(), &apiv1.ExportRequest{Path: "/"})
	if err == nil {
		export.Receive()
		err = export.Err()
	}
	if connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("export: %v", err)
	}
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/metrics": http.StatusUnauthorized, "/": http.StatusNotFound, "/banyan.api.v1.TreeService/Erase": http.StatusNotFound} {
		response, err := n.client.Get(n.url() + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: %d", path, response.StatusCode)
		}
	}
	if err := n.tryMetrics(n.token); err != nil {
		t.Error(err)
	}
	if model.KindOf(n.tryMetrics("x")) != model.KindDenied {
		t.Error("metrics answer a stranger")
	}
}

func (r *running) tryMetrics(token string) error {
	request, err := http.NewRequest(http.MethodGet, r.url()+"/metrics", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := r.client.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return model.Errorf(model.KindDenied, "%d", response.StatusCode)
	}
	return nil
}
