package schema

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/session"
	"relpack/runner/target"
)

// cleanupTimeout bounds what is done after a command was interrupted.
const cleanupTimeout = 10 * time.Second

// Up installs relpack in a storage's database or brings its schema up to
// the last of these migrations, and makes sure that its triggers are in force
// and that blobs can be deleted, and a history packed, in little time.
// A first installation that fails leaves nothing behind. Errors have
// ExitRefused where the database isn't fit for relpack, and ExitLocked while a
// pack runs.
func Up(ctx context.Context, t target.Target, files fs.FS, log *slog.Logger) error {
	m, err := openMigrator(ctx, t, files, "migrate up", log)
	if err != nil {
		return err
	}
	defer m.close()
	if err := m.found.CheckAgrees(t); err != nil {
		return err
	}
	if err := m.found.CheckStorage(); err != nil {
		return err
	}
	if err := m.found.checkMayMigrate(ctx, m.conn); err != nil {
		return err
	}
	latest, err := LatestMigration(files)
	if err != nil {
		return err
	}
	if m.found.Version > latest {
		return m.found.CheckVersion(ctx, m.conn, files)
	}
	if err := m.lock(ctx); err != nil {
		return err
	}
	if err := m.takeBackRights(ctx); err != nil {
		return interrupted(ctx, err)
	}
	if m.found.Version == latest {
		if err := m.ensureTriggers(ctx); err != nil {
			return interrupted(ctx, err)
		}
		log.Info(fmt.Sprintf("the schema relpack is up to date: version %d", latest))
		return interrupted(ctx, m.ensureIndexes(ctx))
	}
	if err := m.install(ctx); err != nil {
		return interrupted(ctx, err)
	}
	log.Info(fmt.Sprintf("the schema relpack of database %s has version %d now", m.found.Name, latest))
	return interrupted(ctx, m.ensureIndexes(ctx))
}

// install runs what is missing. What it began in a database without relpack it
// takes back when it fails.
func (m *migrator) install(ctx context.Context) (err error) {
	defer func() {
		if err == nil || m.found.Version > 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		if left := m.takeBack(ctx); left != nil {
			m.log.Warn(fmt.Sprintf(`parts of the schema relpack are left (%s): "relpack migrate down" removes them`, fault.OneLine(left.Error())))
		}
	}()
	owner := quoteName(m.found.owner)
	if !m.found.schema {
		// In one transaction: with a right on the schema, somebody could have code
		// of his own in goose's table before the first migration.
		if _, err := m.conn.Exec(ctx, "CREATE SCHEMA relpack AUTHORIZATION "+owner+"; "+closeSchema); err != nil {
			return fmt.Errorf("create schema relpack in database %s: %w", m.found.Name, err)
		}
	} else if m.found.stranger != "" {
		if _, err := m.conn.Exec(ctx, "ALTER SCHEMA relpack OWNER TO "+owner); err != nil {
			return fmt.Errorf("give schema relpack of database %s to %s: %w", m.found.Name, owner, err)
		}
	}
	if m.found.Version == 0 {
		if _, err := m.db.ExecContext(ctx, closeSchema); err != nil {
			return fmt.Errorf("close schema relpack of database %s to others: %w", m.found.Name, err)
		}
	}
	if err := m.patiently(ctx, "install relpack", m.gooseUp); err != nil {
		return err
	}
	return m.ensureTriggers(ctx)
}

// closeSchema takes from everybody but its owner what default privileges gave on
// the schema relpack.
const closeSchema = `
	DO $$
	DECLARE
	    v_grantee text;
	BEGIN
	    FOR v_grantee IN
	        SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.format('%I', pg_catalog.pg_get_userbyid(grantee)) END
	        FROM pg_catalog.pg_namespace, pg_catalog.aclexplode(nspacl)
	        WHERE nspname = 'relpack' AND grantee <> nspowner
	    LOOP
	        EXECUTE pg_catalog.format('REVOKE ALL ON SCHEMA relpack FROM %s CASCADE', v_grantee);
	    END LOOP;
	END;
	$$`

