// Package access is the one decider: from who asks, what for and with which right it makes a decision with its reasons. The API, exports,
// forwarding and search ask it, and nobody else decides. See DESIGN.md for why rules are ordered and foreign names only narrow.
//
// It owns rules, the chain of who asks, what is never done over a link, the selection of an export, the SQL predicate that says the
// same to a search, and the table of what each method requires. It is pure: no clock, no store, no input or output, and no proof of
// identity either; who asks has been verified before (pki, server). Everything here is immutable once made and safe for use by many
// goroutines at once; a change of rules makes a new Decider.
package access
