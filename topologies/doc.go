// Package topologies is whole networks: nodes, links and people declared in one YAML file, which starts as processes that people use, or in one
// process in which tests cut and kill.
//
// It owns the file's form and its errors (Check), the directory and the processes of a network (Network), the network in one process
// (Simulation), and what `make demo` shows (Demo). It makes a running network what the file says through the API of its nodes, like any
// other program; it does not own what a node is (server) or how a link works (peering), and it has no way around either.
package topologies
