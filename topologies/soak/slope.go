package main

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// sample is one figure of one node at one time. Samples of different lives of a process are not compared: each begins anew.
type sample struct {
	at   time.Duration // since the begin of the soak
	life int
	of   float64
}

// rule says from when on a figure counts as growing: by the slope that its samples have after the warm-up it has grown by more than both the least and the
// share of its median, and most pairs of samples grow.
type rule struct {
	least float64
	share float64
}

// mostPairs grow where a figure has a slope: 1/2 is noise, 1 is a line. A leak among samples that scatter as widely as it has grown comes to 0.85.
const mostPairs = 0.75

// trend is how a figure moved after the warm-up.
type trend struct {
	samples       int
	first, median float64
	last          float64
	perHour       float64 // Theil-Sen: the median of the slopes of all pairs within lives
	rising        float64 // share of pairs that grow
	span          time.Duration
	longest       time.Duration // within one life
	grows         bool
}

// warm leaves out what comes before a time, and the first part of each life.
func warm(of []sample, from, youth time.Duration) []sample {
	born := map[int]time.Duration{}
	var left []sample
	for _, s := range of {
		if _, known := born[s.life]; !known {
			born[s.life] = s.at
		}
		if s.at >= from && (s.at-born[s.life] >= youth || s.life == 0) {
			left = append(left, s)
		}
	}
	return left
}

// most is how many samples a trend is worked out from: pairs are many.
const most = 1500

func trendOf(of []sample, r rule) trend {
	if skip := (len(of) + most - 1) / most; skip > 1 {
		var thinned []sample
		for i := 0; i < len(of); i += skip {
			thinned = append(thinned, of[i])
		}
		of = thinned
	}
	t := trend{samples: len(of)}
	if len(of) < 2 {
		return t
	}
	t.first, t.last, t.span = of[0].of, of[len(of)-1].of, of[len(of)-1].at-of[0].at
	var slopes, values []float64
	rising := 0.0
	for i, a := range of {
		values = append(values, a.of)
		for _, b := range of[i+1:] {
			if b.life != a.life || b.at == a.at {
				continue
			}
			t.longest = max(t.longest, b.at-a.at)
			slopes = append(slopes, (b.of-a.of)/(b.at-a.at).Hours())
			rising += (1 + float64(cmp.Compare(b.of, a.of))) / 2
		}
	}
	t.median = middle(values)
	if len(slopes) == 0 {
		return t
	}
	t.perHour, t.rising = middle(slopes), rising/float64(len(slopes))
	grown := t.perHour * t.span.Hours()
	t.grows = grown > math.Max(r.least, r.share*t.median) && t.rising > mostPairs
	return t
}

func middle(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}
