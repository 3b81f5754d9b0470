package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	// AuditSize is the size in bytes from which the audit log is rotated, AuditKeep how many old ones are kept.
	AuditSize = 16 << 20
	AuditKeep = 4
)

// Entry is one line of the audit log.
type Entry struct {
	Time   time.Time `json:"time"`
	Caller string    `json:"caller"`
	Role   string    `json:"role"`
	// UID and PID are of a caller behind a unix socket, Address and Serial of one with a certificate.
	UID     *uint32 `json:"uid,omitempty"`
	PID     int32   `json:"pid,omitempty"`
	Address string  `json:"address,omitempty"`
	Serial  string  `json:"certificate_serial,omitempty"`
	Method  string  `json:"method"`
	// Object is "vip/NAME", "pool/NAME", "backend/POOL/NAME", or "config".
	Object string `json:"object,omitempty"`
	// Outcome is ok, unchanged, denied or failed; Code is grpc's.
	Outcome string `json:"outcome"`
	Code    string `json:"code"`
	// Revision is the committed one afterwards; 0 where the call did not get so far.
	Revision   uint64          `json:"revision,omitempty"`
	DryRun     bool            `json:"dry_run,omitempty"`
	Error      string          `json:"error,omitempty"`
	DurationMS float64         `json:"duration_ms"`
	Request    json.RawMessage `json:"request,omitempty"`
	// LostBefore is how many lines could not be written before this one.
	LostBefore uint64 `json:"lost_before,omitempty"`
}

// Audit is the log of what was changed, and by whom: JSON lines in a file that only its owner reads. A line that cannot
// be written does not stop the write that it is about: with a full disk an operator must still be able to drain a
// backend. The loss is logged, shown by status, and counted in the next line that can be written.
type Audit struct {
	path string
	size int64
	log  *slog.Logger

	mu     sync.Mutex
	f      *os.File
	length int64
	lost   uint64
	broken error // why the last line is lost; nil when it is not
}

// OpenAudit opens the log at path for appending, and creates it.
func OpenAudit(path string, log *slog.Logger) (*Audit, error) {
	a := &Audit{path: path, size: AuditSize, log: log.With("component", "access")}
	if err := a.openLocked(); err != nil {
		return nil, fmt.Errorf("audit_log %q: %w", path, err)
	}
	return a, nil
}

func (a *Audit) openLocked() error {
	f, err := os.OpenFile(a.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if !info.Mode().IsRegular() {
		return errors.Join(errors.New("it is no regular file (name another)"), f.Close())
	}
	a.closeLocked()
	a.f, a.length = f, info.Size()
	return nil
}

func (a *Audit) closeLocked() {
	if a.f == nil {
		return
	}
	if err := a.f.Close(); err != nil {
		a.log.Warn("closing the audit log failed", "err", err)
	}
	a.f = nil
}

// Write appends one line.
func (a *Audit) Write(e Entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e.LostBefore = a.lost
	line, err := json.Marshal(e)
	if err == nil {
		err = a.appendLocked(append(line, '\n'))
	}
	if err != nil {
		a.lost++
		if a.broken == nil {
			a.log.Error("the audit log cannot be written, changes go on without it", "path", a.path, "err", err)
		}
		a.broken = err
		return
	}
	if a.broken != nil {
		a.log.Info("the audit log is written again", "path", a.path, "lost", a.lost)
	}
	a.lost, a.broken = 0, nil
}

func (a *Audit) appendLocked(line []byte) error {
	if err := a.followLocked(); err != nil {
		return err
	}
	if a.length > 0 && a.length+int64(len(line)) > a.size {
		if err := a.rotateLocked(); err != nil {
			return err
		}
	}
	n, err := a.f.Write(line)
	if err != nil {
		if n > 0 { // half a line would spoil the next one
			err = errors.Join(err, a.f.Truncate(a.length))
		}
		return err
	}
	a.length += int64(n)
	return nil
}

// followLocked opens the log where it is not open, or where somebody moved or removed the file: logrotate need not tell.
func (a *Audit) followLocked() error {
	if a.f == nil {
		return a.openLocked()
	}
	is, err := os.Stat(a.path)
	if errors.Is(err, fs.ErrNotExist) {
		return a.openLocked()
	}
	if err != nil {
		return err
	}
	was, err := a.f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(is, was) {
		return a.openLocked()
	}
	return nil
}

// rotateLocked renames PATH to PATH.1, PATH.1 to PATH.2 and so on; the oldest is lost.
func (a *Audit) rotateLocked() error {
	for i := AuditKeep; i > 0; i-- {
		from := a.path
		if i > 1 {
			from = fmt.Sprintf("%s.%d", a.path, i-1)
		}
		if err := os.Rename(from, fmt.Sprintf("%s.%d", a.path, i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rotate: %w", err)
		}
	}
	return a.openLocked()
}

// Reopen opens the file anew, for those who move it away and send SIGHUP.
func (a *Audit) Reopen() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.openLocked(); err != nil {
		a.log.Error("reopening the audit log failed, the old file is written on", "path", a.path, "err", err)
	}
}

// Close ends the log.
func (a *Audit) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.f == nil {
		return nil
	}
	err := a.f.Close()
	a.f = nil
	return err
}

// Warnings says whether lines are being lost.
func (a *Audit) Warnings() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.broken == nil {
		return nil
	}
	return []string{fmt.Sprintf("the audit log cannot be written, %d lines are lost: %v", a.lost, a.broken)}
}
