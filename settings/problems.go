package settings

import (
	"errors"

	"banyan/model"
	"banyan/yamlfile"
)

// place is where something stands: in the settings file, or in a CSV file beside it.
type place struct {
	file string
	yamlfile.Mark
}

// problems collects what is wrong in several files. The first file is the settings file.
type problems struct {
	files   []string
	readers map[string]*yamlfile.Reader
}

func newProblems(main *yamlfile.Reader) *problems {
	return &problems{files: []string{main.File}, readers: map[string]*yamlfile.Reader{main.File: main}}
}

func (p *problems) add(at place, remedy, format string, args ...any) {
	r := p.readers[at.file]
	if r == nil {
		r = &yamlfile.Reader{File: at.file}
		p.files, p.readers[at.file] = append(p.files, at.file), r
	}
	r.Add(at.Mark, remedy, format, args...)
}

// err is all that is wrong, file by file: a *model.Error of the kind invalid with yamlfile.Problems inside; nil where nothing is.
func (p *problems) err() error {
	var all yamlfile.Problems
	for _, file := range p.files {
		var some yamlfile.Problems
		if errors.As(p.readers[file].Err(), &some) {
			all = append(all, some...)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return &model.Error{Kind: model.KindInvalid, Err: all}
}
