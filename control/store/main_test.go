package store_test

import (
	"os"
	"testing"

	"github.com/sluice-lb/sluice/control/store"
)

func TestMain(m *testing.M) {
	store.VerifyIfAsked()
	os.Exit(m.Run())
}
