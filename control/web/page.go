package web

import (
	"html/template"
	"net/http"

	"google.golang.org/grpc"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Sluice</title>
<h1>Sluice {{.Version}}</h1>
{{with .Status}}<p>Revision {{.Revision}}, publication {{.Publication}}, interfaces{{range .Interfaces}} {{.Name}} ({{.Mode}}){{else}} none{{end}}.</p>
{{with .Warnings}}<ul>{{range .}}
<li>{{.}}</li>{{end}}
</ul>
{{end}}{{else}}<p>{{.Err}}</p>
{{end}}<ul>
<li><a href="/metrics">metrics</a> for Prometheus</li>
<li>read API:{{range .Paths}} <a href="{{.}}">{{.}}</a>{{end}}</li>
<li><a href="/v1/openapi.json">description of the read API</a> (OpenAPI)</li>
</ul>
</html>
`))

// paths are those of the read API without parameters.
var paths = []string{"/v1/vips", "/v1/pools", "/v1/backends", "/v1/stats", "/v1/status", "/v1/config"}

// newPage serves the page at /.
func newPage(api grpc.ClientConnInterface, version string) http.HandlerFunc {
	client := sluicev1.NewSluiceClient(api)
	return func(w http.ResponseWriter, r *http.Request) {
		status, err := client.GetStatus(r.Context(), &sluicev1.GetStatusRequest{})
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = page.Execute(w, struct { // the client may be gone
			Version string
			Status  *sluicev1.GetStatusResponse
			Err     error
			Paths   []string
		}{version, status, err, paths})
	}
}
