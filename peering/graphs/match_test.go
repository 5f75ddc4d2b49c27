package graphs

import "strings"

// selects is a pattern by its definition: each segment takes one of the path, a star any one, two stars any number. It is slow, and shares no code with
// what it is compared with.
func selects(pattern, path string) bool { return selectsAll(split(pattern), split(path)) }

func selectsAll(pattern, path []string) bool {
	if len(pattern) == 0 {
		return len(path) == 0
	}
	if pattern[0] == "**" {
		return selectsAll(pattern[1:], path) || len(path) > 0 && selectsAll(pattern, path[1:])
	}
	return len(path) > 0 && (pattern[0] == "*" || pattern[0] == path[0]) && selectsAll(pattern[1:], path[1:])
}

func split(path string) []string {
	if path == "/" {
		return nil
	}
	return strings.Split(path[1:], "/")
}

// below is a path as seen from root, and false where it is not at or below it.
func below(root, path string) (string, bool) {
	switch {
	case root == "/":
		return path, true
	case path == root:
		return "/", true
	}
	rest, inside := strings.CutPrefix(path, root+"/")
	return "/" + rest, inside
}

// under is the path of what is seen at rel from root.
func under(root, rel string) string {
	switch {
	case root == "/":
		return rel
	case rel == "/":
		return root
	}
	return root + rel
}
