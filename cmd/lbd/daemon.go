package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/sluice-lb/sluice/control"
	"github.com/sluice-lb/sluice/control/access"
	"github.com/sluice-lb/sluice/control/health"
	"github.com/sluice-lb/sluice/control/metrics"
	"github.com/sluice-lb/sluice/control/nexthop"
	"github.com/sluice-lb/sluice/control/store"
	"github.com/sluice-lb/sluice/internal/version"
)

// fatal is why the daemon cannot go on; any other cause of its context's end is a signal.
type fatal struct{ error }

// stopGrace is how long calls that run when the daemon is told to end may take.
const stopGrace = 2 * time.Second

// daemon wires the parts. They are opened in an order in which nothing is attached before everything else is known to
// work, and closed in the reverse order.
type daemon struct {
	settings
	env env
	log *slog.Logger

	store   *store.Store
	dp      dataplane
	netlink *nexthop.Netlink
	watcher *nexthop.Watcher
	checker *health.Checker
	engine  *control.Engine
	server  *control.Server

	certificates *access.Certificates // nil where the API has sockets only
	audit        *access.Audit
	metrics      *metrics.Metrics
}

func (d *daemon) run(ctx context.Context) (err error) {
	if d.store, err = store.Open(d.stateDir, d.seedFile); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.store.Close()) }()
	d.store.KeepRevisions(int(d.history))
	guard, err := d.openAccess()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.audit.Close()) }()
	listeners, err := d.listen()
	defer closeAll(listeners)
	if err != nil {
		return err
	}
	port, err := d.listenHTTP()
	if err != nil {
		return err
	}
	defer port.close()
	if d.netlink, err = nexthop.NewNetlink(nil); err != nil {
		return err
	}
	defer d.netlink.Close()
	if d.dp, err = d.env.open(d.settings, opening{d.store.Seed(), d.log}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.dp.Close()) }()
	d.watcher = nexthop.New(d.netlink, d.interfaces, d.log)
	d.checker = health.New(health.Options{Gone: control.HostGone(d.watcher), Log: d.log})
	d.metrics = metrics.New(version.String(), d.log)
	d.engine = control.NewEngine(control.Options{
		Dataplane: d.dp, Store: d.store, NextHops: d.watcher, Health: d.checker, Seed: d.store.Seed(), Limits: d.limits, Log: d.log, Attach: d.dp.Attach,
		Applied: d.metrics.Applied,
	})
	d.server = control.NewServer(d.engine, version.String(), d.log, guard)
	d.server.Observe(d.metrics.Call)

	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	running.Go(func() { d.watcher.Run(ctx) })
	for _, l := range listeners {
		running.Go(func() {
			if err := d.server.GRPC().Serve(l); err != nil {
				cancel(fatal{fmt.Errorf("serve api: %w", err)})
			}
		})
	}
	defer d.server.Stop(stopGrace)
	if err := port.serve(d, &running, cancel); err != nil {
		return err
	}
	defer port.stop()
	return d.work(ctx, &running)
}

// work starts the engine and goes on until ctx ends. It returns nil after a signal.
func (d *daemon) work(ctx context.Context, running *sync.WaitGroup) error {
	if err := d.engine.Start(ctx); err != nil {
		return err
	}
	running.Go(func() { d.engine.Run(ctx) })
	running.Go(func() { d.checker.Run(ctx) })
	running.Go(func() { d.store.RunBackups(ctx, store.BackupInterval, d.log) })
	running.Go(func() { d.watchFiles(ctx) })
	if err := d.env.confine(); err != nil {
		return err
	}
	d.announce()
	d.server.Ready()
	d.notify("READY=1")
	running.Go(func() { d.watchdog(ctx) })
	<-ctx.Done()
	d.notify("STOPPING=1")
	if cause := (fatal{}); errors.As(context.Cause(ctx), &cause) {
		return cause.error
	}
	d.log.Info("stopping, the data plane goes on")
	return nil
}

// announce logs what an operator wants to know of a daemon that has just started.
func (d *daemon) announce() {
	info, err := d.dp.Info()
	if err != nil {
		d.log.Warn("describing the data plane failed", "err", err)
	}
	for _, i := range info.Interfaces {
		d.log.Info("interface attached", "iface", i.Name, "mode", i.Mode, "mtu", i.MTU, "prog_id", i.ProgramID, "prog_tag", i.ProgramTag)
	}
	st := d.engine.State()
	flowsV4, flowsV6 := d.limits.Flows()
	d.log.Info("ready", "version", version.String(), "interfaces", strings.Join(d.interfaces, ","), "mode", d.mode,
		"api", strings.Join(d.api, ","), "limit_vips", d.limits.VIPs, "limit_backends", d.limits.Backends, "limit_slots", d.limits.Slots,
		"limit_flows_v4", flowsV4, "limit_flows_v6", flowsV6,
		"map_memory_bytes", info.MapMemory, "unmatched", d.unmatched, "seed_fingerprint", d.store.Seed().Fingerprint(),
		"revision", st.Revision, "publication", st.Publication)
}

// notify tells systemd, where it started us.
func (d *daemon) notify(state string) {
	if err := notify(d.env.getenv("NOTIFY_SOCKET"), state); err != nil {
		d.log.Warn("notifying the service manager failed", "err", err)
	}
}
