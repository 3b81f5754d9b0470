package main

import (
	"context"
	"strconv"
	"time"
)

// watchdog tells the service manager that the daemon works, for as long as it does: each time only after the engine has
// shown that it could make a change. A daemon that is stuck is killed and started again; packets do not notice.
func (d *daemon) watchdog(ctx context.Context) {
	within := d.watchdogInterval()
	if within == 0 {
		return
	}
	tick := time.NewTicker(within / 3)
	defer tick.Stop()
	for {
		d.signOfLife(ctx, within/3)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (d *daemon) signOfLife(ctx context.Context, wait time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	err := d.engine.Alive(ctx)
	switch {
	case err == nil:
		d.notify("WATCHDOG=1")
	case ctx.Err() == context.DeadlineExceeded:
		d.log.Error("no sign of life for the watchdog", "err", err)
	}
}

// watchdogInterval is what the service manager allows between two signs of life; 0 where it wants none of this process
// (sd_watchdog_enabled(3)).
func (d *daemon) watchdogInterval() time.Duration {
	if pid := d.env.getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(d.env.pid) {
		return 0
	}
	usec, err := strconv.ParseInt(d.env.getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}
