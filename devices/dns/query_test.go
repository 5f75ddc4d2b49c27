package dns

import (
	"testing"

	"github.com/miekg/dns"
)

// FuzzRead gives packets to what looks for the answer to a question, and judges what is one. Nothing panics, and nothing is an answer
// that bears another number.
func FuzzRead(f *testing.F) {
	o := options{name: "www.example.org.", kind: dns.TypeA, rcode: "NOERROR", expected: []string{"192.0.2.1"}, exactly: true}
	q := query{options: &o}
	question := q.question()
	question.Id = 0x0102
	packed, err := question.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	reply := new(dns.Msg).SetReply(question)
	for _, text := range []string{"www.example.org. 5 IN A 192.0.2.1", "www.example.org. 5 IN TXT \"a\tb\"", "www.example.org. 5 IN CNAME a."} {
		record, err := dns.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		reply.Answer = append(reply.Answer, record)
	}
	if packed, err = reply.Pack(); err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Fuzz(func(t *testing.T, packet []byte) {
		answer, err := read(packet, question)
		if answer == nil || err != nil {
			return
		}
		if answer.Id != question.Id || !answer.Response {
			t.Errorf("%x is taken for an answer", packet)
		}
		for _, kind := range []uint16{dns.TypeA, dns.TypeTXT, dns.TypeSOA, dns.TypeSRV} {
			o := o
			o.kind = kind
			q := query{options: &o, answer: answer}
			_ = q.judge()
			_ = q.updates(true)
		}
	})
}
