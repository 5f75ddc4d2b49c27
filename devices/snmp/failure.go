package snmp

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"

	"github.com/gosnmp/gosnmp"

	"banyan/model"
)

var errNotAnswer = errors.New("what came is not an answer")

// failure says what it means that a request could not be done, and what to do. Nothing secret is in gosnmp's errors but for the stack of a panic, which is left out.
func (s *session) failure(ctx context.Context, err error) error {
	var lookup *net.DNSError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return model.Errorf(model.KindCanceled, "the request was given up")
	case errors.As(err, &lookup):
		return &model.Error{Kind: model.KindUnavailable, Detail: "the name " + s.target.host + " cannot be looked up: " + lookup.Err, Remedy: "check the setting address and the name server"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &model.Error{Kind: model.KindUnavailable, Detail: "nothing listens at " + s.target.String(), Remedy: "check that the agent runs and listens on this address"}
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return &model.Error{Kind: model.KindUnavailable, Detail: "there is no way to " + s.target.String()}
	}
	if silent(err) {
		return s.silence()
	}
	if refused := refusal(err); refused != "" {
		return &model.Error{Kind: model.KindUnauthenticated, Detail: refused, Remedy: "compare user, protocols and passwords with those that the device has"}
	}
	text := err.Error()
	if strings.HasPrefix(text, "recover:") {
		text = "it cannot be decoded"
	}
	return model.Errorf(model.KindCorrupt, "the device sends an answer that is damaged: %.200s", text)
}

// silent reports whether an error of gosnmp means that no answer came in time.
func silent(err error) bool {
	var late net.Error
	return errors.Is(err, gosnmp.ErrMaxRetriesExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &late) && late.Timeout() ||
		strings.Contains(err.Error(), "timeout")
}

func (s *session) silence() error {
	if s.wire != nil && s.wire.heard() {
		return model.Errorf(model.KindTimeout, "the device sends answers, but none to what it was asked: request IDs do not match")
	}
	e := &model.Error{Kind: model.KindTimeout, Detail: "no answer from " + s.target.String()}
	switch {
	case s.target.version != gosnmp.Version3:
		e.Remedy = "a wrong community looks the same: devices do not answer to it"
	case s.target.priv != gosnmp.NoPriv:
		e.Remedy = "a wrong priv_password or priv_protocol can look the same: some devices do not answer to it"
	}
	return e
}

// refusal is what a device that speaks version 3 has against us.
func refusal(err error) string {
	switch {
	case errors.Is(err, gosnmp.ErrUnknownUsername):
		return "the device does not know the user"
	case errors.Is(err, gosnmp.ErrWrongDigest):
		return "the device finds the authentication wrong"
	case errors.Is(err, gosnmp.ErrDecryption):
		return "the device cannot decrypt what it is sent"
	case errors.Is(err, gosnmp.ErrUnknownSecurityLevel):
		return "the device does not allow the user this level of security"
	case errors.Is(err, gosnmp.ErrNotInTimeWindow), errors.Is(err, gosnmp.ErrUnknownEngineID):
		return "the device's clock or engine ID changed while it was asked"
	case errors.Is(err, gosnmp.ErrUnknownSecurityModels), errors.Is(err, gosnmp.ErrUnknownPDUHandlers), errors.Is(err, gosnmp.ErrInvalidMsgs), errors.Is(err, gosnmp.ErrUnknownReportPDU):
		return "the device reports that it cannot handle the request"
	case strings.Contains(err.Error(), "not authentic"):
		return "the device refuses user or password, or its answers are not authentic"
	}
	return ""
}

// status is an error status that a device answered with.
func status(e gosnmp.SNMPError) string {
	text := e.String()
	if text == "" || strings.HasPrefix(text, "SNMPError(") {
		return "an unknown error status"
	}
	return strings.ToLower(text[:1]) + text[1:]
}
