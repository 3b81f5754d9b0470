package main

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/sluice-lb/sluice/control"
	"github.com/sluice-lb/sluice/control/access"
)

// openAccess opens what decides over callers and records them.
func (d *daemon) openAccess() (*access.Guard, error) {
	if d.tls != (access.Files{}) {
		var err error
		if d.certificates, err = access.LoadCertificates(d.tls, d.log); err != nil {
			return nil, err
		}
	}
	var err error
	if d.audit, err = access.OpenAudit(d.auditPath(), d.log); err != nil {
		return nil, err
	}
	guard, err := access.New(access.Options{
		Rules: d.roles, SocketGroup: d.apiGroup, Certificates: d.certificates, Audit: d.audit, Log: d.log,
	})
	if err != nil {
		return nil, errors.Join(err, d.audit.Close())
	}
	return guard, nil
}

// listen opens every address of the API. It returns those that it opened also where it fails.
func (d *daemon) listen() ([]net.Listener, error) {
	var out []net.Listener
	for _, address := range d.api {
		l, err := control.Listen(address, d.apiGroup)
		if err != nil {
			return out, err
		}
		out = append(out, access.Limit(l, access.MaxConnections, d.log))
	}
	return out, nil
}

// closeAll closes listeners that no server closed.
func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close() // closed already where the server ran
	}
}

// watchFiles follows the certificates' files, and opens the log again when told by SIGHUP that it was moved away.
func (d *daemon) watchFiles(ctx context.Context) {
	if d.certificates != nil {
		var running sync.WaitGroup
		defer running.Wait()
		running.Go(func() { d.certificates.Run(ctx) })
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.env.hangup:
			d.audit.Reopen()
			if d.certificates != nil {
				d.certificates.Reload()
			}
		}
	}
}
