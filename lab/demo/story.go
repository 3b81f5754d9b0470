package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/sluice-lb/sluice/lab"
)

const (
	// requestEvery is the interval of HTTP requests to each VIP.
	requestEvery = 25 * time.Millisecond
	// heldEach connections are held to each VIP, with a line on each of them every askEvery.
	heldEach = 100
	askEvery = 250 * time.Millisecond
	// watch is how long each scene is shown.
	watch = 4 * time.Second
	// outage is how long lbd stays dead.
	outage = 3 * time.Second
	// retransmission is the least time that an answer takes if a packet of it was lost: Linux's TCP_RTO_MIN.
	retransmission = 200 * time.Millisecond
)

// vips are the addresses that the document configures, and pools their pools, in the same order.
var (
	vips  = []string{lab.VIPV4.String(), lab.VIPV6.String()}
	pools = []string{"web", "web6"}
)

// demo is one performance.
type demo struct {
	screen   *screen
	document string
	start    time.Time

	topology *lab.Topology
	lbd      *lab.Process
	traffic  []*lab.Traffic // HTTP requests of this scene, in the order of vips
	past     []lab.Tally    // those of earlier scenes, in the order of vips
	held     *lab.Traffic   // connections that are held through all scenes; nil before the first
	results  []result
}

// result is what the client saw of one scene: of the requests that it sent in it.
type result struct {
	scene string
	lab.Tally
}

func newDemo(out *os.File, document string) *demo {
	return &demo{screen: newScreen(out), document: document, start: time.Now(), past: make([]lab.Tally, len(vips))}
}

// tell plays all scenes.
func (d *demo) tell(ctx context.Context, bin string) error {
	if err := d.raise(bin); err != nil {
		return err
	}
	for _, scene := range []struct {
		name string
		play func(context.Context) error
	}{
		{"three backends", d.watch},
		{"a fourth backend", d.addBackend},
		{"web-2 drained", d.drain},
		{"lbd killed and restarted", d.killAndRestart},
	} {
		d.startTraffic()
		err := errors.Join(scene.play(ctx), ctx.Err())
		d.results = append(d.results, result{scene.name, d.stopTraffic()})
		if err != nil {
			return err
		}
	}
	return d.report()
}

// startTraffic starts to send requests to all VIPs.
func (d *demo) startTraffic() {
	for _, vip := range vips {
		d.traffic = append(d.traffic, d.topology.Client.Request(requestEvery, lab.HostPort(vip, lab.HTTPPort)))
	}
}

// stopTraffic waits for the requests that are under way and returns what became of all of the scene.
func (d *demo) stopTraffic() lab.Tally {
	var scene lab.Tally
	for i, t := range d.traffic {
		tally := t.Stop()
		scene = scene.Plus(tally)
		d.past[i] = d.past[i].Plus(tally)
	}
	d.traffic = nil
	return scene
}

// raise builds the lab, starts everything in it, and starts to send requests.
func (d *demo) raise(bin string) error {
	binaries, err := lab.FindBinaries(bin)
	if err != nil {
		return err
	}
	document, err := os.ReadFile(d.document)
	if err != nil {
		return fmt.Errorf("reading the document to apply: %w (run it from the top of the source tree, or name one with -document)", err)
	}
	if d.topology, err = lab.Raise(binaries, 3); err != nil {
		return err
	}
	d.say("lab %s: client, router, load balancer, three backends", d.topology.Name)
	if err := d.topology.Equip(d.topology.Backends, vips...); err != nil {
		return err
	}
	d.say("every backend has an agent and servers")
	if d.lbd, err = d.topology.StartLBD(); err != nil {
		return err
	}
	d.say("lbd serves, process %d", d.lbd.PID())
	if err := d.lbctl(string(document), "apply", "-f", "-"); err != nil {
		return err
	}
	// The first packet to each backend waits for its next hop: not what is to be shown.
	if err := d.awaitAnswers(); err != nil {
		return err
	}
	d.say("the client sends %d HTTP requests a second to each of %s", time.Second/requestEvery, strings.Join(vips, " and "))
	return d.hold()
}

// hold opens the connections that have to live through everything.
func (d *demo) hold() (err error) {
	lines := make([]string, len(vips))
	for i, vip := range vips {
		lines[i] = lab.HostPort(vip, lab.LinePort)
	}
	if d.held, err = d.topology.Client.Hold(heldEach, askEvery, lines...); err != nil {
		return err
	}
	d.say("it holds %d connections to each VIP and talks on each of them", heldEach)
	return nil
}

// awaitAnswers waits until both VIPs answer.
func (d *demo) awaitAnswers() error {
	for _, vip := range vips {
		if _, err := d.topology.Client.Get(lab.HostPort(vip, lab.HTTPPort)); err != nil {
			return fmt.Errorf("the first request to %s: %w; lbd printed:\n%s", vip, err, d.lbd.Log())
		}
	}
	return nil
}

// addBackend adds web-4 under traffic and measures how long it takes until it answers.
func (d *demo) addBackend(ctx context.Context) error {
	b, err := d.topology.AddBackend()
	if err != nil {
		return err
	}
	if err := d.topology.Equip([]*lab.Backend{b}, vips...); err != nil {
		return err
	}
	applied := make([]time.Time, len(pools))
	for i, address := range []string{b.V4.String(), b.V6.String()} {
		applied[i] = time.Now()
		if err := d.lbctl("", "create", "backend", pools[i]+"/"+b.Server, "--address", address); err != nil {
			return err
		}
	}
	for i, vip := range vips {
		for d.requests(i).Answers[b.Server] == 0 {
			if time.Since(applied[i]) > 5*time.Second || ctx.Err() != nil {
				return errors.Join(fmt.Errorf("%s does not answer at %s", b.Server, vip), ctx.Err())
			}
			time.Sleep(5 * time.Millisecond)
		}
		d.say("%s answered at %s %d ms after the command was started", b.Server, vip, time.Since(applied[i]).Milliseconds())
	}
	return d.watch(ctx)
}

