package access

import (
	"slices"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// need is what a method takes. Methods that take more than Viewer change the node and are audited.
type need struct {
	role Role
	// mild, where it is set, recognises requests for which Operator is enough.
	mild func(request any) bool
}

const (
	service     = "/sluice.v1.Sluice/"
	healthCheck = "/grpc.health.v1.Health/"
	reflectV1   = "/grpc.reflection.v1.ServerReflection/"
	reflectOld  = "/grpc.reflection.v1alpha.ServerReflection/"
)

// methods says what each method of each service of the API needs. A method that is missing is refused.
var methods = map[string]need{
	service + "Export":       {role: Viewer},
	service + "ListVips":     {role: Viewer},
	service + "ListPools":    {role: Viewer},
	service + "ListBackends": {role: Viewer},
	service + "ListSlots":    {role: Viewer},
	service + "ListFlows":    {role: Viewer},
	service + "GetStats":     {role: Viewer},
	service + "Explain":      {role: Viewer},
	service + "GetStatus":    {role: Viewer},

	service + "WatchVips":     {role: Viewer},
	service + "WatchPools":    {role: Viewer},
	service + "WatchBackends": {role: Viewer},
	service + "WatchFlows":    {role: Viewer},
	service + "WatchSlots":    {role: Viewer},
	service + "ListRevisions": {role: Viewer},
	service + "Diff":          {role: Viewer},
	service + "Check":         {role: Viewer},

	service + "SetWeight":  {role: Operator},
	service + "SetAdmin":   {role: Operator},
	service + "SetBackend": {role: Editor, mild: setsAdminOnly},

	service + "Apply":         {role: Editor},
	service + "Rollback":      {role: Editor},
	service + "Confirm":       {role: Editor},
	service + "CreateVip":     {role: Editor},
	service + "SetVip":        {role: Editor},
	service + "DeleteVip":     {role: Editor},
	service + "CreatePool":    {role: Editor},
	service + "SetPool":       {role: Editor},
	service + "DeletePool":    {role: Editor},
	service + "CreateBackend": {role: Editor},
	service + "DeleteBackend": {role: Editor},

	// Whether the daemon serves is for every caller that proved who it is, such as a monitoring system without a role.
	healthCheck + "Check": {role: None},
	healthCheck + "List":  {role: None},
	healthCheck + "Watch": {role: None},
	// The schema is public, but only of use to those who may call something.
	reflectV1 + "ServerReflectionInfo":  {role: Viewer},
	reflectOld + "ServerReflectionInfo": {role: Viewer},
}

// Methods returns the role that each known method needs, by its full name, such as "/sluice.v1.Sluice/Apply".
func Methods() map[string]Role {
	out := map[string]Role{}
	for name, need := range methods {
		out[name] = need.role
	}
	return out
}

// adminFields are what an operator's SetBackend may hold, besides its options.
var adminFields = []string{"pool", "name", "admin", "options"}

func setsAdminOnly(request any) bool {
	r, ok := request.(*sluicev1.SetBackendRequest)
	if !ok || len(r.ProtoReflect().GetUnknown()) > 0 {
		return false
	}
	return !slices.ContainsFunc(present(r), func(field string) bool { return !slices.Contains(adminFields, field) })
}
