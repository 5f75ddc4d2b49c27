package settings

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strconv"

	"banyan/yamlfile"
)

// csv reads instances from a CSV file (RFC 4180) whose first row names the variables.
func (f *File) csv(from text, open Open) *rows {
	source, err := open(from.value)
	if err != nil {
		f.problems.add(from.at, "name a CSV file, relative to the settings file", "%s cannot be read: %v", from.value, err)
		return nil
	}
	if len(source) > MaxFileBytes {
		f.problems.add(from.at, "split it into several files", "%s has %d bytes, at most %d are read", from.value, len(source), MaxFileBytes)
		return nil
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(source, []byte("\xEF\xBB\xBF"))))
	r.FieldsPerRecord = -1
	at := func(column int) place {
		line, where := r.FieldPos(column)
		return place{from.value, yamlfile.Mark{Line: line, Column: where}}
	}
	header, err := r.Read()
	if err != nil {
		f.damagedCSV(from, err, "the first row names the variables")
		return nil
	}
	all := &rows{columns: header, what: from.value}
	good := f.checkHeader(header, at)
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			f.damagedCSV(from, err, "each row has the columns of the first one")
			return nil
		}
		if len(record) != len(header) {
			good = false
			f.problems.add(at(0), "give each row the columns of the first one, separated by commas; put text that holds a comma in quotes",
				"the row has %d columns, the first row %d", len(record), len(header))
			continue
		}
		i := &instance{values: make(map[string]cell, len(header)), at: at(0)}
		for column, text := range record {
			i.values[header[column]] = cell{text, at(column)}
		}
		if all.instances = append(all.instances, i); len(all.instances) > MaxContexts {
			f.problems.add(from.at, "split it into several files", "%s has more than %d rows", from.value, MaxContexts)
			return nil
		}
	}
	if !good {
		return nil
	}
	return all
}

func (f *File) checkHeader(header []string, at func(int) place) bool {
	good := true
	for column, name := range header {
		switch {
		case !variableName.MatchString(name):
			good = false
			f.problems.add(at(column), "name the columns in the first row: letters, digits, - and _, and no digit first", "%s is no name of a column", strconv.Quote(name))
		case slices.Contains(header[:column], name):
			good = false
			f.problems.add(at(column), "name each column once", "there are two columns %s", name)
		}
	}
	return good
}

// damagedCSV tells of a file that is not CSV.
func (f *File) damagedCSV(from text, err error, form string) {
	var damaged *csv.ParseError
	switch {
	case errors.As(err, &damaged):
		at := place{from.value, yamlfile.Mark{Line: damaged.Line, Column: max(damaged.Column, 1)}}
		f.problems.add(at, "put text that holds a comma, a quote or a line break in quotes, and write a quote in it twice", "this is not CSV: %v", damaged.Err)
	case errors.Is(err, io.EOF):
		f.problems.add(place{from.value, yamlfile.Start}, form, "the file is empty")
	default:
		f.problems.add(from.at, form, "%s cannot be read: %v", from.value, err)
	}
}
