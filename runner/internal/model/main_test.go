package model

import (
	"os"
	"testing"

	"relpack/runner/internal/packtest"
)

func TestMain(m *testing.M) { os.Exit(packtest.Main(m)) }
