package main

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// past is what the server remembers of a revision.
type past struct {
	entry  *sluicev1.Revision
	config lb.Config
}

// remember notes the configuration that has just become the live one.
func (s *server) remember(o *sluicev1.WriteOptions, changes []*sluicev1.Change) {
	r := &sluicev1.Revision{Revision: s.revision, Time: timestamppb.New(s.clock), Author: "alice", Comment: o.GetComment(), Changes: uint32(len(changes))}
	for _, c := range changes[:min(len(changes), 3)] {
		r.Objects = append(r.Objects, c.GetObject()+" "+word("KIND_", c.GetKind().String()))
	}
	if o.GetConfirm() != nil {
		s.waiting = &sluicev1.Confirmation{Revision: s.revision, BackTo: s.revision - 1, Deadline: timestamppb.New(s.clock.Add(o.GetConfirm().AsDuration()))}
		r.Confirmation = s.waiting
	}
	s.history = append(s.history, past{r, s.config})
}

// at finds a revision; those below the third are pruned once there are six.
func (s *server) at(n uint64) (past, error) {
	switch {
	case n == 0:
		return past{}, nil
	case n > s.revision:
		return past{}, status.Errorf(codes.NotFound, "revision %d does not exist, the newest is %d", n, s.revision)
	case len(s.history) > 5 && n < 3:
		return past{}, status.Errorf(codes.NotFound, "revision %d is not kept any more", n)
	}
	return s.history[n-1], nil
}

func (s *server) ListRevisions(ctx context.Context, r *sluicev1.ListRevisionsRequest) (*sluicev1.ListRevisionsResponse, error) {
	defer s.mu.Unlock()
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	out := &sluicev1.ListRevisionsResponse{}
	if n := r.GetRevision(); n != 0 {
		p, err := s.at(n)
		out.Revisions = append(out.Revisions, p.entry)
		return out, err
	}
	for n := s.revision; n > 0 && (r.GetLimit() == 0 || len(out.GetRevisions()) < int(r.GetLimit())); n-- {
		if p, err := s.at(n); err == nil {
			out.Revisions = append(out.Revisions, p.entry)
		}
	}
	return out, nil
}

func (s *server) Diff(ctx context.Context, r *sluicev1.DiffRequest) (*sluicev1.DiffResponse, error) {
	defer s.mu.Unlock()
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	out := &sluicev1.DiffResponse{To: s.revision}
	if r.To != nil {
		out.To = r.GetTo()
	}
	if out.From = out.GetTo() - min(out.GetTo(), 1); r.From != nil {
		out.From = r.GetFrom()
	}
	from, err := s.at(out.GetFrom())
	if err != nil {
		return nil, err
	}
	to, err := s.at(out.GetTo())
	out.Changes = changesOf(lb.Diff(from.config, to.config, tables(from.config), tables(to.config)))
	return out, err
}

func (s *server) Rollback(ctx context.Context, r *sluicev1.RollbackRequest) (*sluicev1.RollbackResponse, error) {
	s.mu.Lock()
	p, err := s.at(r.GetRevision())
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	outcome, err := s.write(ctx, r.GetOptions(), func(c *lb.Config) error { *c = p.config; return nil })
	return &sluicev1.RollbackResponse{Outcome: outcome}, err
}

func (s *server) Confirm(ctx context.Context, r *sluicev1.ConfirmRequest) (*sluicev1.ConfirmResponse, error) {
	defer s.mu.Unlock()
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	if s.waiting == nil {
		return nil, status.Errorf(codes.FailedPrecondition, "no revision waits to be confirmed, the live one is %d", s.revision)
	}
	if n := r.GetRevision(); n != 0 && n != s.waiting.GetRevision() {
		return nil, status.Errorf(codes.Aborted, "revision %d does not wait to be confirmed, revision %d does", n, s.waiting.GetRevision())
	}
	entry := s.history[s.waiting.GetRevision()-1].entry
	entry.ConfirmedBy, entry.ConfirmedAt = "bob", timestamppb.New(s.clock.Add(30*time.Second))
	s.waiting = nil
	return &sluicev1.ConfirmResponse{Revision: s.revision}, nil
}

// Check finds a fault once there is a pool called broken.
func (s *server) Check(ctx context.Context, _ *sluicev1.CheckRequest) (*sluicev1.CheckResponse, error) {
	defer s.mu.Unlock()
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	out := &sluicev1.CheckResponse{Revision: s.revision, Publication: s.revision + 2}
	if _, ok := s.config.Pool("broken"); ok {
		out.Faults = []string{`data plane: pool "broken": slot 3 is 0x7, expected 0x5`, "store: publication 9 is pending"}
	}
	return out, nil
}

// movesOf makes up that a thousand flows begin in a minute.
func movesOf(old, next lb.Config) []*sluicev1.VipMove {
	var out []*sluicev1.VipMove
	for _, m := range lb.Moves(old, next, tables(old), tables(next)) {
		move := &sluicev1.VipMove{Vip: m.VIP, Slots: uint32(m.Slots), Moved: uint32(m.Moved), Lost: uint32(m.Lost)}
		if m.VIP != "dns" { // UDP has no first packet
			move.NewFlows, move.NewFlowsWithin = 1000, durationpb.New(time.Minute)
		}
		out = append(out, move)
	}
	return out
}
