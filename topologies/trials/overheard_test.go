package trials

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"banyan/proto/linkv1"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	pb "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// overheard is a folder into which nodes of a program with the seams of package fault write what crosses their links, in the clear.
type overheard struct {
	*testing.T
	dir string
}

// overhear has the nodes that are started from now on write into a folder.
func overhear(t *testing.T) *overheard {
	t.Helper()
	o := &overheard{t, t.TempDir()}
	t.Setenv("BANYAN_FAULT_HEAR", o.dir)
	return o
}

// moment is how much had crossed at some time: bytes by file.
type moment map[string]int

func (o *overheard) now() moment {
	o.Helper()
	m := moment{}
	for _, name := range o.files("") {
		if info, err := os.Stat(name); err == nil {
			m[name] = int(info.Size())
		}
	}
	return m
}

func (o *overheard) files(ending string) []string {
	o.Helper()
	files, err := filepath.Glob(filepath.Join(o.dir, "*"+ending))
	if err != nil {
		o.Fatal(err)
	}
	return files
}

// told is one message that crossed, or the headers around some.
type told struct {
	file   string
	at     int    // it ended here in the file
	what   string // like banyan.link.v1.LinkService/Follow, with the end that told it
	frame  string // which of the kinds of frames it is, of a stream that has several
	header string
	body   pb.Message
	raw    []byte
}

// holds reports whether a word is in it, however it was packed.
func (m *told) holds(word string) bool {
	return strings.Contains(m.header, word) || bytes.Contains(m.raw, []byte(word))
}

// since are all messages that have crossed links after a moment, decoded: both directions of every connection, as each end had it.
func (o *overheard) since(from moment) (all []*told) {
	o.Helper()
	for _, out := range o.files(".out") {
		in := strings.TrimSuffix(out, ".out") + ".in"
		if !strings.Contains(filepath.Base(out), "-link-") {
			continue // verdicts, and the certificates before them, are searched as they are
		}
		wrote, err := os.ReadFile(out)
		if err != nil {
			o.Fatal(err)
		}
		read, err := os.ReadFile(in)
		if err != nil {
			o.Fatal(err)
		}
		paths := map[uint32]string{} // of streams
		for _, d := range ordered(direction{out, wrote}, direction{in, read}) {
			for _, m := range o.decode(d, paths) {
				if m.at > from[d.file] {
					all = append(all, m)
				}
			}
		}
	}
	return all
}

// direction is what went one way over a connection.
type direction struct {
	file string
	raw  []byte
}

// asks reports whether it is that of the client, who says what each stream is for.
func (d *direction) asks() bool { return bytes.HasPrefix(d.raw, []byte(http2.ClientPreface)) }

func ordered(a, b direction) []direction {
	if b.asks() {
		a, b = b, a
	}
	return []direction{a, b}
}

// decode takes a direction apart: headers are unpacked, and the messages of a stream are put together out of frames, which cut them anywhere.
func (o *overheard) decode(d direction, paths map[uint32]string) (all []*told) {
	o.Helper()
	rest := bytes.NewReader(bytes.TrimPrefix(d.raw, []byte(http2.ClientPreface)))
	framer := http2.NewFramer(io.Discard, rest)
	framer.SetMaxReadFrameSize(1<<24 - 1)
	framer.ReadMetaHeaders = hpack.NewDecoder(1<<16, nil)
	streams := map[uint32][]byte{}
	for {
		frame, err := framer.ReadFrame()
		at := len(d.raw) - rest.Len()
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return all // it goes on
		case err != nil:
			o.Fatalf("%s, after %d bytes: %v", d.file, at, err)
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			all = append(all, &told{file: d.file, at: at, what: "headers", header: headersOf(f)})
			if path := f.PseudoValue("path"); d.asks() && path != "" {
				paths[f.StreamID] = path
			}
			if slices.ContainsFunc(f.Fields, func(h hpack.HeaderField) bool { return h.Name == "grpc-encoding" && h.Value != "identity" }) {
				o.Fatalf("%s: messages are packed, and nobody would find anything in them: %s", d.file, headersOf(f))
			}
		case *http2.DataFrame:
			body := append(streams[f.StreamID], f.Data()...)
			for len(body) >= 5 && len(body)-5 >= int(binary.BigEndian.Uint32(body[1:])) {
				size := 5 + int(binary.BigEndian.Uint32(body[1:]))
				all = append(all, o.message(d, paths[f.StreamID], body[:size], at))
				body = body[size:]
			}
			streams[f.StreamID] = slices.Clone(body)
		}
	}
}