// drain drains web-2: new requests go elsewhere, held connections stay.
func (d *demo) drain(ctx context.Context) error {
	for _, pool := range pools {
		if err := d.lbctl("", "drain", pool+"/web-2"); err != nil {
			return err
		}
	}
	time.Sleep(2 * requestEvery) // what was under way
	answers := func() int { return d.requests(0).Answers["web-2"] + d.requests(1).Answers["web-2"] }
	before, lines := answers(), d.held.Tally().Answers["web-2"]
	if err := d.watch(ctx); err != nil {
		return err
	}
	d.say("web-2 answered %d new requests since, and %d lines on connections that it keeps",
		answers()-before, d.held.Tally().Answers["web-2"]-lines)
	return nil
}

// killAndRestart kills lbd in the middle of the drain.
func (d *demo) killAndRestart(ctx context.Context) (err error) {
	d.say("$ kill -9 %d   (lbd)", d.lbd.PID())
	if err := d.lbd.Kill(); err != nil {
		return err
	}
	if err := d.show(ctx, outage); err != nil {
		return err
	}
	started := time.Now()
	if d.lbd, err = d.topology.StartLBD(); err != nil {
		return err
	}
	d.say("lbd serves again after %d ms, process %d", time.Since(started).Milliseconds(), d.lbd.PID())
	return d.watch(ctx)
}

// report says what broke. It fails if anything did.
func (d *demo) report() error {
	held := d.held.Stop()
	d.screen.clear()
	out := d.screen.out
	fmt.Fprintf(out, "\nWhat broke, counted by the client:\n\n")
	for _, r := range d.results {
		fmt.Fprintf(out, "  %-26s %5d requests answered  %3d failed, the slowest took %d ms\n",
			r.scene, r.Total(), r.Failures, r.Slowest.Milliseconds())
	}
	fmt.Fprintf(out, "  %-26s %5d connections held    %3d broke, %d moved, the slowest of %d answers took %d ms\n\n",
		"all of it", held.Held, held.Failures, held.Moved, held.Total(), held.Slowest.Milliseconds())
	all := held
	for _, r := range d.results {
		all = all.Plus(r.Tally)
	}
	if err := all.Err(); err != nil {
		return fmt.Errorf("something broke: %w", err)
	}
	verdict := "broke nothing and delayed nothing"
	if all.Slowest >= retransmission {
		verdict = "broke nothing, but a packet may have been lost and sent again"
	}
	fmt.Fprintf(out, "Adding a backend, draining one, killing and restarting lbd %s. (%.0f s in all)\n", verdict, time.Since(d.start).Seconds())
	return nil
}

// keep leaves the lab up and says what can be done with it.
func (d *demo) keep(executable string) error {
	if err := d.topology.Keep(); err != nil {
		return err
	}
	t, bin := d.topology, executable[:strings.LastIndexByte(executable, '/')]
	fmt.Fprintf(d.screen.out, `
The lab stays up. Try, as root:

  export SLUICE_SERVER=%s
  %[2]s/lbctl status
  %[2]s/lbctl get backends -o wide
  %[2]s/lbctl stats
  %[2]s/lbctl get flows
  %[2]s/lbctl undrain web/web-2
  nsenter --net=%[3]s curl -s http://%[5]s/
  nsenter --net=%[3]s curl -s 'http://[%[6]s]/'
  nsenter --net=%[4]s tcpdump -ni any

Logs are in %[7]s. Remove it all with:

  %[8]s -remove %[9]s
`, t.API(), bin, t.Client.Path(), t.Backends[0].Path(), vips[0], vips[1], t.Dir(), executable, t.Name)
	return nil
}

// close takes everything down.
func (d *demo) close() error {
	if d.held != nil {
		d.held.Stop()
	}
	if d.topology == nil {
		return nil
	}
	d.screen.clear()
	err := d.topology.Close()
	if left := lab.Leftovers(d.topology.Name); len(left) > 0 {
		err = errors.Join(err, fmt.Errorf("left behind: %q", left))
	}
	return err
}

// lbctl shows and runs one command.
func (d *demo) lbctl(stdin string, args ...string) error {
	d.say("$ lbctl %s", strings.Join(args, " "))
	output, err := d.topology.LBCtl(stdin, args...)
	if err != nil {
		return err
	}
	for line := range strings.Lines(output) {
		d.say("    %s", strings.TrimRight(line, "\n"))
	}
	return nil
}

// requests is what the client has seen of one VIP until now, in all scenes.
func (d *demo) requests(vip int) lab.Tally {
	if d.traffic == nil {
		return d.past[vip]
	}
	return d.past[vip].Plus(d.traffic[vip].Tally())
}

// say prints one line of the story.
func (d *demo) say(format string, args ...any) {
	d.screen.clear()
	fmt.Fprintf(d.screen.out, "%5.1f s  "+format+"\n", append([]any{time.Since(d.start).Seconds()}, args...)...)
}

// watch shows the table for the usual time.
func (d *demo) watch(ctx context.Context) error { return d.show(ctx, watch) }

// show shows the table, again and again, and leaves the last one.
func (d *demo) show(ctx context.Context, duration time.Duration) error {
	end := time.After(duration)
	refresh := time.NewTicker(d.screen.interval())
	defer refresh.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end:
			d.screen.draw(d.table(ctx))
			d.screen.keep()
			return nil
		case <-refresh.C:
			d.screen.draw(d.table(ctx))
		}
	}
}
