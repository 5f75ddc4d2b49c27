package modbus

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"banyan/devices"
	"banyan/devices/devicetest"
	"banyan/model"
	"banyan/profiles"
)

var _ devices.Shaper = (*device)(nil)

// registry has the profiles of testdata and those that come with the program.
func registry(t testing.TB, more map[string]string) *profiles.Registry {
	t.Helper()
	source, err := os.ReadFile("testdata/meter.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := map[string]string{"meter": string(source)}
	for name, text := range more {
		files[name] = text
	}
	for name, text := range files {
		if err := os.WriteFile(dir+"/"+name+".yaml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shipped, err := os.ReadFile("../../profiles/shipped/power-meter.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/power-meter.yaml", shipped, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := profiles.NewRegistry(profiles.Config{Dir: dir, Checks: map[string]profiles.Check{Kind: Check}, Shipped: os.DirFS(t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range r.Problems() {
		t.Fatalf("%s: %v", name, err)
	}
	return r
}

// peer starts pymodbus and returns where it listens.
func peer(t *testing.T) string {
	t.Helper()
	const python = "/usr/bin/python3"
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(listener.Addr().String())
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	// Into a file, and waited for at the end only: goroutines of the test would be taken for the driver's.
	output, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command(python, "testdata/server.py", host, port)
	server.Stdout, server.Stderr = output, output
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		_ = output.Close()
	})
	address := net.JoinHostPort(host, port)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) { // nothing here tells when another process is ready
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			return address
		}
		if said, _ := os.ReadFile(output.Name()); bytes.Contains(said, []byte("ModuleNotFoundError")) {
			t.Fatalf("the packages python3-pymodbus, python3-serial and python3-serial-asyncio are needed:\n%s", said)
		}
	}
	t.Fatal("pymodbus does not listen")
	return ""
}

func at(address string) devices.Settings {
	return devices.Settings{"address": model.String(address), "unit": model.Int64(7), "profile": model.String("meter")}
}

func TestDriver(t *testing.T) {
	address := peer(t)
	devicetest.Run(t, Driver{Profiles: registry(t, nil)}, devices.Settings{"address": model.String(address)})
}

func open(t *testing.T, driver Driver, s devices.Settings) *device {
	t.Helper()
	d, err := driver.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d.(*device)
}

// mbpoll is another client, which says what the registers are.
func mbpoll(t *testing.T, address string, arguments ...string) string {
	t.Helper()
	host, port, _ := net.SplitHostPort(address)
	arguments = append([]string{"-m", "tcp", "-a", "7", "-0", "-1", "-p", port}, arguments...)
	at := len(arguments)
	for i, a := range arguments {
		if a == "--" {
			arguments, at = append(arguments[:i:i], arguments[i+1:]...), i
			break
		}
	}
	arguments = append(arguments[:at:at], append([]string{host}, arguments[at:]...)...)
	out, err := exec.Command("mbpoll", arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("mbpoll, of the package mbpoll: %v\n%s", err, out)
	}
	return string(out)
}

