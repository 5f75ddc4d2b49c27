package countdown_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentation: the driver that docs/devices.md shows is the one that is tried here, file by file.
func TestDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../../docs/devices.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?s)`countdown/([a-z_./]+)`:\n\n```[a-z]*\n(.*?)```\n").FindAllStringSubmatch(string(page), -1)
	if len(shown) != 5 {
		t.Errorf("%d files are shown, expected 5", len(shown))
	}
	for _, file := range shown {
		raw, err := os.ReadFile(file[1])
		if err != nil {
			t.Error(err)
			continue
		}
		if strings.TrimSpace(string(raw)) != strings.TrimSpace(file[2]) {
			t.Errorf("%s is shown otherwise than it is", file[1])
		}
	}
}
