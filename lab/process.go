package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// servingTimeout is how long a process may take from its start until it serves: long, because loading a program
	// takes a second of CPU, and a busy machine may have none to spare.
	servingTimeout = time.Minute
	// stopTimeout is how long a process may take to end after SIGTERM.
	stopTimeout = 5 * time.Second
)

// Process is one process inside a namespace. Its output goes to a file in the topology's directory.
type Process struct {
	// Name tells it apart from the others of the topology.
	Name string

	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// start starts a process in a namespace. Output of an earlier process of the same name is kept.
func (t *Topology) start(ns *Namespace, name string, args ...string) (*Process, error) {
	return t.startWith(nil, ns, name, args...)
}

// startNotifying starts a process and waits until it says that it is ready.
func (t *Topology) startNotifying(ns *Namespace, name string, args ...string) (*Process, error) {
	ready, err := t.listenReady(name)
	if err != nil {
		return nil, err
	}
	defer ready.socket.Close()
	p, err := t.startWith([]string{ready.environment()}, ns, name, args...)
	if err != nil {
		return nil, err
	}
	return p, p.await(ready.check)
}

// startWith starts a process with additional environment variables.
func (t *Topology) startWith(environment []string, ns *Namespace, name string, args ...string) (*Process, error) {
	p := &Process{Name: name, log: filepath.Join(t.Dir(), name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	defer log.Close()
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Env = append(os.Environ(), environment...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// A group of its own: Ctrl-C at the terminal is for us, we decide in which order the others end.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := ns.Start(p.cmd); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	t.mu.Lock()
	t.procs = append(t.procs, p)
	t.mu.Unlock()
	// An error means that it has ended already, which whoever waits for it to serve will tell better.
	_ = recordProcess(t.Name, procsFile, p.PID())
	go func() {
		_ = p.cmd.Wait() // ProcessState says how it ended
		close(p.done)
	}()
	return p, nil
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log is everything that processes of this name have printed.
func (p *Process) Log() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// Kill ends the process with SIGKILL and waits for it.
func (p *Process) Kill() error {
	err := p.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-p.done
	return err
}

// Stop ends the process with SIGTERM, or with SIGKILL if it takes too long, which is an error.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		<-p.done
		return nil // it had ended before
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("stopping %s: still running %s after SIGTERM", p.Name, stopTimeout), p.Kill())
	}
}

// Wait waits for the process to end by itself and returns its exit code.
func (p *Process) Wait(timeout time.Duration) (int, error) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(timeout):
		return 0, fmt.Errorf("waiting for %s: still running after %s", p.Name, timeout)
	}
}

// await repeats a check until it succeeds. It gives up when the process ends or takes too long.
func (p *Process) await(check func() error) error {
	for timeout := time.After(servingTimeout); ; {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended (%s) and printed:\n%s", p.Name, p.cmd.ProcessState, p.Log())
		case <-timeout:
			return fmt.Errorf("%s does not serve after %s: %w; it printed:\n%s", p.Name, servingTimeout, err, p.Log())
		case <-time.After(10 * time.Millisecond):
		}
	}
}
