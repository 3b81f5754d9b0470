package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// Ports of the servers that StartServers starts on every VIP it is given.
const (
	HTTPPort = 80
	// LinePort speaks lines over TCP: for connections that are held.
	LinePort = 7000
	UDPPort  = 5300
)

// API is the address of the load balancer's lbd, as lbctl --server takes it.
func (t *Topology) API() string { return "unix://" + filepath.Join(t.Dir(), "lbd.sock") }

// LBDArgs is the command line of the load balancer's lbd.
func (t *Topology) LBDArgs() []string {
	return []string{
		t.binaries.LBD, "--interface", Iface, "--api", t.API(),
		"--state-dir", t.StateDir(), "--bpffs-dir", t.BPFFSDir("lb"),
	}
}

// StateDir is where the load balancer's lbd keeps its store.
func (t *Topology) StateDir() string { return filepath.Join(t.Dir(), "lbd") }

// StartLBD starts lbd in the load balancer and waits until it serves. Close detaches its data plane.
func (t *Topology) StartLBD(flags ...string) (*Process, error) {
	p, err := t.start(t.LB, "lbd", append(t.LBDArgs(), flags...)...)
	if err != nil {
		return nil, err
	}
	if err := t.awaitServing(p); err != nil {
		return p, err
	}
	t.detachOnClose("lbd", t.LB, t.binaries.LBD, "--detach", "--bpffs-dir", t.BPFFSDir("lb"), "--state-dir", t.StateDir())
	return p, nil
}

// StartAgent starts lbagent in a backend for some VIPs and waits until it has set the backend up.
func (t *Topology) StartAgent(b *Backend, vips ...string) (*Process, error) {
	part := t.part(b.Namespace)
	common := []string{"--state-dir", filepath.Join(t.Dir(), "agent-"+part), "--bpffs-dir", t.BPFFSDir(part)}
	args := append([]string{t.binaries.LBAgent, "--interface", Iface}, common...)
	args = append(args, t.agentSources(b)...)
	for _, vip := range vips {
		args = append(args, "--vip", vip)
	}
	p, err := t.startNotifying(b.Namespace, "lbagent-"+part, args...)
	if err != nil {
		return p, err
	}
	t.detachOnClose(p.Name, b.Namespace, append([]string{t.binaries.LBAgent, "--detach"}, common...)...)
	return p, nil
}

// agentSources are the flags of a backend's agent that say how packets come to it.
func (t *Topology) agentSources(b *Backend) []string {
	if b.Flat {
		return []string{"--encap", "l2"}
	}
	flags := []string{"--from", LBV4.String(), "--from", LBV6.String()}
	for _, p := range t.Sources {
		flags = append(flags, "--from", p.String())
	}
	return flags
}

// AgentStatus is what a backend's agent says of itself, as JSON.
func (t *Topology) AgentStatus(b *Backend) ([]byte, error) {
	part := strings.TrimPrefix(b.Name, t.Name+"-")
	cmd := exec.Command(t.binaries.LBAgent, "--status", "-o", "json", "--state-dir", filepath.Join(t.Dir(), "agent-"+part))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := b.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return nil, fmt.Errorf("asking the agent of %s: %w: %s", b.Server, err, stderr.String())
	}
	return stdout.Bytes(), nil
}

// Equip starts the agents and the servers of backends for some VIPs, all at the same time.
func (t *Topology) Equip(backends []*Backend, vips ...string) error {
	errs := make([]error, len(backends))
	var all sync.WaitGroup
	for i, b := range backends {
		all.Go(func() {
			_, agentErr := t.StartAgent(b, vips...)
			_, serverErr := t.StartServers(b, vips...)
			errs[i] = errors.Join(agentErr, serverErr)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// StartServers starts a backend's HTTP, line and UDP servers on some VIPs.
func (t *Topology) StartServers(b *Backend, vips ...string) (*Process, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{executable, serverCommand, b.Server}
	for _, vip := range vips {
		for kind, port := range map[string]int{"http": HTTPPort, "tcp": LinePort, "udp": UDPPort} {
			args = append(args, kind+"="+HostPort(vip, port))
		}
	}
	return t.startNotifying(b.Namespace, "server-"+t.part(b.Namespace), args...)
}

// part is what tells a namespace apart from the others of the topology: "lb", "b1".
func (t *Topology) part(n *Namespace) string { return strings.TrimPrefix(n.Name, t.Name+"-") }

// LBCtl runs lbctl against the load balancer's lbd and returns what it printed. A failure quotes its error output.
func (t *Topology) LBCtl(stdin string, args ...string) (string, error) {
	cmd := exec.Command(t.binaries.LBCtl, append([]string{"--server", t.API()}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("lbctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// Dial connects to the API of the load balancer's lbd, from whichever namespace: its socket is a file.
func (t *Topology) Dial() (sluicev1.SluiceClient, *grpc.ClientConn, error) {
	// lbd is often just about to listen: ask again soon, not after gRPC's usual second.
	// Without a time of its own an attempt to connect would have to succeed within that.
	again := grpc.ConnectParams{MinConnectTimeout: 10 * time.Second,
		Backoff: backoff.Config{BaseDelay: 5 * time.Millisecond, Multiplier: 1.5, MaxDelay: 50 * time.Millisecond}}
	c, err := grpc.NewClient(t.API(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(again))
	if err != nil {
		return nil, nil, fmt.Errorf("connecting to %s: %w", t.API(), err)
	}
	return sluicev1.NewSluiceClient(c), c, nil
}

// awaitServing waits until lbd's health service says SERVING.
func (t *Topology) awaitServing(p *Process) error {
	_, connection, err := t.Dial()
	if err != nil {
		return err
	}
	defer connection.Close()
	health := grpc_health_v1.NewHealthClient(connection)
	return p.await(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		answer, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
		if err != nil {
			return fmt.Errorf("asking %s for its health: %w", p.Name, err)
		}
		if answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			return fmt.Errorf("health of %s: %s", p.Name, answer.GetStatus())
		}
		return nil
	})
}

// detachOnClose has Close run a command that takes a data plane away, once for each name.
func (t *Topology) detachOnClose(name string, ns *Namespace, args ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.detaches[name] = func() error {
		var output bytes.Buffer
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdout, cmd.Stderr = &output, &output
		err := ns.Start(cmd)
		if err == nil {
			err = cmd.Wait()
		}
		if err != nil {
			return fmt.Errorf("detaching %s: %w: %s", name, err, output.String())
		}
		return nil
	}
}
