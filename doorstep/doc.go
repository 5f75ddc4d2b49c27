// Package doorstep is where connections stand that have not proved who they are. It owns how many of them there may be, in all and of one source, how long
// each may stand there and how much it may send meanwhile, and how fast a connection may send frames of HTTP/2 afterwards. It does not own what a proof is: whoever
// takes one in says so.
package doorstep
