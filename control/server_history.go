package control

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluice-lb/sluice/control/store"
	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

// maxComment is the longest comment in bytes.
const maxComment = 1024

// writeOptions reads the options of a call.
func writeOptions(ctx context.Context, o *sluicev1.WriteOptions) (WriteOptions, error) {
	out := WriteOptions{ExpectedRevision: o.GetExpectedRevision(), DryRun: o.GetDryRun(), Author: author(ctx), Comment: o.GetComment()}
	var violations lb.Violations
	if fault := commentFault(out.Comment); fault != "" {
		violations = append(violations, lb.Violation{Path: "options.comment", Message: fault})
	}
	if c := o.GetConfirm(); c != nil {
		out.Confirm = c.AsDuration()
		if c.CheckValid() != nil || out.Confirm != 0 && (out.Confirm < MinConfirm || out.Confirm > MaxConfirm) {
			violations = append(violations, lb.Violation{Path: "options.confirm", Message: fmt.Sprintf(
				"%s: must be %s to %s", out.Confirm, MinConfirm, MaxConfirm)})
		}
	}
	if len(violations) > 0 {
		return out, violations
	}
	return out, nil
}

// commentFault refuses what would not print as one line.
func commentFault(comment string) string {
	switch {
	case len(comment) > maxComment:
		return fmt.Sprintf("%d bytes: must be at most %d", len(comment), maxComment)
	case !utf8.ValidString(comment):
		return "must be UTF-8"
	case strings.ContainsFunc(comment, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "must be printable, on one line"
	}
	return ""
}

// outcome translates what a write did.
func outcome(out Outcome) *sluicev1.Outcome {
	answer := &sluicev1.Outcome{Revision: out.Revision, Warnings: out.Warnings, Confirmation: confirmationToProto(out.Confirmation)}
	for _, c := range out.Changes {
		answer.Changes = append(answer.Changes, changeToProto(c))
	}
	for _, m := range out.Moves {
		move := &sluicev1.VipMove{Vip: m.VIP, Slots: uint32(m.Slots), Moved: uint32(m.Moved), Lost: uint32(m.Lost)}
		if m.Within > 0 {
			move.NewFlows, move.NewFlowsWithin = m.NewFlows, durationpb.New(m.Within)
		}
		answer.Moves = append(answer.Moves, move)
	}
	return answer
}

func confirmationToProto(c *store.Confirmation) *sluicev1.Confirmation {
	if c == nil {
		return nil
	}
	return &sluicev1.Confirmation{Revision: c.Revision, BackTo: c.BackTo, Deadline: timestamppb.New(c.Deadline)}
}

func revisionToProto(r store.Revision) *sluicev1.Revision {
	out := &sluicev1.Revision{Revision: r.Revision, Time: timestamppb.New(r.Time), Author: r.Author, Comment: r.Comment,
		Changes: uint32(r.Changes), Objects: r.Objects, Confirmation: confirmationToProto(r.Confirm), ConfirmedBy: r.ConfirmedBy}
	if r.ConfirmedBy != "" {
		out.ConfirmedAt = timestamppb.New(r.ConfirmedAt)
	}
	return out
}

// ListRevisions returns the history, the newest revision first.
func (s *Server) ListRevisions(_ context.Context, req *sluicev1.ListRevisionsRequest) (*sluicev1.ListRevisionsResponse, error) {
	resp := &sluicev1.ListRevisionsResponse{}
	if n := req.GetRevision(); n != 0 {
		r, _, err := s.engine.Revision(n)
		if err != nil {
			return nil, err
		}
		resp.Revisions = append(resp.Revisions, revisionToProto(r))
		return resp, nil
	}
	revisions, err := s.engine.History(int(min(req.GetLimit(), 1<<30)))
	if err != nil {
		return nil, err
	}
	for _, r := range revisions {
		resp.Revisions = append(resp.Revisions, revisionToProto(r))
	}
	return resp, nil
}

// Diff returns what leads from one revision to another.
func (s *Server) Diff(_ context.Context, req *sluicev1.DiffRequest) (*sluicev1.DiffResponse, error) {
	resp := &sluicev1.DiffResponse{From: req.GetFrom(), To: s.engine.State().Revision}
	if req.To != nil {
		resp.To = req.GetTo()
	}
	if req.From == nil {
		resp.From = resp.To - min(resp.To, 1)
	}
	changes, err := s.engine.Diff(resp.From, resp.To)
	if err != nil {
		return nil, err
	}
	for _, c := range changes {
		resp.Changes = append(resp.Changes, changeToProto(c))
	}
	return resp, nil
}

// Rollback makes a new revision with the configuration of an old one.
func (s *Server) Rollback(ctx context.Context, req *sluicev1.RollbackRequest) (*sluicev1.RollbackResponse, error) {
	if req.Revision == nil {
		return nil, lb.Violations{{Path: "revision", Message: "required (0 is the empty configuration)"}}
	}
	o, err := writeOptions(ctx, req.GetOptions())
	if err != nil {
		return nil, err
	}
	out, err := s.engine.Rollback(ctx, req.GetRevision(), o)
	if err != nil {
		return nil, err
	}
	return &sluicev1.RollbackResponse{Outcome: outcome(out)}, nil
}

// Confirm keeps a revision that waits to be confirmed.
func (s *Server) Confirm(ctx context.Context, req *sluicev1.ConfirmRequest) (*sluicev1.ConfirmResponse, error) {
	revision, err := s.engine.Confirm(req.GetRevision(), author(ctx))
	if err != nil {
		return nil, err
	}
	return &sluicev1.ConfirmResponse{Revision: revision}, nil
}

// Check compares the data plane's maps, the store and the history with the live state.
func (s *Server) Check(context.Context, *sluicev1.CheckRequest) (*sluicev1.CheckResponse, error) {
	st, err := s.engine.Check()
	resp := &sluicev1.CheckResponse{Revision: st.Revision, Publication: st.Publication}
	if err != nil {
		resp.Faults = strings.Split(err.Error(), "\n")
	}
	return resp, nil
}

// exported is the configuration that a call of Export asks for.
func (s *Server) exported(req *sluicev1.ExportRequest) (*sluicev1.ExportResponse, error) {
	st := s.engine.State()
	if req.Revision == nil || req.GetRevision() == st.Revision {
		return &sluicev1.ExportResponse{Config: translate.ConfigToProto(st.Config), Revision: st.Revision}, nil
	}
	_, cfg, err := s.engine.Revision(req.GetRevision())
	if err != nil {
		return nil, err
	}
	return &sluicev1.ExportResponse{Config: translate.ConfigToProto(cfg), Revision: req.GetRevision()}, nil
}
