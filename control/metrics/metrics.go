package metrics

import (
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc/codes"
)

const (
	// scrapesAtOnce bounds what scrapes cost.
	scrapesAtOnce = 4
	// scrapeTimeout is longer than a collection may take.
	scrapeTimeout = 2 * collectWithin
)

// Metrics are those of one daemon. Its methods may be called at any time, from anywhere.
type Metrics struct {
	registry *prometheus.Registry
	log      *slog.Logger

	applySeconds      prometheus.Histogram
	applyFailures     prometheus.Counter
	apiRequests       *prometheus.CounterVec
	httpRequests      *prometheus.CounterVec
	httpRefused       *prometheus.CounterVec
	collectorFailures *prometheus.CounterVec
}

// New returns metrics that know of the daemon alone; Collect adds the node.
func New(version string, log *slog.Logger) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		log:      log.With("component", "metrics"),
		applySeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "sluice_apply_duration_seconds",
			Help:    "Time that changes of the configuration took from the plan to the commit, waiting for new next hops included.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}),
		applyFailures: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_apply_failures_total",
			Help: "Valid changes of the configuration that could not be made; the old state stayed."}),
		apiRequests: vec("sluice_api_requests_total", "Calls of the control API that ended, by method and gRPC code.", "method", "code"),
		httpRequests: vec("sluice_http_requests_total", "Requests at the HTTP port that were answered, by what answered (page, metrics, rest) and status code.",
			"handler", "code"),
		httpRefused:       vec("sluice_http_refused_total", "Requests at the HTTP port that were refused: for their Host, which may be an attack by DNS rebinding, or for their method.", "reason"),
		collectorFailures: vec("sluice_collector_failures_total", "Parts of a scrape that could not be read.", "part"),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_build_info", Help: "1, with the version of lbd and of the Go that built it.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()}})
	build.Set(1)
	m.registry.MustRegister(build, m.applySeconds, m.applyFailures, m.apiRequests, m.httpRequests, m.httpRefused, m.collectorFailures,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// What may be alarmed about is there from the start: a counter that appears at 1 does not increase.
	for _, reason := range []string{RefusedHost, RefusedMethod} {
		m.httpRefused.WithLabelValues(reason)
	}
	for _, part := range parts {
		m.collectorFailures.WithLabelValues(part)
	}
	return m
}

func vec(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// Collect adds what scrapes read of the node. It must be called once.
func (m *Metrics) Collect(s Source) {
	m.registry.MustRegister(newCollector(s, m.collectorFailures, m.log))
}

// Handler serves the metrics in Prometheus' text format, or OpenMetrics where the client asks for it.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: logger{m.log}, ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: scrapesAtOnce, Timeout: scrapeTimeout,
	})
}

// logger takes promhttp's errors.
type logger struct{ log *slog.Logger }

func (l logger) Println(v ...any) { l.log.Error("serving metrics failed", "err", v) }

// Applied counts a valid change: how long it took and why it failed, if it did.
func (m *Metrics) Applied(took time.Duration, err error) {
	if err != nil {
		m.applyFailures.Inc()
		return
	}
	m.applySeconds.Observe(took.Seconds())
}

// Call counts a call of the API.
func (m *Metrics) Call(method string, code codes.Code, _ time.Duration) {
	m.apiRequests.WithLabelValues(method, code.String()).Inc()
}

// Request counts a request at the HTTP port that a handler answered.
func (m *Metrics) Request(handler string, status int) {
	m.httpRequests.WithLabelValues(handler, strconv.Itoa(status)).Inc()
}

// Why requests are refused.
const (
	RefusedHost   = "host"
	RefusedMethod = "method"
)

// Refused counts a request at the HTTP port that nobody answered.
func (m *Metrics) Refused(reason string) { m.httpRefused.WithLabelValues(reason).Inc() }
