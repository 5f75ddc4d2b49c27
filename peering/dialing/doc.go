// Package dialing opens connections to other nodes through what lies between: names with several addresses, addresses where nobody answers, networks
// of either family, and proxies for HTTP.
//
// It owns how an address is reached and what is said when it is not. It does not own which addresses a link has, nor who answers there: whoever dials
// proves that over the connection.
package dialing
