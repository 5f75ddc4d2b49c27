// Package proto is the wire form: the generated messages in its folders, and in this package the one place where they are
// turned into the words of package model and back.
//
// It owns encodings, the limits of what is decoded, and the mapping of error kinds to gRPC. It does not own what a message means:
// that is said by the packages that exchange it.
package proto
