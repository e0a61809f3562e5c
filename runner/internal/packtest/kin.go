package packtest

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// A Kin is a storage of a family with its session.
type Kin struct {
	name   string
	Target target.Target
	Conn   *pgx.Conn
}

// NewKin makes storages with a root, object 1 and garbage 10, an hour old, and
// the text of a file that names them.
func NewKin(t *testing.T, names ...string) ([]*Kin, string) {
	t.Helper()
	var all []*Kin
	var text strings.Builder
	for _, name := range names {
		target, conn := NewStorage(t)
		CommitAt(t, conn, time.Hour, Links{0: {1}, 1: {}, 10: {11}, 11: {}})
		all = append(all, &Kin{name, target, conn})
		text.WriteString(Section(name, target.DSN))
	}
	return all, text.String()
}

// Section is that of a storage in a configuration file.
func Section(name, dsn string) string {
	return fmt.Sprintf("<zodb %s>\n<relstorage>\n<postgresql>\ndsn %s\n</postgresql>\n</relstorage>\n</zodb>\n", name, dsn)
}

// PackFile packs the storages of a file as the command does; errors by name.
func PackFile(t *testing.T, text string, o pack.Options) (map[string]error, map[string]*pack.Report) {
	t.Helper()
	return PackFileLog(t, text, o, Log(t))
}

// PackFileLog is PackFile with a log.
func PackFileLog(t *testing.T, text string, o pack.Options, log *slog.Logger) (map[string]error, map[string]*pack.Report) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "site.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	targets, err := target.Targets(file, "", "")
	if err != nil {
		t.Fatal(err)
	}
	failed, reports := map[string]error{}, map[string]*pack.Report{}
	family := pack.NewFamily(targets[0].File)
	for _, target := range targets {
		reports[target.Name], failed[target.Name] = family.Pack(t.Context(), target, o, log)
	}
	return failed, reports
}

// ExpectFine wants these storages to have no error.
func ExpectFine(t *testing.T, failed map[string]error, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := failed[name]; err != nil {
			t.Errorf("%s: %s", name, fault.Message(err))
		}
	}
}
