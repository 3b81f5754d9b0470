package main

import (
	"context"
	"net"
	"sync"

	"github.com/sluice-lb/sluice/control/metrics"
	"github.com/sluice-lb/sluice/control/web"
	"github.com/sluice-lb/sluice/internal/version"
)

// httpPort is where metrics and the read API are served; nil where nowhere. It is opened before anything is attached, so
// that a port that is taken is found out in time.
type httpPort struct {
	listener net.Listener
	driver   *metrics.Driver
	server   *web.Server // nil until serve
}

func (d *daemon) listenHTTP() (*httpPort, error) {
	if d.http == "" {
		return nil, nil
	}
	l, err := web.Listen(d.http)
	if err != nil {
		return nil, err
	}
	driver, err := metrics.OpenDriver()
	if err != nil {
		_ = l.Close() // nothing was served
		return nil, err
	}
	return &httpPort{listener: l, driver: driver}, nil
}

// serve answers until stop; the metrics tell that the node is not ready yet.
func (p *httpPort) serve(d *daemon, running *sync.WaitGroup, fail context.CancelCauseFunc) (err error) {
	if p == nil {
		return nil
	}
	d.metrics.Collect(metrics.Source{API: d.server.Local(), Driver: p.driver, Ready: d.server.IsReady, Watching: d.server.Watching})
	p.server, err = web.New(web.Options{API: d.server.Local(), Metrics: d.metrics, Hosts: d.httpHosts, Version: version.String(), Log: d.log})
	if err != nil {
		return err
	}
	d.log.Info("http port open", "http", p.listener.Addr().String())
	if web.Open(p.listener) {
		d.log.Warn("other machines can reach the http port, which asks nobody who he is", "http", p.listener.Addr().String())
	}
	running.Go(func() {
		if err := p.server.Serve(p.listener); err != nil {
			fail(fatal{err})
		}
	})
	return nil
}

// stop ends serve.
func (p *httpPort) stop() {
	if p != nil {
		p.server.Stop(stopGrace)
	}
}

// close lets go of the port.
func (p *httpPort) close() {
	if p != nil {
		_ = p.listener.Close() // closed already where it was served
		p.driver.Close()
	}
}
