package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
)

// Detach takes away everything that agents have set up and restores the originals. An agent that still runs on the same
// state must be stopped first.
func Detach(stateDir string, log *slog.Logger) error {
	if err := requireCapabilities(); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(stateDir, stateName)); err != nil {
		return fmt.Errorf("detaching: nothing is set up: %w (name the agent's --state-dir)", err)
	}
	held, err := lock(stateDir)
	if err != nil {
		return err
	}
	defer held.Close()
	s, err := loadState(stateDir)
	if err != nil {
		return err
	}
	if !s.exists() {
		return fmt.Errorf("detaching: state %q is of another boot or network namespace (nothing of it is left here; remove it)",
			s.path)
	}
	if err := s.undo(s.BPFFSDir); err != nil {
		return err
	}
	log.Info("detached", "component", "agent")
	return nil
}

// undo restores what it can, and keeps on disk what it could not.
func (s *state) undo(bpffsDir string) error {
	var errs []error
	for _, at := range slices.Clone(s.Attachments) {
		errs = append(errs, s.detachInterface(at, bpffsDir))
	}
	for _, vip := range slices.Clone(s.Addresses) {
		errs = append(errs, s.removeAddress(vip))
	}
	errs = append(errs, s.restoreSysctls(""), removePins(bpffsDir))
	if err := errors.Join(errs...); err != nil {
		return errors.Join(err, s.save())
	}
	return s.remove()
}

// detachInterface takes the programs off one interface and restores its sysctls.
func (s *state) detachInterface(at attachment, bpffsDir string) error {
	for _, h := range hooks(AttachAuto, bpffsDir) {
		for _, d := range directions {
			if err := h.detach(at.Index, d); err != nil {
				return err
			}
		}
	}
	if at.QdiscAdded {
		if err := (clsact{}).destroy(at.Index); err != nil {
			return err
		}
	}
	if err := s.restoreSysctls(interfacePrefix(at.Interface)); err != nil {
		return err
	}
	s.dropAttachment(at.Interface)
	return nil
}
