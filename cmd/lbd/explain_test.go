package main

import (
	"errors"

	"github.com/sluice-lb/sluice/lb"
)

func (m *memory) Explain([]byte, string) (lb.Explanation, error) {
	return lb.Explanation{}, errors.ErrUnsupported
}
