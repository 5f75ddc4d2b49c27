// Package rest is the tree as resources over HTTP, with the OpenAPI document that describes them: for programs that speak neither gRPC nor
// banyan's own JSON methods.
//
// It owns the shape of URLs, documents and problems, the server-sent events of a watch, and the OpenAPI document, which is made from the code
// that answers. It does not decide who may do what, knows no tree, and does nothing itself: each operation becomes the message of the method
// that does the same, and is answered by the same handlers (Core). What a stranger is told, and what is hidden, they say.
//
// # What callers may rely on
//
// Everything below Prefix is answered with a document or with a problem (RFC 9457), whatever happens. What is absent and what is hidden are
// the same bytes. An operation that Routes does not name answers nobody.
package rest
