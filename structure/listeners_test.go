package structure

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// listens lists the files that may open a listener, with the reason. Whatever a node listens on is opened in one place, from a table whose rows have limits
// for strangers, metrics, and a column in the matrix of certificates.
var listens = map[string]string{
	"server/doors.go":              "opens the rows of the table",
	"server/doctor_offline.go":     "looks whether a port is free, and closes it at once",
	"devices/ping/socket_linux.go": "hears the answers to its own pings on a raw socket, which nobody can connect to",
	"topologies/ports.go":          "looks for free ports, and closes them at once",
	"topologies/bench/*.go":        "measures, and is no part of a node",
	"topologies/hostile/*.go":      "throws bombs, and is no part of a node",
	"topologies/trials/*.go":       "tries, and is no part of a node",
	"topologies/soak/*.go":         "tries, and is no part of a node",
}

// opens are the words of the standard library that open a listener.
func opens(imported, name string) bool {
	switch imported {
	case "net", "crypto/tls":
		return strings.HasPrefix(name, "Listen") && name != "Listener" || name == "FileListener" || name == "FilePacketConn"
	case "net/http":
		return strings.HasPrefix(name, "ListenAndServe")
	case "syscall", "golang.org/x/sys/unix":
		return name == "Listen" || name == "Bind"
	}
	return false
}

// openersIn are the words in a file that open listeners.
func openersIn(name string, source []byte) ([]string, error) {
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	names := map[string]string{} // of imports, in this file
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		as := path.Base(imported)
		if spec.Name != nil {
			as = spec.Name.Name
		}
		names[as] = imported
	}
	var found []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		if s, is := n.(*ast.SelectorExpr); is {
			if of, is := s.X.(*ast.Ident); is && opens(names[of.Name], s.Sel.Name) {
				found = append(found, files.Position(s.Pos()).String()+": "+of.Name+"."+s.Sel.Name)
			} else if strings.HasPrefix(s.Sel.Name, "ListenAndServe") {
				found = append(found, files.Position(s.Pos()).String()+": "+s.Sel.Name)
			}
		}
		return true
	})
	return found, nil
}

func mayListen(name string) bool {
	for pattern := range listens {
		if fits, err := path.Match(pattern, name); err == nil && fits {
			return true
		}
	}
	return false
}

// TestListenersAreInTheTable: nothing of the product opens a listener but the one place that opens those of server.Doors.
func TestListenersAreInTheTable(t *testing.T) {
	seen := 0
	walkModule(t, func(name string) {
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return
		}
		source, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		found, err := openersIn(name, source)
		if err != nil {
			t.Fatal(err)
		}
		if name == "server/doors.go" {
			seen = len(found)
		}
		if !mayListen(name) {
			for _, at := range found {
				t.Errorf("%s opens a listener: a node's listeners are rows of Doors in server/doors.go, where they get limits for strangers and a column in the matrix of certificates", at)
			}
		}
	})
	if seen != 1 {
		t.Errorf("server/doors.go opens listeners in %d places, not in one", seen)
	}
}

func TestOpenersAreFound(t *testing.T) {
	for source, want := range map[string]int{
		`package p; import "net"; var _, _ = net.Listen("tcp", "")`:                                  1,
		`package p; import n "net"; var l n.ListenConfig`:                                            1,
		`package p; import "net"; var _, _ = net.ListenUDP("udp", nil)`:                              1,
		`package p; import "crypto/tls"; var _, _ = tls.Listen("tcp", "", nil)`:                      1,
		`package p; import "net/http"; func f(s *http.Server) { s.ListenAndServeTLS("", "") }`:       1,
		`package p; import "net/http"; func f() { http.ListenAndServe("", nil) }`:                    1,
		`package p; import "net"; var l net.Listener`:                                                0,
		`package p; import net "banyan/model"; var _ = net.Listen`:                                   0,
		`package p; type c struct { Listen func() }; func f(x c) { x.Listen() }`:                     0,
		`package p; import "syscall"; var _ = syscall.Listen(1, 1)`:                                  1,
		`package p; import ("net"; "os"); func f(g *os.File) { l, _ := net.FileListener(g); _ = l }`: 1,
	} {
		if found, err := openersIn("p.go", []byte(source)); err != nil || len(found) != want {
			t.Errorf("%s: %v, %v", source, found, err)
		}
	}
}
