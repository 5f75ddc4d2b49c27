package mqtt

import (
	"math"
	"strings"
	"testing"
	"time"

	"banyan/devices"
	"banyan/devices/devicetest"
	"banyan/model"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// schemaOfPayload is the message of the specification, made at run time, so that what the driver decodes was encoded by protobuf's own library.
func schemaOfPayload(t testing.TB) protoreflect.MessageDescriptor {
	t.Helper()
	field := func(name string, number int32, typ descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{
			Name: &name, Number: &number, Type: &typ, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
	}
	metrics := field("metrics", 2, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE)
	metrics.Label, metrics.TypeName = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum(), proto.String(".Payload.Metric")
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("payload.proto"), Syntax: proto.String("proto2"),
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: proto.String("Payload"),
			Field: []*descriptorpb.FieldDescriptorProto{
				field("timestamp", 1, descriptorpb.FieldDescriptorProto_TYPE_UINT64), metrics,
				field("seq", 3, descriptorpb.FieldDescriptorProto_TYPE_UINT64),
			},
			NestedType: []*descriptorpb.DescriptorProto{{
				Name: proto.String("Metric"),
				Field: []*descriptorpb.FieldDescriptorProto{
					field("name", 1, descriptorpb.FieldDescriptorProto_TYPE_STRING), field("alias", 2, descriptorpb.FieldDescriptorProto_TYPE_UINT64),
					field("timestamp", 3, descriptorpb.FieldDescriptorProto_TYPE_UINT64), field("datatype", 4, descriptorpb.FieldDescriptorProto_TYPE_UINT32),
					field("is_historical", 5, descriptorpb.FieldDescriptorProto_TYPE_BOOL), field("is_null", 7, descriptorpb.FieldDescriptorProto_TYPE_BOOL),
					field("int_value", 10, descriptorpb.FieldDescriptorProto_TYPE_UINT32), field("long_value", 11, descriptorpb.FieldDescriptorProto_TYPE_UINT64),
					field("float_value", 12, descriptorpb.FieldDescriptorProto_TYPE_FLOAT), field("double_value", 13, descriptorpb.FieldDescriptorProto_TYPE_DOUBLE),
					field("boolean_value", 14, descriptorpb.FieldDescriptorProto_TYPE_BOOL), field("string_value", 15, descriptorpb.FieldDescriptorProto_TYPE_STRING),
					field("bytes_value", 16, descriptorpb.FieldDescriptorProto_TYPE_BYTES),
				},
			}},
		}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file.Messages().Get(0)
}

// edge is an edge node as the test plays it: it publishes payloads written as text.
type edge struct {
	t      *testing.T
	broker *mosquitto
	schema protoreflect.MessageDescriptor
}

func (e *edge) tell(verb, device, text string) {
	e.t.Helper()
	m := dynamicpb.NewMessage(e.schema)
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		e.t.Fatal(err)
	}
	raw, err := proto.Marshal(m)
	if err != nil {
		e.t.Fatal(err)
	}
	topic := "spBv1.0/plant/" + verb + "/edge"
	if device != "" {
		topic += "/" + device
	}
	e.broker.publish(e.t, topic, string(raw))
}

func (e *edge) decode(raw string) string {
	m := dynamicpb.NewMessage(e.schema)
	if err := proto.Unmarshal([]byte(raw), m); err != nil {
		e.t.Fatal(err)
	}
	return m.String()
}

func startEdge(t *testing.T) (*edge, *device, *devicetest.Recorder) {
	t.Helper()
	b := startBroker(t)
	d := open(t, b, devices.Settings{"sparkplug": model.String("plant/edge"), "host_id": model.String("hq")})
	return &edge{t, b, schemaOfPayload(t)}, d, devicetest.NewRecorder(d.shape)
}

const nodeBirth = `timestamp: 1700000000000 seq: 0
metrics { name: "bdSeq" datatype: 4 long_value: 7 }
metrics { name: "Node Control/Rebirth" datatype: 11 boolean_value: false }
metrics { name: "Firmware" alias: 1 datatype: 12 string_value: "2.1" }
metrics { name: "Uptime" alias: 2 datatype: 8 long_value: 12 timestamp: 1700000000500 }`

const pressBirth = `timestamp: 1700000000000 seq: 1
metrics { name: "Line 1/Speed" alias: 10 datatype: 10 double_value: 2.5 }
metrics { name: "Line_1.Speed" alias: 11 datatype: 3 int_value: 4294967291 }
metrics { name: "Small" alias: 12 datatype: 1 int_value: 4294967288 }
metrics { name: "Running" alias: 13 datatype: 11 boolean_value: true }
metrics { name: "Since" alias: 14 datatype: 13 long_value: 1700000000000 }
metrics { name: "Ratio" alias: 15 datatype: 9 float_value: 0.5 }
metrics { name: "Unknown" alias: 16 datatype: 3 is_null: true }
metrics { name: "Recipe" alias: 17 datatype: 19 }
metrics { name: "Big" alias: 18 datatype: 8 long_value: 18446744073709551615 }`

