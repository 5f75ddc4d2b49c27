package dns

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"banyan/devices"
	"banyan/model"
)

// payload is the size of datagrams that we offer to take: what gets through everywhere in one piece (DNS flag day 2020).
const payload = 1232

// query is one question and what came of it.
type query struct {
	options *options

	server      string
	latency     time.Duration
	attempts    int
	truncated   bool
	certificate devices.Certificate
	answer      *dns.Msg // nil for none

	answers []string
	matches bool
}

// run asks, over TCP too where the answer does not fit, and judges.
func (q *query) run(ctx context.Context) error {
	var err error
	if q.options.transport == transportUDP {
		err = q.overUDP(ctx)
	} else {
		err = q.overStream(ctx)
	}
	if err == nil && q.answer.Truncated && q.options.transport == transportUDP {
		q.truncated = true
		if err = q.overStream(ctx); err != nil {
			err = fmt.Errorf("the answer does not fit into udp; over tcp: %w", err)
		}
	}
	if err != nil {
		q.answer = nil
		return err
	}
	return q.judge()
}

func (q *query) overUDP(ctx context.Context) error {
	conn, err := q.dial(ctx, "udp")
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	question := q.question()
	packed, err := question.Pack()
	if err != nil {
		return err
	}
	for q.attempts < q.options.attempts {
		q.attempts++
		if end, bounded := ctx.Deadline(); bounded {
			share := time.Until(end) / time.Duration(q.options.attempts-q.attempts+1)
			_ = conn.SetDeadline(time.Now().Add(share))
		}
		began := time.Now()
		if _, err = conn.Write(packed); err == nil {
			q.answer, err = receive(conn, question)
		}
		q.latency = time.Since(began)
		var timeout net.Error
		if ctx.Err() != nil || !errors.As(err, &timeout) || !timeout.Timeout() {
			break
		}
	}
	return q.problem("asking", err)
}

// receive waits for the datagram that answers a question. What does not is left alone: it may answer an earlier one, or be forged.
func receive(conn net.Conn, question *dns.Msg) (*dns.Msg, error) {
	space := make([]byte, 64<<10)
	for {
		n, err := conn.Read(space)
		if err != nil {
			return nil, err
		}
		if answer, err := read(space[:n], question); answer != nil || err != nil {
			return answer, err
		}
	}
}

// read is the answer in a packet; nil when the packet does not answer the question, and an error when it says that it does and cannot be read.
func read(packet []byte, question *dns.Msg) (*dns.Msg, error) {
	if len(packet) < 2 || binary.BigEndian.Uint16(packet) != question.Id {
		return nil, nil
	}
	answer := new(dns.Msg)
	if err := answer.Unpack(packet); err != nil {
		return nil, fmt.Errorf("the answer cannot be read: %w", err)
	}
	switch asked := question.Question[0]; {
	case !answer.Response || answer.Opcode != dns.OpcodeQuery:
		return nil, nil
	case len(answer.Question) == 0 && answer.Rcode != dns.RcodeSuccess: // some say no more than that
		return answer, nil
	case len(answer.Question) != 1 || answer.Question[0].Qtype != asked.Qtype || answer.Question[0].Qclass != asked.Qclass ||
		!strings.EqualFold(answer.Question[0].Name, asked.Name):
		return nil, nil
	}
	return answer, nil
}

func (q *query) overStream(ctx context.Context) error {
	began := time.Now()
	conn, err := q.dial(ctx, "tcp")
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	to := conn
	if q.options.transport == transportTLS {
		secure := tls.Client(conn, q.options.verification.Config(q.options.endpoint.Host, func(c devices.Certificate) { q.certificate = c }))
		if err := secure.HandshakeContext(ctx); err != nil {
			return q.problem("TLS with", err)
		}
		to = secure
	}
	question := q.question()
	packed, err := question.Pack()
	if err != nil {
		return err
	}
	if q.options.transport != transportUDP {
		q.attempts = 1
	}
	if _, err := to.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...)); err != nil {
		return q.problem("asking", err)
	}
	var length [2]byte
	if _, err := io.ReadFull(to, length[:]); err != nil {
		return q.problem("waiting for the answer of", err)
	}
	packet := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(to, packet); err != nil {
		return q.problem("reading the answer of", err)
	}
	q.latency = time.Since(began)
	answer, err := read(packet, question)
	if answer == nil && err == nil {
		err = errors.New("what came is no answer to the query")
	}
	q.answer = answer
	return q.problem("asking", err)
}

func (q *query) dial(ctx context.Context, network string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, q.options.endpoint.String())
	if err != nil {
		return nil, q.problem("connecting to", err)
	}
	q.server = conn.RemoteAddr().String()
	return conn, nil
}

func (q *query) problem(what string, err error) error {
	return devices.NetworkError(what+" "+q.options.endpoint.String(), err)
}