// TestReadsWhatOthersRead compares the function read with mbpoll, register by register.
func TestReadsWhatOthersRead(t *testing.T) {
	address := peer(t)
	d := open(t, Driver{Profiles: registry(t, nil)}, at(address))
	for _, c := range []struct {
		area, kind string
		first      int
		count      int
	}{{"holding", "4", 0, 70}, {"input", "3", 95, 40}, {"coil", "0", 0, 30}, {"discrete", "1", 3, 11}} {
		results, err := d.Call(t.Context(), functionRead, []model.Argument{
			{Name: "area", Value: model.String(c.area)}, {Name: "register", Value: model.Int64(int64(c.first))}, {Name: "count", Value: model.Int64(int64(c.count))},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var ours, theirs []string
		for _, row := range results[0].Value.Table().Rows {
			ours = append(ours, fmt.Sprintf("%d=%d", row[0].Int64(), row[1].Int64()))
		}
		for line := range strings.Lines(mbpoll(t, address, "-t", c.kind, "-r", strconv.Itoa(c.first), "-c", strconv.Itoa(c.count))) {
			if number, value, found := strings.Cut(strings.TrimSpace(line), "]: \t"); found {
				theirs = append(theirs, strings.TrimPrefix(number, "[")+"="+strings.Fields(value)[0])
			}
		}
		if a, b := strings.Join(ours, " "), strings.Join(theirs, " "); a != b || len(ours) != c.count {
			t.Errorf("%s: we read\n%s\nmbpoll reads\n%s", c.area, a, b)
		}
	}
}

// TestWrites: what is set arrives as registers, and what the device has then is published.
func TestWrites(t *testing.T) {
	address := peer(t)
	d := open(t, Driver{Profiles: registry(t, nil)}, at(address))
	record := devicetest.NewRecorder(d.shape)
	for _, c := range []struct {
		point string
		value model.Value
		kind  string
		first string
		wants string
	}{
		{"setpoint", model.Float64(-0.1 + 6), "4", "60", "59"},
		{"mode", model.String("manual"), "4", "50", "1"},
		{"gain", model.Float64(2.5), "4", "62", "16416"}, // 0x40200000
		{"valve", model.Bool(false), "0", "2", "0"},
	} {
		if err := d.Write(t.Context(), d.shape.VariableIndex(c.point), c.value, record); err != nil {
			t.Fatalf("%s: %v", c.point, err)
		}
		if out := mbpoll(t, address, "-t", c.kind, "-r", c.first, "-c", "1"); !strings.Contains(out, "["+c.first+"]: \t"+c.wants+"\n") {
			t.Errorf("%s: the device has\n%s, want %s", c.point, out, c.wants)
		}
		if got := record.Named(c.point).Value; !got.Equal(c.value) {
			t.Errorf("%s: published is %v, want %v", c.point, got, c.value)
		}
	}
	for point, value := range map[string]model.Value{
		"setpoint": model.Float64(31), "mode": model.String("sideways"), "voltage": model.Float64(1), "requests": model.Int64(1),
	} {
		if err := d.Write(t.Context(), d.shape.VariableIndex(point), value, record); err == nil {
			t.Errorf("%s was set to %v", point, value)
		}
	}
	mbpoll(t, address, "-t", "4", "-r", "0", "--", "2222")
	if err := d.Poll(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	if got := record.Named("voltage").Value.Float64(); got != 222.2 {
		t.Errorf("what another client wrote is %v", got)
	}
}

// fake is a server whose answer to each request is up to the test: it gets the PDU and returns the bytes to send, header included, nil for silence.
func fake(t *testing.T, answer func(transaction uint16, unit byte, pdu []byte) []byte) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				var buffer [headerBytes + mostPDU]byte
				for {
					transaction, unit, pdu, err := readResponse(conn, &buffer)
					if err != nil {
						return
					}
					reply := answer(transaction, unit, pdu)
					if _, err := conn.Write(reply); err != nil || bytes.HasSuffix(reply, []byte("CUT")) {
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// registers answers a reading with each register's own number.
func registers(transaction uint16, unit byte, pdu []byte) []byte {
	first, count := binary.BigEndian.Uint16(pdu[1:]), binary.BigEndian.Uint16(pdu[3:])
	data := []byte{pdu[0], byte(2 * count)}
	for i := range count {
		data = binary.BigEndian.AppendUint16(data, first+i)
	}
	return appendRequest(nil, transaction, unit, data)
}

const spread = `kind: modbus
points:
  a: {register: 10}
  b: {register: 12}
  c: {register: 14}
  far: {register: 5000}
`

// TestRefusedRegister: a device refuses each request that touches a register that it does not have. The others are read nevertheless, and the next
// polls ask for what can be answered.
func TestRefusedRegister(t *testing.T) {
	var requests atomic.Int64
	address := fake(t, func(transaction uint16, unit byte, pdu []byte) []byte {
		requests.Add(1)
		if first, count := binary.BigEndian.Uint16(pdu[1:]), binary.BigEndian.Uint16(pdu[3:]); first <= 12 && first+count > 12 {
			return appendRequest(nil, transaction, unit, []byte{pdu[0] | exceptionBit, 2})
		}
		return registers(transaction, unit, pdu)
	})
	s := at(address)
	s["profile"] = model.String("spread")
	d := open(t, Driver{Profiles: registry(t, map[string]string{"spread": spread})}, s)
	record := devicetest.NewRecorder(d.shape)
	for _, wants := range []int64{2 + 3, 4} {
		requests.Store(0)
		if err := d.Poll(t.Context(), record); err != nil {
			t.Fatal(err)
		}
		if n := requests.Load(); n != wants {
			t.Errorf("a poll took %d requests, want %d", n, wants)
		}
	}
	for name, want := range map[string]int64{"a": 10, "c": 14, "far": 5000} {
		if u := record.Named(name); u.Value.Int64() != want || u.Quality != model.QualityGood {
			t.Errorf("%s is %v, %s", name, u.Value, u.Quality)
		}
	}
	if u := record.Named("b"); u.Quality != qualityRefused || !u.Value.IsNone() {
		t.Errorf("b, which is not there, is %v, %s", u.Value, u.Quality)
	}
	if got := record.Named("exceptions").Value.Int64(); got != 3 {
		t.Errorf("%d exceptions", got)
	}
}

// TestMisbehaviour: each way in which a device can answer wrongly or not at all is an error of its kind, and the next poll is as if it had not been.
func TestMisbehaviour(t *testing.T) {
	reply := func(pdu ...byte) func(uint16, byte, []byte) []byte {
		return func(transaction uint16, unit byte, _ []byte) []byte {
			return appendRequest(nil, transaction, unit, pdu)
		}
	}
	for name, c := range map[string]struct {
		answer func(transaction uint16, unit byte, pdu []byte) []byte
		kind   model.ErrorKind
		text   string
	}{
		"refuses all":    {reply(0x83, 1), model.KindInvalid, "refuses every register"},
		"gateway":        {reply(0x83, 11), model.KindUnavailable, "gateway target"},
		"other function": {reply(0x04, 2, 0, 0), model.KindInternal, "function 3 was asked for"},
		"short":          {reply(0x03, 10, 0, 0), model.KindInternal, "bytes of data"},
		"lying length":   {reply(0x03, 2, 0, 0, 0, 0), model.KindInternal, "bytes of data"},
		"silence":        {func(uint16, byte, []byte) []byte { return nil }, model.KindTimeout, ""},
		"garbage":        {func(uint16, byte, []byte) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") }, model.KindInternal, "not Modbus"},
		"cut":            {func(uint16, byte, []byte) []byte { return []byte{0, 1, 0, 0, 0, 9, 7, 'C', 'U', 'T'} }, model.KindUnavailable, "broke"},
		"endless foreign": {func(transaction uint16, unit byte, _ []byte) []byte {
			return bytes.Repeat(appendRequest(nil, transaction+77, unit, []byte{3, 2, 0, 0}), 40)
		}, model.KindInternal, "other requests"},
		"other unit": {func(transaction uint16, unit byte, pdu []byte) []byte { return registers(transaction, unit+1, pdu) }, model.KindInternal, "unit 7 was asked"},
	} {
		t.Run(name, func(t *testing.T) {
			var good atomic.Bool
			address := fake(t, func(transaction uint16, unit byte, pdu []byte) []byte {
				if good.Load() {
					return registers(transaction, unit, pdu)
				}
				return c.answer(transaction, unit, pdu)
			})
			s := at(address)
			s["profile"] = model.String("spread")
			d := open(t, Driver{Profiles: registry(t, map[string]string{"spread": spread})}, s)
			record := devicetest.NewRecorder(d.shape)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			err := d.Poll(ctx, record)
			if err == nil || model.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("got %v (%s), want %s: %s", err, model.KindOf(err), c.kind, c.text)
			}
			good.Store(true)
			if err := d.Poll(t.Context(), record); err != nil || record.Named("a").Value.Int64() != 10 {
				t.Errorf("afterwards: %v, a is %v", err, record.Named("a").Value)
			}
		})
	}
}

// TestIdleConnection: a device that closes idle connections is read by a new one at once, and a write is not sent twice.
func TestIdleConnection(t *testing.T) {
	var written atomic.Int64
	address := fake(t, func(transaction uint16, unit byte, pdu []byte) []byte {
		if pdu[0] == writeSingleRegister {
			written.Add(1)
			return []byte("CUT")
		}
		return append(registers(transaction, unit, pdu), "CUT"...)
	})
	c := newClient(address, 7)
	defer c.close()
	for range 3 {
		if _, err := c.read(t.Context(), areas["holding"], 1, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.writeRegisters(t.Context(), 1, []byte{0, 1}); model.KindOf(err) != model.KindUnavailable {
		t.Errorf("a write whose answer was cut off: %v", err)
	}
	if n := written.Load(); n > 1 {
		t.Errorf("it was sent %d times", n)
	}
}

// TestDeadlineOfTheRequestBefore: a write without a limit of its own is not cut off by that of the poll before it, on whose connection it goes.
func TestDeadlineOfTheRequestBefore(t *testing.T) {
	c := newClient(fake(t, func(transaction uint16, unit byte, pdu []byte) []byte {
		if pdu[0] == writeSingleRegister {
			return appendRequest(nil, transaction, unit, pdu)
		}
		return registers(transaction, unit, pdu)
	}), 7)
	defer c.close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := c.read(ctx, areas["holding"], 1, 1); err != nil {
		t.Fatal(err)
	}
	_ = c.conn.SetDeadline(time.Unix(1, 0)) // as if the poll's time were over by now
	if err := c.writeRegisters(context.WithoutCancel(t.Context()), 1, []byte{0, 1}); err != nil {
		t.Errorf("the write: %v", err)
	}
}

func TestRefusedConnection(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	d := open(t, Driver{Profiles: registry(t, nil)}, at(address))
	if err := d.Poll(t.Context(), devicetest.NewRecorder(d.shape)); model.KindOf(err) != model.KindUnavailable {
		t.Errorf("nobody listens: %v", err)
	}
}

// TestProfileFaults: what is wrong in the keys of Modbus is told with its place.
func TestProfileFaults(t *testing.T) {
	for point, want := range map[string]string{
		"{register: 70000}":                          "register 70000 is outside",
		"{register: 1, area: coils}":                 "did you mean", // not an area, answered with what there is
		"{register: 1, format: uint8}":               "there is no format",
		"{register: 1, order: abdc}":                 "there is no order",
		"{register: 1, format: string}":              "a string needs its length",
		"{register: 1, length: 2}":                   "only strings have a length",
		"{register: 1, format: bit}":                 "a bit of a register needs its number",
		"{register: 1, area: coil, format: int16}":   "a coil is a bit",
		"{register: 1, area: input, writable: true}": "this cannot be written",
		"{register: 1, type: string}":                "a uint16 cannot be a string",
		"{register: 1, rate: true}":                  "makes no rates",
		"{register: 65535, format: float32}":         "outside of what there is",
		"{register: 1, format: string, length: 200}": "a string needs its length",
		"{register: 1, scale: 0.1, type: bool}":      "a bool is not scaled",
	} {
		_, err := profiles.Parse("p.yaml", "p", []byte("kind: modbus\npoints:\n  a: "+point+"\n"), map[string]profiles.Check{Kind: Check})
		if want == "did you mean" {
			want = "there is no area"
		}
		if err == nil || !strings.Contains(err.Error(), "p.yaml:3:") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", point, err, want)
		}
	}
}

// FuzzResponse: whatever comes, reading it neither panics nor takes more than it says.
func FuzzResponse(f *testing.F) {
	f.Add(registers(1, 7, []byte{3, 0, 1, 0, 2}))
	f.Add([]byte{0, 1, 0, 0, 0, 3, 7, 0x83, 2})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var buffer [headerBytes + mostPDU]byte
		_, _, pdu, err := readResponse(bytes.NewReader(raw), &buffer)
		if err != nil {
			var wrong *malformedError
			if !errors.As(err, &wrong) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("an error of another sort: %v", err)
			}
			return
		}
		if len(pdu) < 1 || len(pdu) > len(raw)-headerBytes {
			t.Fatalf("%d bytes out of %d", len(pdu), len(raw))
		}
		if answer, err := payload([]byte{readHoldingRegisters}, pdu); err == nil {
			_, _ = data(answer, 4)
		}
	})
}

// FuzzNumber: what is encoded and decoded again is what it was, in every format and order.
func FuzzNumber(f *testing.F) {
	f.Add(230.1, uint8(0), uint8(0))
	f.Add(-1e18, uint8(5), uint8(3))
	f.Fuzz(func(t *testing.T, v float64, which, order uint8) {
		names := []string{"uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"}
		form, by := formats[names[int(which)%len(names)]], orders[int(order)%len(orders)]
		raw, err := form.encode(v)
		if err != nil {
			return
		}
		if back := arrange(arrange(raw, by), by); !bytes.Equal(back, raw) {
			t.Fatalf("%s there and back: %x, %x", by, raw, back)
		}
		whole, i, fraction := form.number(raw)
		again, err := form.encode(fraction)
		if whole {
			again, err = form.encode(float64(i))
		}
		if exact := i < 1<<53 && i > -1<<53; v == v && (err != nil || exact && !bytes.Equal(again, raw)) {
			t.Errorf("%s of %v: %x, then %x, %v", form.name, v, raw, again, err)
		}
	})
}
