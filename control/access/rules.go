package access

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
)

// Kind is the property of a caller that a Rule looks at.
type Kind string

// The first three are of a client certificate, the others of a process behind a unix socket.
const (
	CN    Kind = "cn"    // the subject's common name
	OU    Kind = "ou"    // one of the subject's organizational units
	SAN   Kind = "san"   // a DNS name, mail address, URI or IP address of the certificate
	User  Kind = "user"  // the user, by name
	UID   Kind = "uid"   // the user, by number
	Group Kind = "group" // one of the process's groups, by name
	GID   Kind = "gid"   // one of the process's groups, by number
)

// Kinds are all of them.
var Kinds = []Kind{CN, OU, SAN, User, UID, Group, GID}

// Rule gives a role to callers whose property of a kind has a value.
type Rule struct {
	Role  Role
	Kind  Kind
	Value string
}

// ParseRule reads "KIND:VALUE", such as "ou:netops" or "uid:1001".
func ParseRule(role Role, text string) (Rule, error) {
	kind, value, ok := strings.Cut(text, ":")
	r := Rule{Role: role, Kind: Kind(kind), Value: value}
	if !ok || !slices.Contains(Kinds, r.Kind) {
		return Rule{}, fmt.Errorf("%q: must be KIND:VALUE with one of the kinds %s", text, kindList())
	}
	if value == "" {
		return Rule{}, fmt.Errorf("%q: the value is empty", text)
	}
	if r.Kind == UID || r.Kind == GID {
		if _, err := strconv.ParseUint(value, 10, 32); err != nil {
			return Rule{}, fmt.Errorf("%q: must be a number (for a name use %s:)", text, map[Kind]Kind{UID: User, GID: Group}[r.Kind])
		}
	}
	return r, nil
}

func kindList() string {
	var words []string
	for _, k := range Kinds {
		words = append(words, string(k))
	}
	return strings.Join(words, ", ")
}

// certificate tells whether the rule is about client certificates.
func (r Rule) certificate() bool { return r.Kind == CN || r.Kind == OU || r.Kind == SAN }

// resolved is a Rule about processes with its name looked up.
type resolved struct {
	Rule
	id uint32
}

// policy gives callers their roles.
type policy struct {
	processes    []resolved
	certificates []Rule
	// self is the daemon's own user, socketGroup the group that may open the socket.
	self, socketGroup uint32
}

// newPolicy looks up the names. socketGroup is a name or a number; empty is the daemon's own.
func newPolicy(rules []Rule, socketGroup string) (policy, error) {
	p := policy{self: uint32(os.Geteuid()), socketGroup: uint32(os.Getegid())}
	var errs []error
	if socketGroup != "" {
		gid, err := LookupGroup(socketGroup)
		errs = append(errs, err)
		p.socketGroup = gid
	}
	for _, r := range rules {
		if r.certificate() {
			p.certificates = append(p.certificates, r)
			continue
		}
		id, err := r.lookup()
		if err != nil {
			errs = append(errs, fmt.Errorf("roles.%s: %w", r.Role, err))
			continue
		}
		p.processes = append(p.processes, resolved{r, id})
	}
	return p, errors.Join(errs...)
}

func (r Rule) lookup() (uint32, error) {
	switch r.Kind {
	case Group, GID:
		return LookupGroup(r.Value)
	case User:
		u, err := user.Lookup(r.Value)
		if err != nil {
			return 0, fmt.Errorf("user %q does not exist (create it, or use uid:NUMBER)", r.Value)
		}
		return parseID(u.Uid)
	default:
		return parseID(r.Value)
	}
}

func parseID(text string) (uint32, error) {
	id, err := strconv.ParseUint(text, 10, 32)
	return uint32(id), err
}

// LookupGroup returns the number of a group that is named, or given by its number.
func LookupGroup(group string) (uint32, error) {
	if id, err := parseID(group); err == nil {
		return id, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, fmt.Errorf("group %q does not exist (create it with: groupadd --system %[1]s)", group)
	}
	return parseID(g.Gid)
}

// processRole is the highest role of the rules that fit. Where none does, the group of the socket makes an editor: who
// may open the socket could do everything before there were roles. Root and the daemon's own user cannot be kept from
// anything, so that they are editors in any case.
func (p policy) processRole(c Caller) Role {
	if c.UID == 0 || c.UID == p.self {
		return Editor
	}
	role, fits := None, false
	for _, r := range p.processes {
		switch r.Kind {
		case User, UID:
			if r.id != c.UID {
				continue
			}
		default:
			if !slices.Contains(c.Groups, r.id) {
				continue
			}
		}
		role, fits = max(role, r.Role), true
	}
	if !fits && slices.Contains(c.Groups, p.socketGroup) {
		return Editor
	}
	return role
}

// certificateRole is the highest role of the rules that fit, None where none does: a CA may sign for others, too.
func (p policy) certificateRole(cert *x509.Certificate) Role {
	role := None
	for _, r := range p.certificates {
		if r.fits(cert) {
			role = max(role, r.Role)
		}
	}
	return role
}

func (r Rule) fits(cert *x509.Certificate) bool {
	switch r.Kind {
	case CN:
		return cert.Subject.CommonName == r.Value
	case OU:
		return slices.Contains(cert.Subject.OrganizationalUnit, r.Value)
	default:
		return slices.ContainsFunc(sans(cert), func(name string) bool { return sameName(name, r.Value) })
	}
}

// sans lists the subject alternative names.
func sans(cert *x509.Certificate) []string {
	out := slices.Concat(cert.DNSNames, cert.EmailAddresses)
	for _, u := range cert.URIs {
		out = append(out, u.String())
	}
	for _, ip := range cert.IPAddresses {
		out = append(out, ip.String())
	}
	return out
}

// sameName compares addresses by value, DNS names without case, and everything else byte by byte.
func sameName(a, b string) bool {
	x, errA := netip.ParseAddr(a)
	y, errB := netip.ParseAddr(b)
	if errA == nil && errB == nil {
		return x.Unmap() == y.Unmap()
	}
	if strings.ContainsAny(a, "@:/") {
		return a == b
	}
	return strings.EqualFold(a, b)
}
