package interop

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/pyenv"
)

// What the tests of the package share.
var (
	program string        // relpack
	python  *pyenv.Env    // with RelStorage
	soak    time.Duration // how long a writing application and relpack run side by side
)

// cache is where the environments of Python are, below the module's root.
const cache = "../../../.cache"

// TestMain does nothing unless RELPACK_INTEROP says how long a soak is to be.
func TestMain(m *testing.M) {
	text := os.Getenv("RELPACK_INTEROP")
	if text == "" {
		fmt.Println("RELPACK_INTEROP is not set (see make interop)")
		return
	}
	os.Exit(prepared(m, text))
}

func prepared(m *testing.M, text string) int {
	err := func() (err error) {
		if soak, err = time.ParseDuration(text); err != nil {
			return fmt.Errorf("RELPACK_INTEROP: %w", err)
		}
		python, err = pyenv.Install(context.Background(), os.Stderr, filepath.Join(cache, "relstorage"),
			append([]string{"zc.zlibstorage"}, pyenv.RelStorage...)...)
		return err
	}()
	if err != nil {
		fmt.Fprintf(os.Stderr, "interop: %v\n", err)
		return 1
	}
	if versions, err := python.Versions(context.Background(), "RelStorage", "ZODB", "psycopg2-binary"); err == nil {
		fmt.Println(versions)
	}
	dir, err := os.MkdirTemp("", "relpack-interop-")
	if err != nil {
		fmt.Fprintf(os.Stderr, "interop: %v\n", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program = filepath.Join(dir, "relpack")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, "relpack/cmd/relpack").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "interop: build relpack: %v\n%s", err, out)
		return 1
	}
	return pgtest.Main(m, nil)
}
