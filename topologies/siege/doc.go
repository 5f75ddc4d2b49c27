// Package siege attacks a node from outside, as strangers, as people with few rights, and as a node that is linked, and measures what that costs the
// node and those beside. It knows the wire and nothing of the inside of a node.
package siege
