// Command openapi prints the OpenAPI document of package rest, for generators and for people who have no node at hand. It is not what a node
// serves it with: that makes the same document from the same code.
package main

import (
	"fmt"
	"os"

	"banyan/rest"
)

func main() {
	document, err := rest.New(rest.Config{}).YAML()
	if err == nil {
		_, err = os.Stdout.Write(document)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
