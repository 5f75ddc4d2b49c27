// Package hostile is nodes that misbehave: a provider and a consumer with an identity of their own, which a victim has invited and links with as with any
// other, over its real listener, TLS and gRPC, and which then say what they please. What they say is a list of named bombs, each with the reason that the
// victim is expected to give.
//
// It owns the bombs, how they are thrown, and the trial that measures a victim, which is a whole node in a process of its own, meanwhile. It does not own what
// comes before a neighbour has proved who it is, and floods of HTTP/2: those are in topologies/siege.
package hostile
