package main

import (
	"os"

	"github.com/sluice-lb/sluice/document"
	"github.com/sluice-lb/sluice/lb"
)

func readDocument(path string) (lb.Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return lb.Config{}, err
	}
	return document.Parse(path, text)
}
