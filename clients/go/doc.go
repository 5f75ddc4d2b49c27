// Package banyan is a client of a node's REST interface, for Go programs that do not want gRPC. client.gen.go is made from the OpenAPI document
// (rest/openapi.yaml); what is written by hand is the reading of server-sent events. It shares nothing with the node but that document, so that
// it can be copied out of here as it stands.
//
//	client, err := banyan.NewClientWithResponses("https://127.0.0.1:8443/api/v1", banyan.WithHTTPClient(trusting), banyan.WithRequestEditorFn(banyan.Token(token)))
//	answer, err := client.GetValueWithResponse(ctx, "/devices/local:cpu_percent")
package banyan