// TestSparkplug goes through the life of an edge node: births, data by name and by alias, what is missing, deaths, and a birth again.
func TestSparkplug(t *testing.T) {
	e, d, record := startEdge(t)
	heard := e.broker.subscribe(t, "spBv1.0/#", 2)
	stream(t, d, record)
	first := heard() // a birth is asked for, and the host announced, in either order
	if joined := strings.Join(first, "\n"); !strings.Contains(joined, `spBv1.0/STATE/hq {"online":true,`) || !strings.Contains(joined, "spBv1.0/plant/NCMD/edge ") || !strings.Contains(joined, metricRebirth) {
		t.Errorf("after connecting were told\n%q", first)
	}
	e.tell("NBIRTH", "", nodeBirth)
	said(t, record, "Firmware", "2.1", good, "node")
	said(t, record, "Uptime", "12", good, "node")
	if at := record.At("node").Named("Uptime").Source; at != model.Time(1700000000500*1_000_000) {
		t.Errorf("the source time is %s", at)
	}
	e.tell("DBIRTH", "press", pressBirth)
	for name, want := range map[string]string{
		"Line_1.Speed": "2.5", "Line_1.Speed_2": "-5", "Small": "-8", "Running": "true", "Since": "2023-11-14T22:13:20Z", "Ratio": "0.5", "online": "true",
	} {
		said(t, record, name, want, good, "devices", "press")
	}
	said(t, record, "Unknown", model.Value{}.String(), model.QualityNotRead, "devices", "press")
	said(t, record, "Big", model.Value{}.String(), model.Quality{Level: model.Bad, Reason: model.ReasonRange}, "devices", "press")
	e.tell("DDATA", "press", `timestamp: 1700000001000 seq: 2 metrics { alias: 10 double_value: 3.5 } metrics { alias: 13 is_historical: true boolean_value: false }`)
	said(t, record, "Line_1.Speed", "3.5", good, "devices", "press")
	said(t, record, "Running", "true", good, "devices", "press")
	e.tell("NDATA", "", `timestamp: 1700000001000 seq: 3 metrics { name: "Uptime" long_value: 13 }`)
	said(t, record, "Uptime", "13", good, "node")
	e.tell("DDEATH", "press", `timestamp: 1700000002000 seq: 4`)
	said(t, record, "online", "false", good, "devices", "press")
	said(t, record, "Line_1.Speed", "3.5", model.QualityNoReply, "devices", "press")
	e.tell("DBIRTH", "press", strings.Replace(pressBirth, "seq: 1", "seq: 5", 1))
	said(t, record, "Line_1.Speed", "2.5", good, "devices", "press")
	e.tell("NDEATH", "", `metrics { name: "bdSeq" datatype: 4 long_value: 6 }`) // of an earlier life, late
	e.tell("DDATA", "press", `seq: 6 metrics { alias: 10 double_value: 4.5 }`)
	said(t, record, "Line_1.Speed", "4.5", good, "devices", "press")
	e.tell("NDEATH", "", `metrics { name: "bdSeq" datatype: 4 long_value: 7 }`)
	said(t, record, "online", "false", good, "node")
	said(t, record, "Line_1.Speed", "4.5", model.QualityNoReply, "devices", "press")
	for _, c := range record.Complaints() {
		t.Error(c)
	}
}

// TestSparkplugGap: after a message that is missing nothing is believed before a birth, which is asked for.
func TestSparkplugGap(t *testing.T) {
	e, d, record := startEdge(t)
	stream(t, d, record)
	e.tell("NBIRTH", "", nodeBirth)
	said(t, record, "Uptime", "12", good, "node")
	d.mu.Lock()
	d.view.(*sparkplug).asked = time.Time{} // long ago
	d.mu.Unlock()
	heard := e.broker.subscribe(t, "spBv1.0/plant/NCMD/edge", 1)
	e.tell("NDATA", "", `seq: 2 metrics { name: "Uptime" long_value: 99 }`)
	if got := heard(); !strings.Contains(got[0], metricRebirth) {
		t.Errorf("told was %q", got)
	}
	said(t, record, "Uptime", "12", good, "node")
	e.tell("NBIRTH", "", strings.Replace(nodeBirth, "long_value: 12", "long_value: 100", 1))
	said(t, record, "Uptime", "100", good, "node")
}

