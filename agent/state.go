package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	stateName   = "state.json"
	stateSchema = 1
)

// state is what the agent changed on this host and what it was told, on disk before the change is made.
type state struct {
	Schema int `json:"schema"`
	// Host names the boot and the network namespace: the originals of another one are worth nothing.
	Host       string         `json:"host"`
	Version    string         `json:"version"`
	BPFFSDir   string         `json:"bpffs_dir"`
	VIPs       []netip.Addr   `json:"vips"`
	From       []netip.Prefix `json:"from"`
	Interfaces []string       `json:"interfaces"`
	MSSClamp   string         `json:"mss_clamp"`
	Encap      string         `json:"encap"`

	// Addresses are the VIPs that were not on the loopback interface before.
	Addresses   []netip.Addr `json:"addresses"`
	Sysctls     []sysctl     `json:"sysctls"`
	Attachments []attachment `json:"attachments"`

	path string
}

// attachment is one interface that carries the programs.
type attachment struct {
	Interface string `json:"interface"`
	// Index tells a re-created interface of the same name from the old one.
	Index int    `json:"index"`
	Hook  string `json:"hook"`
	// QdiscAdded says that there was no clsact qdisc before.
	QdiscAdded bool `json:"qdisc_added,omitempty"`
}

// loadState reads the state in dir; without one, or with one of another boot, it is empty.
func loadState(dir string) (*state, error) {
	path := filepath.Join(dir, stateName)
	host, err := hostID()
	if err != nil {
		return nil, err
	}
	empty := &state{Schema: stateSchema, Host: host, path: path}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading state: %w", err)
	}
	s := &state{path: path}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("reading state %q: %w (it says what to restore: repair it, or remove it and restore by hand)", path, err)
	}
	if s.Schema != stateSchema {
		return nil, fmt.Errorf("reading state %q: schema %d, want %d (use the agent that wrote it)", path, s.Schema, stateSchema)
	}
	if s.Host != host {
		return empty, nil
	}
	return s, nil
}

// hostID names this boot and this network namespace.
func hostID() (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("reading boot id: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return "", fmt.Errorf("reading network namespace: %w", err)
	}
	return fmt.Sprintf("%s/net:%d", strings.TrimSpace(string(boot)), st.Ino), nil
}

// exists says that an agent has set something up and has not been detached.
func (s *state) exists() bool {
	return len(s.Addresses)+len(s.Sysctls)+len(s.Attachments)+len(s.VIPs) > 0
}

// save replaces the file as a whole: a crash leaves the old one or the new one.
func (s *state) save() error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("writing state: %w", err)
	}
	if err := replaceFile(s.path, append(text, '\n')); err != nil {
		return fmt.Errorf("writing state: %w", err)
	}
	return nil
}

func replaceFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (s *state) remove() error {
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing state: %w", err)
	}
	return nil
}

// attachment returns the entry of an interface, or nil.
func (s *state) attachment(name string) *attachment {
	i := slices.IndexFunc(s.Attachments, func(a attachment) bool { return a.Interface == name })
	if i < 0 {
		return nil
	}
	return &s.Attachments[i]
}

func (s *state) setAttachment(a attachment) {
	if old := s.attachment(a.Interface); old != nil {
		*old = a
		return
	}
	s.Attachments = append(s.Attachments, a)
}

func (s *state) dropAttachment(name string) {
	s.Attachments = slices.DeleteFunc(s.Attachments, func(a attachment) bool { return a.Interface == name })
}
