package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const (
	bpffsMount = "/sys/fs/bpf"
	// freshSuffix is of a pin that is about to take another one's name.
	freshSuffix = "_new"
)

// ensureBPFFS makes dir, on a BPF file system, which it mounts if there is none.
func ensureBPFFS(dir string, log *slog.Logger) error {
	mounted, err := onBPFFS(dir)
	if err != nil {
		return err
	}
	if !mounted {
		point := dir
		if dir == bpffsMount || strings.HasPrefix(dir, bpffsMount+"/") {
			point = bpffsMount
		} else if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("creating bpffs directory: %w (choose another with --bpffs-dir)", err)
		}
		if err := unix.Mount("bpf", point, "bpf", 0, "mode=700"); err != nil {
			return fmt.Errorf("mounting bpffs on %q: %w (mount it: mount -t bpf bpf %s)", point, err, point)
		}
		log.Info("bpffs mounted", "path", point)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("creating bpffs directory: %w (choose another with --bpffs-dir)", err)
	}
	return nil
}

// onBPFFS says whether dir, or the nearest directory above it that exists, is on a BPF file system.
func onBPFFS(dir string) (bool, error) {
	for {
		var st unix.Statfs_t
		err := unix.Statfs(dir, &st)
		if err == nil {
			return st.Type == unix.BPF_FS_MAGIC, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return false, fmt.Errorf("looking for bpffs at %q: %w", dir, err)
		}
		dir = filepath.Dir(dir)
	}
}

// repin puts m's pin where another map may be pinned already, in one step: a reader finds the old or the new one.
func repin(m *ebpf.Map, path string) error {
	fresh := path + freshSuffix
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("pinning map: %w", err)
	}
	clone, err := m.Clone() // Pin remembers its path, and would move the pin instead
	if err != nil {
		return fmt.Errorf("pinning map %q: %w", path, err)
	}
	defer clone.Close()
	if err := clone.Pin(fresh); err != nil {
		return fmt.Errorf("pinning map %q: %w", path, err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return fmt.Errorf("pinning map: %w", err)
	}
	return nil
}

// removePins removes the agent's pins, and dir if nothing else is left there.
func removePins(dir string) error {
	if mounted, err := onBPFFS(dir); err != nil || !mounted {
		return err
	}
	links, err := filepath.Glob(filepath.Join(dir, linkPrefix+"*"))
	if err != nil {
		return fmt.Errorf("removing pins: %w", err)
	}
	var errs []error
	for _, path := range append(links, mapPins(dir)...) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	err = os.Remove(dir)
	// A directory on which bpffs is mounted stays, as does one with somebody else's pins.
	if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing pins: %w", err)
	}
	return nil
}

// mapPins are the names under which maps may be pinned in dir, those of an interrupted repin included.
func mapPins(dir string) []string {
	var paths []string
	for _, name := range []string{bpfMapCounters, bpfMapRefused, bpfMapLimits} {
		path := filepath.Join(dir, name)
		paths = append(paths, path, path+freshSuffix)
	}
	return paths
}