// TestSparkplugCommand: what is set comes out as protobuf's own library reads it.
func TestSparkplugCommand(t *testing.T) {
	e, d, record := startEdge(t)
	stream(t, d, record)
	e.tell("NBIRTH", "", nodeBirth)
	e.tell("DBIRTH", "press", pressBirth)
	said(t, record, "Ratio", "0.5", good, "devices", "press")
	for _, c := range []struct {
		at    []string
		name  string
		value model.Value
		topic string
		wants []string
	}{
		{[]string{"devices", "press"}, "Line_1.Speed", model.Float64(9.25), "spBv1.0/plant/DCMD/edge/press", []string{`name:"Line 1/Speed"`, "double_value:9.25"}},
		{[]string{"devices", "press"}, "Small", model.Int64(-8), "spBv1.0/plant/DCMD/edge/press", []string{"int_value:4294967288"}},
		{[]string{"devices", "press"}, "Ratio", model.Float64(0.25), "spBv1.0/plant/DCMD/edge/press", []string{"float_value:0.25"}},
		{[]string{"node"}, "Firmware", model.String("3"), "spBv1.0/plant/NCMD/edge", []string{`string_value:"3"`, "alias:1"}},
		{[]string{"node"}, "Node_Control.Rebirth", model.Bool(true), "spBv1.0/plant/NCMD/edge", []string{"boolean_value:true"}},
	} {
		heard := e.broker.subscribe(t, c.topic, 1)
		if err := d.WriteChild(t.Context(), c.at, c.name, c.value, record); err != nil {
			t.Fatal(err)
		}
		topic, raw, _ := strings.Cut(heard()[0], " ")
		text := strings.ReplaceAll(e.decode(raw), "  ", " ")
		for _, want := range c.wants {
			if topic != c.topic || !strings.Contains(text, want) {
				t.Errorf("%s: %s: %s, want %s", c.name, topic, text, want)
			}
		}
	}
	for name, value := range map[string]model.Value{"Small": model.Int64(200), "online": model.Bool(false), "none": model.Bool(true)} {
		if err := d.WriteChild(t.Context(), []string{"devices", "press"}, name, value, record); err == nil {
			t.Errorf("%s was set to %v", name, value)
		}
	}
	if err := d.WriteChild(t.Context(), []string{"devices", "other"}, "x", model.Bool(true), record); model.KindOf(err) != model.KindNotFound {
		t.Errorf("a device that is not there: %v", err)
	}
}

func TestLimitsOfDataTypes(t *testing.T) {
	for datatype, want := range map[uint32][2]int64{
		1: {-128, 127}, 2: {-32768, 32767}, 3: {math.MinInt32, math.MaxInt32}, 4: {math.MinInt64, math.MaxInt64},
		5: {0, 255}, 6: {0, 65535}, 7: {0, math.MaxUint32}, 8: {0, math.MaxInt64},
	} {
		if low, high := limitsOf(datatype); low != want[0] || high != want[1] {
			t.Errorf("type %d: %d to %d, want %v", datatype, low, high, want)
		}
	}
}

// FuzzPayload: whatever comes, decoding it does not panic, and what is understood is what protobuf's own library understands.
func FuzzPayload(f *testing.F) {
	p := payload{timestamp: 5, seq: 3, hasSeq: true, metrics: []metric{
		{name: "a", alias: 3, hasAlias: true, datatype: typeDouble, kind: kindDouble, bits: math.Float64bits(2.5)}, {name: "b", datatype: typeBytes, kind: kindBytes, text: "x"},
	}}
	f.Add(p.encode())
	f.Add([]byte{0x12, 0x80})
	schema := schemaOfPayload(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := decodePayload(raw)
		if err != nil {
			return
		}
		m := dynamicpb.NewMessage(schema)
		if proto.Unmarshal(raw, m) != nil {
			return // such as names that are not UTF-8
		}
		metrics := m.Get(schema.Fields().ByName("metrics")).List()
		if metrics.Len() != len(p.metrics) {
			t.Fatalf("%d metrics, protobuf reads %d", len(p.metrics), metrics.Len())
		}
		named := schema.Fields().ByName("metrics").Message().Fields().ByName("name")
		for i := range p.metrics {
			if got := metrics.Get(i).Message().Get(named).String(); got != p.metrics[i].name {
				t.Fatalf("metric %d is called %q, protobuf reads %q", i, p.metrics[i].name, got)
			}
		}
		u := &unit{name: "x"}
		u.born(&p)
		if err := u.schema.Validate(); err != nil {
			t.Errorf("a birth made a schema that is not valid: %v", err)
		}
	})
}