// question is made anew for each transport, with a random number.
func (q *query) question() *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(q.options.name, q.options.kind)
	m.RecursionDesired = q.options.recursion
	m.SetEdns0(payload, false)
	return m
}

// judge compares the answer with what is expected.
func (q *query) judge() error {
	o := q.options
	have := map[string]bool{}
	for _, record := range q.answer.Answer {
		if record.Header().Rrtype == o.kind {
			text := dataOf(record)
			q.answers = append(q.answers, text)
			have[sameForm(o.kind, text)] = true
		}
	}
	slices.Sort(q.answers)
	code, wanted := q.rcode(), o.rcode
	if wanted == noData {
		wanted = dns.RcodeToString[dns.RcodeSuccess]
	}
	var missing, others []string
	for _, e := range o.expected {
		if !have[e] {
			missing = append(missing, e)
		}
	}
	for _, text := range q.answers {
		if o.exactly && !slices.Contains(o.expected, sameForm(o.kind, text)) {
			others = append(others, text)
		}
	}
	q.matches = len(missing) == 0 && len(others) == 0
	kind := dns.TypeToString[o.kind]
	switch {
	case code != wanted:
		return fmt.Errorf("the answer is %s", code)
	case o.rcode == noData && len(q.answers) > 0:
		return fmt.Errorf("there are %d records of the type %s, and none is expected", len(q.answers), kind)
	case o.rcode != noData && code == dns.RcodeToString[dns.RcodeSuccess] && len(q.answers) == 0:
		return fmt.Errorf("there is no record of the type %s", kind)
	case len(missing) > 0:
		return fmt.Errorf("among the answers there is no %s", few(missing))
	case len(others) > 0:
		return fmt.Errorf("among the answers there is %s, which is not expected", few(others))
	}
	return nil
}

// few names the first few.
func few(texts []string) string {
	const most, longest = 3, 80
	var parts []string
	for i, text := range texts {
		if i == most {
			parts = append(parts, fmt.Sprintf("%d others", len(texts)-most))
			break
		}
		parts = append(parts, fmt.Sprintf("%.*s", longest, text))
	}
	return strings.Join(parts, ", ")
}

func (q *query) rcode() string {
	if name, known := dns.RcodeToString[q.answer.Rcode]; known {
		return name
	}
	return fmt.Sprintf("RCODE%d", q.answer.Rcode)
}

// dataOf is a record without its name, class, type and time to live.
func dataOf(record dns.RR) string {
	text := strings.TrimPrefix(record.String(), record.Header().String())
	return strings.Join(strings.Split(text, "\t"), " ")
}

// sameForm is a record's text as it is compared: names are the same in capital letters and without the dot at their end.
func sameForm(kind uint16, text string) string {
	if kind == dns.TypeTXT || kind == dns.TypeCAA {
		return text
	}
	return strings.TrimSuffix(strings.ToLower(strings.Join(strings.Fields(text), " ")), ".")
}

// updates are what the query gave. After a success every variable is there; what there was none of is said not to be set.
func (q *query) updates(all bool) []devices.Update {
	now := model.TimeOf(time.Now())
	var batch []devices.Update
	add := func(variable int, known bool, v model.Value) {
		switch {
		case known:
			batch = append(batch, devices.Update{Variable: variable, Value: v, Source: now})
		case all:
			none := model.Quality{Level: model.Uncertain, Reason: model.ReasonNotSet}
			batch = append(batch, devices.Update{Variable: variable, Quality: none, Source: now})
		}
	}
	if there := q.answer != nil; there {
		add(variableRcode, there, model.String(q.rcode()))
		add(variableLatency, there, model.Duration(q.latency))
		add(variableAnswers, there, model.String(strings.Join(q.answers, "\n")))
		add(variableCount, there, model.Int64(int64(len(q.answers))))
		ttl, some := leastTTL(q.answer.Answer)
		add(variableTTLMin, some, model.Duration(ttl))
		add(variableAuthoritative, there, model.Bool(q.answer.Authoritative))
		serial, some := serialOf(q.answer.Answer)
		add(variableSOASerial, some, model.Int64(serial))
		add(variableMatches, len(q.options.expected) > 0, model.Bool(q.matches))
		add(variableTruncated, there, model.Bool(q.truncated))
	}
	add(variableAttemptsUsed, true, model.Int64(int64(q.attempts)))
	add(variableServerAddress, q.server != "", model.String(q.server))
	if all || q.certificate.Leaf != nil {
		batch = append(batch, devices.CertificateUpdates(firstCertificate, q.certificate, now)...)
	}
	return batch
}

func leastTTL(records []dns.RR) (least time.Duration, some bool) {
	for _, r := range records {
		if ttl := time.Duration(r.Header().Ttl) * time.Second; !some || ttl < least {
			least, some = ttl, true
		}
	}
	return least, some
}

func serialOf(records []dns.RR) (int64, bool) {
	for _, r := range records {
		if soa, is := r.(*dns.SOA); is {
			return int64(soa.Serial), true
		}
	}
	return 0, false
}
