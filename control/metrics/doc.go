// Package metrics makes Prometheus' metrics of a node: what the API tells, read when somebody scrapes, and what happened in
// the daemon, counted as it happens. docs/metrics.md lists all of them.
package metrics