// takeBackRights heals a schema in which others have rights to run code as its
// owner, before anything is written to its tables.
func (m *migrator) takeBackRights(ctx context.Context) error {
	if !m.found.exposed.found() || m.found.Version == 0 {
		return m.found.CheckOwn()
	}
	if err := m.patiently(ctx, "take back rights on relpack's tables", func(ctx context.Context) error {
		_, err := m.db.ExecContext(ctx, "SELECT relpack.take_back('{}')")
		return err
	}); err != nil {
		return err
	}
	m.log.Warn(m.found.exposed.what + ": this right is revoked, with all others like it")
	now, err := LookAt(ctx, m.conn)
	if err != nil {
		return err
	}
	return now.CheckOwn()
}

// takeBack leaves the database as it was found.
func (m *migrator) takeBack(ctx context.Context) error {
	now, err := LookAt(ctx, m.conn)
	if err != nil {
		return err
	}
	if now.Version > 0 {
		if err := m.patiently(ctx, "take back what was installed", m.gooseDown); err != nil {
			return err
		}
	}
	if m.found.schema { // empty, made by somebody else
		_, err := m.db.ExecContext(ctx, "DROP TABLE IF EXISTS "+versionTable)
		return err
	}
	return m.dropSchema(ctx)
}

// Down removes relpack from a storage's database: no schema, no
// function, no trigger stays. The storage itself may be gone already.
func Down(ctx context.Context, t target.Target, files fs.FS, log *slog.Logger) error {
	m, err := openMigrator(ctx, t, files, "migrate down", log)
	if err != nil {
		return err
	}
	defer m.close()
	if err := m.found.CheckRemovable(ctx, m.conn, files); err != nil {
		return err
	}
	if !m.found.schema {
		log.Info(fmt.Sprintf("relpack is not installed in database %s: there is nothing to remove", m.found.Name))
		return nil
	}
	if err := m.lock(ctx); err != nil {
		return err
	}
	m.sayFilesStay(ctx)
	if err := m.remove(ctx); err != nil {
		return interrupted(ctx, err)
	}
	log.Info(fmt.Sprintf("relpack is removed from database %s", m.found.Name))
	return nil
}

// CheckRemovable refuses what Down can't do.
func (d *Database) CheckRemovable(ctx context.Context, conn session.Querier, files fs.FS) error {
	if err := d.CheckSession(); err != nil {
		return err
	}
	switch {
	case d.Standby:
		return fault.Refuse("Name the primary", "the server is a standby (read-only)")
	case d.foreign():
		return fault.Refuse(anew, "database %s has a schema relpack that relpack did not create", d.Name)
	case d.schema && !d.owned:
		return fault.Refuse(fmt.Sprintf("Migrate as %s", d.migrations),
			"role %s does not own the schema relpack of database %s", d.role, d.Name)
	case d.stranger != "" && !d.adoptable():
		return d.strange()
	case d.tampered != "":
		return d.odd()
	case d.hollow():
		return fault.Refuse(`Run "DROP SCHEMA relpack CASCADE" in psql, which removes it with its triggers`,
			"the schema relpack of database %s was restored without its data", d.Name)
	}
	if d.Storage && d.schema {
		if err := d.checkMayMigrate(ctx, conn); err != nil {
			return err
		}
	}
	latest, err := LatestMigration(files)
	if err != nil || d.Version <= latest {
		return err
	}
	return d.CheckVersion(ctx, conn, files)
}

