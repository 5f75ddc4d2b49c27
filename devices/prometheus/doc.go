// Package prometheus is the driver of what tells its metrics in the text format of Prometheus: exporters, databases, programs.
//
// It owns what becomes of a scrape: points of a profile, or, without one, a context for each series. It does not own the format, which is read by
// Prometheus' own library, and it keeps no history.
package prometheus
