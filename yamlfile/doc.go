// Package yamlfile reads the YAML files that people write: topologies, profiles of devices, settings.
//
// It owns what all of them have in common: that each problem is told with file, line, column and what to do about it, that all problems are
// told and not just the first, and that neither aliases nor length make a small file a large one. What a file means is its reader's.
package yamlfile
