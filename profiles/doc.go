// Package profiles reads device profiles: YAML files that say which points a device has and how its protocol names them, so that a new type of device
// is a file and not a program.
//
// It owns the form of such a file, what all protocols have in common (types, units, scales, enumerations, limits), the files that come with the
// program (folder shipped) and those that an administrator drops into the node's directory. It does not own how a protocol addresses a point: each
// driver says that by a Check, which reads its own keys from a Source.
package profiles
