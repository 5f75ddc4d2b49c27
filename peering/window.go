package peering

import (
	"time"

	"banyan/model"
	"banyan/proto/linkv1"

	pb "google.golang.org/protobuf/proto"
)

// window bounds what is on its way and not acknowledged to 250 ms of the throughput that was measured, since whatever stands in buffers stands before
// an alert. It never closes below 256 KiB, so that an idle link starts at once.
type window struct {
	total   uint64 // bytes sent
	acked   uint64
	rate    float64 // bytes a second, the greater of the last two measurements
	last    float64
	began   model.Time // of the measurement
	beganAt uint64
}

const (
	leastWindow = 256 << 10
	mostWindow  = 32 << 20
	windowTime  = 250 * time.Millisecond
	measureTime = 100 * time.Millisecond
)

func newWindow() window { return window{} }

func (w *window) sent(bytes int, now model.Time) {
	if w.total == w.acked {
		w.began, w.beganAt = now, w.acked
	}
	w.total += uint64(bytes)
}

// acknowledge notes how many bytes have arrived, and reports whether that is more than before.
func (w *window) acknowledge(bytes uint64, now model.Time) bool {
	if bytes <= w.acked || bytes > w.total {
		return false
	}
	w.acked = bytes
	if took := time.Duration(now - w.began); took >= measureTime {
		w.last, w.rate = w.rate, float64(w.acked-w.beganAt)/took.Seconds()
		w.began, w.beganAt = now, w.acked
	}
	return true
}

func (w *window) size() uint64 {
	return uint64(min(mostWindow, max(leastWindow, max(w.rate, w.last)*windowTime.Seconds())))
}

func (w *window) open() bool { return w.total-w.acked < w.size() }

func frameSize(frame *linkv1.ProviderFrame) int { return pb.Size(frame) }
