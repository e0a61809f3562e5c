package schema

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"

	"relpack/runner/fault"
	"relpack/runner/session"
	"relpack/runner/target"
)

// NotBuilt is how relpack.being_changed() says that nothing is known yet.
const NotBuilt = "the graph is not built yet"

// BuildFirst says what to do where the graph of a storage is not built.
func BuildFirst(t target.Target) string {
	if t.KeepsGarbage {
		return `With "pack-gc false" packs build none, and without one nobody knows what is alive: name a copy of the database, by a file with "pack-gc true"`
	}
	return `Run "relpack pack --dry-run": it builds the graph and deletes nothing`
}

// CheckVersion compares the schema's version with that of this relpack.
func (d *Database) CheckVersion(ctx context.Context, conn session.Querier, files fs.FS) error {
	latest, err := LatestMigration(files)
	if err != nil {
		return err
	}
	switch {
	case d.Versioned && !d.MayLook:
		return fault.Refuse(fmt.Sprintf("Its owner is %s", d.migrations),
			"role %s may not read the schema relpack of database %s", d.role, d.Name)
	case d.Version == 0:
		return fault.Refuse(`Run "relpack migrate up"`, "relpack is not installed in database %s", d.Name)
	case d.Version < latest:
		return fault.Refuse(`Run "relpack migrate up"`,
			"the schema relpack of database %s has version %d, this relpack needs %d", d.Name, d.Version, latest)
	case d.Version > latest:
		return fault.Refuse(newerHint(ctx, conn),
			"this relpack is older than the schema of database %s (version %d, this relpack knows up to %d)", d.Name, d.Version, latest)
	}
	return nil
}

// newerHint names the relpack that packed last, if the schema still tells so in
// a form that we understand.
func newerHint(ctx context.Context, conn session.Querier) string {
	const hint = "Install a newer relpack"
	var version string
	if err := conn.QueryRow(ctx, "SELECT version FROM relpack.run ORDER BY id DESC LIMIT 1").Scan(&version); err != nil {
		return hint
	}
	if version == "" || version == "(devel)" {
		return hint
	}
	return fmt.Sprintf("Install relpack >= %s, which packed it last", version)
}

// LatestMigration is the version that a set of migrations ends at.
func LatestMigration(files fs.FS) (int64, error) {
	sources, err := listMigrations(files)
	if err != nil {
		return 0, err
	}
	return sources[len(sources)-1].version, nil
}

// A migration is one of those that this relpack carries.
type migration struct {
	version int64
	name    string // without number and extension
}

func listMigrations(files fs.FS) ([]migration, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	var found []migration
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", name, err)
		}
		_, rest, _ := strings.Cut(strings.TrimSuffix(path.Base(name), ".sql"), "_")
		found = append(found, migration{version, rest})
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("this relpack carries no migrations")
	}
	slices.SortFunc(found, func(a, b migration) int { return int(a.version - b.version) })
	return found, nil
}
