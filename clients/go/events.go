package banyan

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

// maxEvent bounds one event, in bytes: a thousand readings, of which each can be a table.
const maxEvent = 64 << 20

// Token sends a token with each request.
func Token(token string) RequestEditorFn {
	return func(_ context.Context, request *http.Request) error {
		request.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
}

// Error is what happened.
func (p *Problem) Error() string {
	text := p.Title
	if p.Detail != nil {
		text = *p.Detail
	}
	if p.Remedy != nil {
		text += " (" + *p.Remedy + ")"
	}
	return text
}

// Events calls take with each event of a watch: "snapshot" with everything as it is, the last of them complete, and then "change". It returns nil
// when the stream ends, take's error, or the *Problem that the node ended it with or refused it for. After a break watch again: the new snapshot
// makes up for what was missed.
func Events(response *http.Response, take func(event string, readings Readings) error) error {
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		problem := &Problem{}
		if err := json.NewDecoder(io.LimitReader(response.Body, maxEvent)).Decode(problem); err != nil {
			return errors.New(response.Status)
		}
		return problem
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxEvent)
	event := ""
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case field == "event":
			event = value
		case field == "data" && event == "problem":
			problem := &Problem{}
			if err := json.Unmarshal([]byte(value), problem); err != nil {
				return err
			}
			return problem
		case field == "data":
			var readings Readings
			if err := json.Unmarshal([]byte(value), &readings); err != nil {
				return err
			}
			if err := take(event, readings); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}
