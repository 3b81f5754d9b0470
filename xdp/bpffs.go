package xdp

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const defaultBPFFS = "/sys/fs/bpf"

// ensureBPFFS makes dir, which must lie on a bpffs. Where dir is below /sys/fs/bpf and nothing is mounted there, it
// mounts one; it reports whether it did.
func ensureBPFFS(dir string) (mounted bool, err error) {
	if !isBPFFS(existingParent(dir)) {
		if dir != defaultBPFFS && !strings.HasPrefix(dir, defaultBPFFS+"/") {
			return false, fmt.Errorf("bpffs directory %q: not on a bpffs (mount one: mount -t bpf bpf %s)", dir, defaultBPFFS)
		}
		if err := unix.Mount("bpf", defaultBPFFS, "bpf", 0, "mode=0700"); err != nil {
			return false, fmt.Errorf("mounting bpffs at %s: %w (mount one: mount -t bpf bpf %[1]s)", defaultBPFFS, err)
		}
		mounted = true
	}
	for _, d := range []string{dir, filepath.Join(dir, "maps"), filepath.Join(dir, "links")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return mounted, fmt.Errorf("bpffs directory %q: %w", dir, err)
		}
	}
	return mounted, nil
}

// existingParent is the nearest ancestor of dir, or dir, that exists.
func existingParent(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == "/" || dir == "." {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

func isBPFFS(dir string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(dir, &fs) == nil && fs.Type == unix.BPF_FS_MAGIC
}

// lockDir takes the lock that one data plane holds on its directory. The lock goes with the process.
func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("bpffs directory %q: %w", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("bpffs directory %q: another lbd uses it (stop that one, or choose another --bpffs-dir)", dir)
		}
		return nil, fmt.Errorf("bpffs directory %q: lock: %w", dir, err)
	}
	return f, nil
}
