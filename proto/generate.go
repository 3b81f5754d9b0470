// Package proto holds the control API; the generated code is in sluice/v1. The read API over HTTP is made from the same
// messages: the gateway's code is in gateway, its description in openapi.json.
package proto

import _ "embed" // the OpenAPI document

//go:generate protoc --plugin=protoc-gen-go=../bin/tools/protoc-gen-go --plugin=protoc-gen-go-grpc=../bin/tools/protoc-gen-go-grpc --go_out=paths=source_relative:. --go-grpc_out=paths=source_relative:. sluice/v1/sluice.proto
//go:generate protoc --plugin=protoc-gen-grpc-gateway=../bin/tools/protoc-gen-grpc-gateway --grpc-gateway_out=paths=source_relative,standalone=true,grpc_api_configuration=rest.yaml:gateway sluice/v1/sluice.proto
//go:generate protoc --plugin=protoc-gen-openapiv2=../bin/tools/protoc-gen-openapiv2 --openapiv2_out=json_names_for_fields=false,simple_operation_ids=true,openapi_naming_strategy=fqn,disable_service_tags=true,grpc_api_configuration=rest.yaml,openapi_configuration=openapi.yaml,allow_merge=true,merge_file_name=openapi:openapigen sluice/v1/sluice.proto
//go:generate go run ./openapigen openapigen/openapi.swagger.json openapi.json

// OpenAPI describes the read API over HTTP (OpenAPI 2.0, JSON).
//
//go:embed openapi.json
var OpenAPI []byte
