package access

import (
	"crypto/x509"
	"encoding/pem"
	"net"
	"strings"
	"testing"

	"github.com/sluice-lb/sluice/internal/certtest"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

func TestRolesPrintAndParse(t *testing.T) {
	for _, r := range Roles {
		if got, err := ParseRole(r.String()); err != nil || got != r {
			t.Errorf("%s: got %s, %v", r, got, err)
		}
	}
	for _, text := range []string{"", "none", "admin"} {
		if _, err := ParseRole(text); err == nil || !strings.Contains(err.Error(), "viewer, operator, editor") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseRule(t *testing.T) {
	for _, k := range Kinds {
		if r, err := ParseRule(Viewer, string(k)+":7"); err != nil || r != (Rule{Viewer, k, "7"}) {
			t.Errorf("%s: %+v, %v", k, r, err)
		}
	}
	if r, err := ParseRule(Editor, "san:spiffe://example.org/lbctl"); err != nil || r.Value != "spiffe://example.org/lbctl" {
		t.Errorf("%+v, %v", r, err)
	}
	for text, want := range map[string]string{
		"alice": "must be KIND:VALUE", "name:alice": "one of the kinds cn, ou, san, user, uid, group, gid",
		"cn:": "is empty", "uid:alice": "for a name use user:", "gid:-1": "for a name use group:",
	} {
		if _, err := ParseRule(Viewer, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func mustPolicy(t *testing.T, socketGroup string, rules ...Rule) policy {
	t.Helper()
	p, err := newPolicy(rules, socketGroup)
	if err != nil {
		t.Fatal(err)
	}
	p.self = 990 // whoever runs the test
	return p
}

func TestRolesOfProcesses(t *testing.T) {
	const sluice, noc = 4001, 4002
	rules := []Rule{{Viewer, GID, "4002"}, {Operator, UID, "1001"}, {Viewer, UID, "1001"}, {Viewer, User, "root"}}
	for _, row := range []struct {
		name   string
		rules  []Rule
		uid    uint32
		groups []uint32
		want   Role
	}{
		{"root", rules, 0, []uint32{0}, Editor},
		{"daemon", rules, 990, nil, Editor},
		{"socket-group", rules, 1000, []uint32{1000, sluice}, Editor},
		{"nobody", rules, 1000, []uint32{1000}, None},
		{"a-rule-beats-the-socket-group", rules, 1000, []uint32{sluice, noc}, Viewer},
		{"highest", rules, 1001, []uint32{noc}, Operator},
		{"highest-beats-the-socket-group", rules, 1001, []uint32{sluice}, Operator},
		{"no-rules", nil, 1001, []uint32{noc}, None},
		{"socket-group-limited", []Rule{{Viewer, GID, "4001"}}, 1000, []uint32{sluice}, Viewer},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := mustPolicy(t, "4001", row.rules...)
			if got := p.processRole(Caller{UID: row.uid, Groups: row.groups}); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}

func TestUnknownNames(t *testing.T) {
	_, err := newPolicy([]Rule{{Viewer, User, "no-such-user"}, {Editor, Group, "no-such-group"}}, "no-such-group-either")
	for _, want := range []string{`roles.viewer: user "no-such-user"`, `roles.editor: group "no-such-group"`, "groupadd --system no-such-group-either"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func mustCertificate(t *testing.T, s certtest.Spec) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(certtest.MustCA(t, "Sluice").MustIssue(t, s).Cert)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRolesOfCertificates(t *testing.T) {
	cert := mustCertificate(t, certtest.Spec{
		CN: "alice", OUs: []string{"ops", "noc"}, DNS: []string{"desk.example"}, Emails: []string{"alice@example.com"},
		IPs: []net.IP{net.ParseIP("2001:db8::1")}, URI: "spiffe://example.org/alice",
	})
	for text, fits := range map[string]bool{
		"cn:alice": true, "cn:Alice": false, "cn:alic": false, "ou:noc": true, "ou:alice": false,
		"san:desk.example": true, "san:DESK.example": true, "san:alice@example.com": true, "san:Alice@example.com": false,
		"san:2001:db8:0::1": true, "san:spiffe://example.org/alice": true, "san:spiffe://example.org/ALICE": false, "san:alice": false,
		"uid:0": false,
	} {
		rule, err := ParseRule(Operator, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := mustPolicy(t, "", rule).certificateRole(cert); (got == Operator) != fits {
			t.Errorf("%s: got %s, fits %v", text, got, fits)
		}
	}
	both := mustPolicy(t, "", Rule{Editor, OU, "noc"}, Rule{Viewer, CN, "alice"})
	if got := both.certificateRole(cert); got != Editor {
		t.Errorf("got %s, want the highest", got)
	}
	if got := mustPolicy(t, "").certificateRole(cert); got != None {
		t.Errorf("without rules %s, want none", got)
	}
}

// What an operator may set is the administrative state alone, whatever fields come later.
func TestSetsAdminOnly(t *testing.T) {
	weight := uint32(1)
	admin := sluicev1.Admin_ADMIN_DRAINED
	with := func(change func(*sluicev1.SetBackendRequest)) *sluicev1.SetBackendRequest {
		r := &sluicev1.SetBackendRequest{Pool: "web", Name: "a", Admin: admin, Options: &sluicev1.WriteOptions{ExpectedRevision: 3}}
		change(r)
		return r
	}
	unknown := with(func(*sluicev1.SetBackendRequest) {})
	unknown.ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 0x01}) // field 127: 1
	for _, row := range []struct {
		name    string
		request any
		want    bool
	}{
		{"admin", with(func(*sluicev1.SetBackendRequest) {}), true},
		{"weight", with(func(r *sluicev1.SetBackendRequest) { r.Weight = &weight }), false},
		{"unknown-field", unknown, false},
		{"other-request", &sluicev1.SetVipRequest{}, false},
		{"nothing", nil, false},
	} {
		if got := setsAdminOnly(row.request); got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}

func TestObjectsAndSummaries(t *testing.T) {
	for _, row := range []struct {
		method  string
		request any
		object  string
	}{
		{"SetVip", &sluicev1.SetVipRequest{Name: "web", Pool: new(string)}, "vip/web"},
		{"CreateVip", &sluicev1.CreateVipRequest{Vip: &sluicev1.Vip{Name: "web", Pool: "p"}}, "vip/web"},
		{"CreatePool", &sluicev1.CreatePoolRequest{Pool: &sluicev1.Pool{Name: "web"}}, "pool/web"},
		{"DeletePool", &sluicev1.DeletePoolRequest{Name: "web"}, "pool/web"},
		{"CreateBackend", &sluicev1.CreateBackendRequest{Pool: "web", Backend: &sluicev1.Backend{Name: "a"}}, "backend/web/a"},
		{"SetWeight", &sluicev1.SetWeightRequest{Pool: "web", Name: "a"}, "backend/web/a"},
		{"Apply", &sluicev1.ApplyRequest{}, "config"},
		{"Stream", nil, ""},
	} {
		if got := objectOf(service+row.method, row.request); got != row.object {
			t.Errorf("%s: %q, want %q", row.method, got, row.object)
		}
	}
	large := &sluicev1.Config{Vips: []*sluicev1.Vip{{Name: strings.Repeat("v", maxSummary)}}, Pools: []*sluicev1.Pool{{Backends: make([]*sluicev1.Backend, 3)}}}
	for i := range large.Pools[0].Backends {
		large.Pools[0].Backends[i] = &sluicev1.Backend{}
	}
	if got := string(summaryOf(&sluicev1.ApplyRequest{Config: large})); got != `{"size_bytes":1041,"vips":1,"pools":1,"backends":3}` {
		t.Errorf("large: %s", got)
	}
	if got := string(summaryOf(&sluicev1.DeleteVipRequest{Name: "web"})); got != `{"name":"web"}` {
		t.Errorf("small: %s", got)
	}
}
