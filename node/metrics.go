package node

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
)

// metrics are the node's counters, in a registry of its own, so that several
// nodes can live in one process.
type metrics struct {
	registry  *prometheus.Registry
	parts     *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	refusals  *prometheus.CounterVec
	questions prometheus.Counter
}

func newMetrics(n *Node) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		questions: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "candignode_questions_total", Help: "Questions asked at this node by its own callers.",
		}),
		parts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "candignode_answer_parts_total", Help: "Parts of answers, by site and status.",
		}, []string{"site", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "candignode_answer_part_seconds", Help: "Time until a site's part arrived, in seconds.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"site"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "candignode_passports_refused_total", Help: "Requests refused for a passport, by reason.",
		}, []string{"reason"}),
	}
	m.registry.MustRegister(m.questions, m.parts, m.seconds, m.refusals,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), newState(n))
	return m
}

func (m *metrics) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return mux
}

func (m *metrics) refused(reason trust.Reason) { m.refusals.WithLabelValues(string(reason)).Inc() }

// counted is an Asker that counts what passes through it.
type counted struct {
	asker interface {
		query.Asker
		AskEach(context.Context, trust.Caller, query.Request, func(query.Part)) (query.Answer, error)
	}
	metrics *metrics
}

func (c counted) Ask(ctx context.Context, caller trust.Caller, r query.Request) (query.Answer, error) {
	return c.AskEach(ctx, caller, r, func(query.Part) {})
}

func (c counted) AskEach(ctx context.Context, caller trust.Caller, r query.Request, each func(query.Part)) (query.Answer, error) {
	c.metrics.questions.Inc()
	return c.asker.AskEach(ctx, caller, r, func(p query.Part) {
		c.metrics.parts.WithLabelValues(string(p.Site), string(p.Status)).Inc()
		c.metrics.seconds.WithLabelValues(string(p.Site)).Observe(float64(p.TookMS) / 1000)
		each(p)
	})
}

// state collects what the node is, at the moment it is asked.
type state struct {
	n                                    *Node
	peer, keys, alarms, entries, started *prometheus.Desc
}

func newState(n *Node) state {
	return state{
		n:       n,
		peer:    prometheus.NewDesc("candignode_peer_connected", "1 while a live connection to the peer exists.", []string{"site"}, nil),
		keys:    prometheus.NewDesc("candignode_issuer_keys_believed", "Keys that this node believes for the issuer.", []string{"issuer"}, nil),
		alarms:  prometheus.NewDesc("candignode_issuer_alarms", "Open alarms about the issuer.", []string{"issuer"}, nil),
		entries: prometheus.NewDesc("candignode_audit_entries", "Entries in the audit log.", nil, nil),
		started: prometheus.NewDesc("candignode_start_time_seconds", "When the node started, Unix time in seconds.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (s state) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.peer, s.keys, s.alarms, s.entries, s.started} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s state) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for _, p := range s.n.mesh.Peers() {
		up := 0.0
		if p.Connected {
			up = 1
		}
		gauge(s.peer, up, string(p.Site))
	}
	for _, i := range s.n.issuers.List() {
		gauge(s.keys, float64(i.KeysBelieved), i.Issuer)
		gauge(s.alarms, float64(i.Alarms), i.Issuer)
	}
	if head, err := s.n.store.AuditHead(); err == nil {
		gauge(s.entries, float64(head.Seq))
	}
	gauge(s.started, float64(s.n.started.UnixNano())/float64(time.Second))
}
