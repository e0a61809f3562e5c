package schema

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/session"
	"relpack/runner/target"
)

// A Status says which migrations of a database are in force. It is read
// without goose, which would create its table to look.
type Status struct {
	Storage    string      `json:"storage"`
	Error      string      `json:"error,omitempty"`
	ExitCode   int         `json:"exit_code"`
	Version    int64       `json:"schema_version"`  // 0: relpack is not installed
	Latest     int64       `json:"relpack_version"` // what this relpack needs
	Migrations []Migration `json:"migrations"`
}

// A Migration is one migration, of this relpack or of a newer one.
type Migration struct {
	Version int64      `json:"version"`
	Name    string     `json:"name"`    // "" for one that this relpack doesn't know
	Applied *time.Time `json:"applied"` // nil: pending
}

// ReadStatus looks which migrations are applied. It changes nothing. The status is
// never nil.
func ReadStatus(ctx context.Context, t target.Target, files fs.FS, log *slog.Logger) (*Status, error) {
	s := &Status{Storage: t.Name, Migrations: []Migration{}}
	err := s.read(ctx, t, files, log)
	if s.ExitCode = fault.ExitCode(err); err != nil {
		s.Error = fault.Message(err)
	}
	return s, err
}

func (s *Status) read(ctx context.Context, t target.Target, files fs.FS, log *slog.Logger) error {
	if t.Foreign {
		return t.Migratable()
	}
	conn, err := session.Open(ctx, t, "migrate status", log)
	if err != nil {
		return err
	}
	defer session.Close(conn)
	d, err := LookAt(ctx, conn)
	if err != nil {
		return err
	}
	if err := d.CheckSession(); err != nil {
		return err
	}
	if d.tampered != "" {
		return d.odd()
	}
	if d.Versioned && !d.MayLook {
		return d.MayNotLook("may not read the schema relpack")
	}
	known, err := listMigrations(files)
	if err != nil {
		return err
	}
	s.Version, s.Latest = d.Version, known[len(known)-1].version
	applied := map[int64]time.Time{}
	if d.Versioned {
		var version int64
		var at time.Time
		rows, err := conn.Query(ctx, "SELECT version_id, tstamp::timestamptz FROM "+versionTable+" WHERE version_id > 0 AND is_applied ORDER BY id")
		if err == nil {
			_, err = pgx.ForEachRow(rows, []any{&version, &at}, func() error { applied[version] = at; return nil })
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", versionTable, err)
		}
	}
	for _, m := range known {
		status := Migration{Version: m.version, Name: m.name}
		if at, ok := applied[m.version]; ok {
			status.Applied = &at
		}
		s.Migrations = append(s.Migrations, status)
	}
	for version := s.Latest + 1; version <= d.Version; version++ {
		if at, ok := applied[version]; ok {
			s.Migrations = append(s.Migrations, Migration{Version: version, Applied: &at})
		}
	}
	return nil
}

// Empty tells whether an error is all there is to tell.
func (s *Status) Empty() bool { return s.Error != "" }

// Write prints a line a migration.
func (s *Status) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if s.Storage != "" {
		fmt.Fprintf(t, "storage %s\n", s.Storage)
	}
	for _, m := range s.Migrations {
		name, applied := m.Name, "pending"
		if name == "" {
			name = "(of a newer relpack)"
		}
		if m.Applied != nil {
			applied = "applied " + figures.Clock(*m.Applied)
		}
		// The first error sticks to the tabwriter: Flush returns it.
		fmt.Fprintf(t, "%05d\t%s\t%s\n", m.Version, name, applied)
	}
	return t.Flush()
}

// WriteVersion prints the versions in one line.
func (s *Status) WriteVersion(w io.Writer) error {
	schema := fmt.Sprintf("version %d", s.Version)
	if s.Version == 0 {
		schema = "not installed"
	}
	storage := ""
	if s.Storage != "" {
		storage = s.Storage + ": "
	}
	_, err := fmt.Fprintf(w, "%sschema relpack: %s; this relpack needs version %d\n", storage, schema, s.Latest)
	return err
}
