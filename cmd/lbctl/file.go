package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/document"
)

// fileFlag adds -f, which is required.
func fileFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "filename", "f", "", "document to read, YAML or JSON; - is standard input")
	_ = cmd.MarkFlagRequired("filename")
	_ = cmd.MarkFlagFilename("filename", "yaml", "yml", "json")
}

// standardInput is the FILE that stands for it.
const standardInput = "-"

// documentName is what stands for the document in what users read.
func documentName(file string) string {
	if file == standardInput {
		return "<stdin>"
	}
	return file
}

// readDocument reads FILE or standard input. Faults of the document are document.Errors.
func (c *cli) readDocument(file string) (*document.Document, error) {
	if file == standardInput {
		data, err := io.ReadAll(io.LimitReader(c.stdin, document.MaxSize+1))
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		return document.Read(documentName(file), data)
	}
	data, err := c.readFile(file)
	if err != nil {
		return nil, err
	}
	return document.Read(file, data)
}
