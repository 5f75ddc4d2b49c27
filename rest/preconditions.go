package rest

import (
	"context"
	"net/http"
	"strings"

	"banyan/model"
	"banyan/proto/apiv1"
)

// Precondition is at which revision a change is done.
type Precondition struct {
	IfMatch string `header:"If-Match" maxLength:"256" example:"\"7-0123456789abcdef@42\"" doc:"The ETag of what was read: the change is done only while the context still has that revision; else the answer is 412, with the revision of now. * takes any revision, as does leaving it out."`
}

// Once makes a request happen once.
type Once struct {
	Key string `header:"Idempotency-Key" maxLength:"64" example:"00112233445566778899aabbccddeeff" doc:"32 hexadecimal digits that the client draws: sent again with the same digits within a day, by the same caller and with the same content, the request is not done twice, and is answered with what became of it."`
}

// id is the ID of the request, as the messages have it. Quotes, which some clients put around such a header, are taken off.
func (o Once) id() string { return strings.Trim(o.Key, `"`) }

// revision is the revision that If-Match names: none where any will do. The tag is taken with and without quotes, and without the W/ that a
// proxy puts in front when it packs an answer: it names a revision, not bytes.
func (p Precondition) revision() (string, error) {
	tag := strings.TrimSpace(p.IfMatch)
	if tag == "" || tag == "*" {
		return "", nil
	}
	bare := strings.TrimPrefix(tag, "W/")
	if inner, quoted := strings.CutPrefix(bare, `"`); quoted {
		if inner, quoted = strings.CutSuffix(inner, `"`); !quoted {
			return "", badTag()
		}
		bare = inner
	}
	if strings.ContainsAny(bare, `", `) {
		return "", badTag()
	}
	at, err := model.ParsePosition(bare)
	if err != nil || at.IsZero() {
		return "", badTag()
	}
	return at.String(), nil
}

func badTag() error {
	return &model.Error{
		Kind: model.KindInvalid, Detail: "If-Match is not one ETag of a context", Remedy: `send the header ETag of an answer as it came, like "7-0123456789abcdef@42", or *`,
	}
}

// stale turns the refusal of a change at a revision that is no longer the current one into 412, with the one that is.
func (h *Handler) stale(ctx context.Context, path, expected string, err error) error {
	if expected == "" || model.KindOf(err) != model.KindConflict {
		return err
	}
	now, failed := h.cfg.Core.Describe(ctx, &apiv1.DescribeRequest{Path: path})
	if failed != nil || now.GetRevision() == expected {
		return err // it went meanwhile, or something else is in the way
	}
	p := problemOf(err)
	p.Status, p.Title, p.Revision = http.StatusPreconditionFailed, http.StatusText(http.StatusPreconditionFailed), now.GetRevision()
	p.Detail, p.Remedy = "somebody changed it: its revision is "+p.Revision+" now, not "+expected, "read it again and decide anew"
	p.header.Set("ETag", etag(p.Revision))
	return p
}

var preconditionFailed = problemCase{http.StatusPreconditionFailed, "The context has another revision than If-Match names: somebody else changed it. Nothing was done; the problem and the header ETag have the revision of now."}
