// Package pki is identity: who a node is, how it proves that, and how two nodes come to know each other.
//
// It owns the node's root and the certificates below it (Authority, Leaf), the check of who is at the other end of a connection
// (Accept, Connect, Peer), the list of reasons to refuse and their texts at both ends (Refusal), invitations (Token), the change of
// a root (VerifySuccession), and the sealing of secrets at rest (Sealer).
//
// It does not decide what a peer may see or do, keeps no list of peers and no record of invitations: what is pinned, revoked or used
// up is asked of its callers (Pins, Config.Admit). It knows no gRPC. DESIGN.md says why it is the way it is.
package pki