// headersOf are headers as people read them: those that are packed once more are unpacked, since errors go there.
func headersOf(f *http2.MetaHeadersFrame) string {
	var all strings.Builder
	for _, field := range f.Fields {
		value := field.Value
		if strings.HasSuffix(field.Name, "-bin") {
			if raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "=")); err == nil {
				value = string(raw)
			}
		}
		fmt.Fprintf(&all, "%s: %s\n", field.Name, value)
	}
	return all.String()
}

// message decodes one as what its stream says that it is.
func (o *overheard) message(d direction, path string, raw []byte, at int) *told {
	o.Helper()
	m := &told{file: d.file, at: at, what: strings.TrimPrefix(path, "/"), raw: raw}
	if raw[0] != 0 {
		o.Fatalf("%s: a message of %s is packed, and nobody would find anything in it", d.file, path)
	}
	method := methodOf(m.what)
	if method == nil {
		o.Fatalf("%s: nobody knows the method %q", d.file, path)
	}
	of := method.Output()
	if m.what += " answers"; d.asks() {
		of, m.what = method.Input(), strings.TrimSuffix(m.what, " answers")+" asks"
	}
	body := dynamicpb.NewMessage(of)
	if err := pb.Unmarshal(raw[5:], body); err != nil {
		o.Fatalf("%s: %s: %v", d.file, m.what, err)
	}
	m.body = body
	if oneofs := of.Oneofs(); oneofs.Len() == 1 && oneofs.Get(0).Name() == "body" {
		if field := body.WhichOneof(oneofs.Get(0)); field != nil {
			m.frame = string(field.Name())
		}
	}
	return m
}

// services are those that links carry.
func services() protoreflect.ServiceDescriptors {
	return linkv1.File_banyan_link_v1_link_proto.Services()
}

func methodOf(name string) protoreflect.MethodDescriptor {
	service, method, _ := strings.Cut(name, "/")
	for i := range services().Len() {
		if s := services().Get(i); string(s.FullName()) == service {
			return s.Methods().ByName(protoreflect.Name(method))
		}
	}
	return nil
}

// sorts are all sorts of messages that the protocol has: what each end of each method tells, and each kind of frame where a message is one of several.
func sorts() map[string]bool {
	all := map[string]bool{}
	for i := range services().Len() {
		for j := range services().Get(i).Methods().Len() {
			method := services().Get(i).Methods().Get(j)
			for end, message := range map[string]protoreflect.MessageDescriptor{"asks": method.Input(), "answers": method.Output()} {
				all[fmt.Sprintf("%s/%s %s", services().Get(i).FullName(), method.Name(), end)] = true
				if oneofs := message.Oneofs(); oneofs.Len() == 1 && oneofs.Get(0).Name() == "body" {
					for k := range oneofs.Get(0).Fields().Len() {
						all[fmt.Sprintf("%s %s", message.FullName(), oneofs.Get(0).Fields().Get(k).Name())] = true
					}
				}
			}
		}
	}
	return all
}

// sort is the kind of frame that a message is, for people.
func (m *told) sort() string { return strings.TrimSpace(m.what + " " + m.frame) }

// nothingOf reports where one of the words crossed a link after a moment: in bytes as they went, in headers as they are read, in messages put together.
func (o *overheard) nothingOf(from moment, words ...string) {
	o.Helper()
	for _, name := range o.files("") {
		raw, err := os.ReadFile(name)
		if err != nil {
			o.Fatal(err)
		}
		for _, word := range words {
			if found := around(raw[min(len(raw), from[name]):], word); len(found) > 0 {
				o.Errorf("%s crossed a link, in %s: %v", word, filepath.Base(name), found)
			}
		}
	}
	for _, m := range o.since(from) {
		for _, word := range words {
			if m.holds(word) {
				o.Errorf("%s crossed a link, in %s: %v %s", word, m.sort(), around(m.raw, word), m.header)
			}
		}
	}
}
