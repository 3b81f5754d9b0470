// Package web serves what may be read of a node over HTTP: metrics, the read API as JSON, and a page that leads there.
// Nobody is asked who he is, so nothing here changes anything: GET and HEAD only, and only under names of the node, so that
// a web page that an operator visits cannot read it through a name of its own (DNS rebinding).
package web