// sayFilesStay warns that nobody will know of blob files that wait to be removed.
func (m *migrator) sayFilesStay(ctx context.Context) {
	if m.target.BlobsInDatabase || !m.installed(ctx, "blobs_in_database") {
		return
	}
	var waiting int64
	if err := m.conn.QueryRow(ctx, "SELECT count(*) FROM relpack.blob_removal WHERE missed IS NULL AND NOT relpack.blobs_in_database()").Scan(&waiting); err != nil || waiting == 0 {
		return // what can't be read is no reason to keep relpack
	}
	what := "deleted blob"
	if m.found.KeepsHistory() {
		what = "deleted revision"
	}
	m.log.Warn(fmt.Sprintf(`the files of %s stay, and nothing lists them any more. After "relpack migrate up" and "relpack pack --dry-run", "relpack blobs" lists them as gone`,
		figures.Plural(waiting, what)))
}

// remove drops the triggers first, in a transaction of their own: the site
// isn't to wait for the sixty statements that drop the rest.
func (m *migrator) remove(ctx context.Context) error {
	if err := m.dropIndexes(ctx); err != nil {
		return err
	}
	if m.installed(ctx, "drop_triggers") {
		if err := m.patiently(ctx, "remove relpack's triggers", func(ctx context.Context) error {
			_, err := m.db.ExecContext(ctx, "SELECT relpack.drop_triggers()")
			return err
		}); err != nil {
			return err
		}
	}
	if m.found.Version > 0 {
		if err := m.patiently(ctx, "remove relpack", m.gooseDown); err != nil {
			m.restoreTriggers(ctx)
			return err
		}
	}
	return m.dropSchema(ctx)
}

// restoreTriggers tries once to undo the first step of a removal that failed.
func (m *migrator) restoreTriggers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if !m.installed(ctx, "create_triggers") {
		return
	}
	if _, err := m.db.ExecContext(ctx, "SELECT relpack.create_triggers()"); err != nil {
		m.log.Warn(`relpack's triggers are removed, but the rest is not: run "relpack migrate down" again, or "relpack migrate up" to put them back`)
	}
}

// dropSchema removes what goose leaves behind. Objects that somebody else put
// into the schema are not dropped with it.
func (m *migrator) dropSchema(ctx context.Context) error {
	tx, err := m.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("drop schema relpack: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit this does nothing
	for _, statement := range []string{"DROP TABLE IF EXISTS " + versionTable, "DROP SCHEMA IF EXISTS relpack"} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			if fault.IsState(err, "2BP01") {
				return fault.Refuse(`Move them elsewhere and run "relpack migrate down" again`,
					"relpack is removed except for its schema, which holds objects that relpack did not create: %s", serverDetail(err))
			}
			return fmt.Errorf("drop schema relpack: %w", err)
		}
	}
	return tx.Commit()
}

// ensureTriggers installs the triggers again if any is missing or disabled.
func (m *migrator) ensureTriggers(ctx context.Context) error {
	missing, err := session.Rows(ctx, m.conn, pgx.RowTo[string], "SELECT relpack.missing_trigger()")
	if err != nil {
		return fmt.Errorf("look at relpack's triggers: %w", err)
	}
	if len(missing) == 0 {
		return nil
	}
	if err := m.patiently(ctx, "install relpack's triggers", func(ctx context.Context) error {
		_, err := m.db.ExecContext(ctx, "SELECT relpack.create_triggers()")
		return err
	}); err != nil {
		return err
	}
	m.log.Warn(fmt.Sprintf("triggers of relpack were missing or disabled (%s): they are installed again, and the next pack compares the graph with the storage",
		strings.Join(missing, ", ")))
	return nil
}

// interrupted gives an error that comes of Ctrl-C its exit code.
func interrupted(ctx context.Context, err error) error {
	if err == nil || !errors.Is(context.Cause(ctx), context.Canceled) {
		return err
	}
	return &fault.Error{Code: fault.ExitInterrupted, Err: errors.New("interrupted"),
		Hint: `"relpack migrate status" tells what is installed`}
}

func serverDetail(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Detail != "" {
		return fault.OneLine(pg.Detail)
	}
	return fault.OneLine(err.Error())
}
