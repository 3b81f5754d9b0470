// Package access decides who may call what of the control API, and keeps the record of it.
//
// A caller is known by what the transport proves: over a unix socket the kernel tells the process's user and groups, over
// TCP a client certificate that the node's CA signed. Rules give a caller one Role, the table of methods says which Role
// each call needs, and one Guard compares the two for every call, before anything else looks at it. Calls that change the
// node, and attempts at them, end up in the Audit log.
//
// The package knows the API's names and nothing of what the calls do.
package access
