package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"crypto/sha256"

	"banyan/backup"
	"banyan/model"
	"banyan/rest"
)

// download takes what a route of the node answers into a file, which has its name when it is whole: as long as the node said, and with the digest
// that it told.
func (at *client) download(ctx context.Context, op, route, name string, tell func(done, total int64)) error {
	if err := at.authenticate(ctx, false); err != nil {
		return onTheWay(op, model.Address{}, err)
	}
	answer, err := at.fetch(ctx, route)
	if err == nil && answer.StatusCode == http.StatusUnauthorized {
		_ = answer.Body.Close()
		if err := at.authenticate(ctx, true); err != nil {
			return onTheWay(op, model.Address{}, err)
		}
		answer, err = at.fetch(ctx, route)
	}
	if err != nil {
		return at.failure(ctx, op, model.Address{}, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return refusedBy(op, answer)
	}
	err = backup.PutFile(name, func(to *os.File) error {
		sum := sha256.New()
		n, err := io.Copy(io.MultiWriter(to, sum), &telling{answer.Body, 0, answer.ContentLength, tell})
		if err != nil {
			return err
		}
		told := answer.Header.Get("Repr-Digest")
		if told != "sha-256=:"+base64.StdEncoding.EncodeToString(sum.Sum(nil))+":" || n != answer.ContentLength {
			return io.ErrUnexpectedEOF
		}
		return nil
	})
	return explainFile(op, name, err)
}

// explainFile is what a failed download means to a person.
func explainFile(op, name string, err error) error {
	var known *model.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &model.Error{Kind: model.KindUnavailable, Op: op, Detail: "the connection to the node broke off: nothing was kept", Remedy: "try again"}
	}
	return backup.RoomError(&model.Error{Kind: model.KindOf(err), Op: op, Detail: "writing " + name + " failed", Err: err}, op, err)
}

func (at *client) fetch(ctx context.Context, route string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.target.url+route, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+at.bearer)
	return at.over.Do(request)
}

// refusedBy is the error that a node answered a route with.
func refusedBy(op string, answer *http.Response) error {
	var p rest.Problem
	raw, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	e := &model.Error{Kind: model.KindInternal, Op: op, Detail: fmt.Sprintf("the node answered %s", answer.Status)}
	switch answer.StatusCode {
	case http.StatusUnauthorized:
		e.Kind = model.KindUnauthenticated
	case http.StatusForbidden:
		e.Kind = model.KindDenied
	case http.StatusNotFound:
		e.Kind, e.Remedy = model.KindUnsupported, "the node's version may be too old for this"
	}
	if json.Unmarshal(raw, &p) == nil && p.Detail != "" {
		e.Detail, e.Remedy = p.Detail, p.Remedy
		for kind := model.KindInternal; kind <= model.KindUnknownFate; kind++ {
			if kind.String() == string(p.Kind) {
				e.Kind = kind
			}
		}
	} else if text := strings.TrimSpace(string(raw)); e.Kind == model.KindDenied && text != "" && len(text) < 300 {
		e.Detail = text
	}
	return e
}

// telling tells how much was read.
type telling struct {
	from        io.Reader
	done, total int64
	tell        func(done, total int64)
}

// Read is the source's.
func (t *telling) Read(b []byte) (int, error) {
	n, err := t.from.Read(b)
	t.done += int64(n)
	t.tell(t.done, t.total)
	return n, err
}
