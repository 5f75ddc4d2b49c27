package model

import (
	"encoding/json"
	"testing"
	"time"
)

func TestReadingJSON(t *testing.T) {
	at := TimeOf(time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC))
	reading := Reading{
		Path: MustPath("/regions/north/sites/berlin/devices/local"), Name: "cpu_percent", Unit: "%",
		Sample: Sample{Value: Float64(12.5), Quality: QualityStale, Source: at - 2e9}, Since: at, Received: at - 1e9, Via: []string{"region-north", "berlin"},
	}
	setting := Reading{Name: "poll_interval", Sample: Sample{Value: Duration(2 * time.Second), Source: at, Owner: at}, Setting: true, Revision: Position{Epoch{7, 0xabc}, 42}}
	for _, test := range []struct {
		reading Reading
		want    string
	}{
		{reading, `{"path":"/regions/north/sites/berlin/devices/local","name":"cpu_percent","type":"float64","value":12.5,"unit":"%","quality":"uncertain","reason":"stale",` +
			`"since":"2026-01-02T03:04:05.678Z","time":"2026-01-02T03:04:03.678Z","received":"2026-01-02T03:04:04.678Z","via":["region-north","berlin"]}`},
		{setting, `{"path":"/","name":"poll_interval","type":"duration","value":"2s","quality":"good","time":"2026-01-02T03:04:05.678Z",` +
			`"published":"2026-01-02T03:04:05.678Z","revision":"7-0000000000000abc@42"}`},
		{Reading{Revision: setting.Revision, Via: []string{"a\"\n"}}, `{"path":"/","type":"none","value":null,"quality":"good","via":["a\"\n"]}`},
	} {
		got, err := json.Marshal(test.reading)
		if err != nil || string(got) != test.want {
			t.Errorf("got  %s, %v\nwant %s", got, err, test.want)
		}
	}
}

func TestQualityCodes(t *testing.T) {
	for code := range 1 << 16 {
		q := QualityFromCode(uint16(code))
		if q.Level > Bad || q.Reason != Reason(code&0xff) || code>>8 <= int(Bad) && q.Code() != uint16(code) || code>>8 > int(Bad) && q.Level != Bad {
			t.Fatalf("code %#x is %s", code, q)
		}
	}
	for q, want := range map[Quality]string{
		QualityGood: "good", QualityStale: "uncertain/stale", QualityNotRead: "uncertain/not-yet-read", QualityNoReply: "bad/no-response",
		{Bad, ReasonFailed}: "bad/device-error", {Good, 200}: "good/reason-200", {Level: 9}: "level-9",
	} {
		if q.String() != want {
			t.Errorf("got %s, want %s", q, want)
		}
	}
	if QualityGood.Code() != 0 || QualityStale.Worse(QualityNotRead) != QualityStale || QualityGood.Worse(QualityStale) != QualityStale || QualityNoReply.Worse(QualityStale) != QualityNoReply {
		t.Error("good is not 0, or worse is not worse")
	}
}

func TestRights(t *testing.T) {
	for right := RightNone; right <= RightAdminister; right++ {
		if again, err := ParseRight(right.String()); err != nil || again != right {
			t.Errorf("%s: %s, %v", right, again, err)
		}
	}
	for _, text := range []string{"", "View", "right-7", "root"} {
		if right, err := ParseRight(text); KindOf(err) != KindInvalid || err == nil || right != RightNone {
			t.Errorf("%q: %s, %v", text, right, err)
		}
	}
	if Right(7).String() != "right-7" || !(RightView < RightOperate && RightOperate < RightConfigure && RightConfigure < RightAdminister) {
		t.Error("rights have no order")
	}
}
