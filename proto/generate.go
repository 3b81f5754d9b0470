// Package proto holds the control API; the generated code is in sluice/v1.
package proto

//go:generate protoc --plugin=protoc-gen-go=../bin/tools/protoc-gen-go --plugin=protoc-gen-go-grpc=../bin/tools/protoc-gen-go-grpc --go_out=paths=source_relative:. --go-grpc_out=paths=source_relative:. sluice/v1/sluice.proto
