package runner

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
)

// CheckInstalled returns nil when the session's database holds a storage that
// relpack works on, and its schema has the version of these migrations. Its
// errors carry ExitRefused and say what to run.
func CheckInstalled(ctx context.Context, conn *pgx.Conn, files fs.FS) error {
	d, err := lookAt(ctx, conn)
	if err != nil {
		return err
	}
	if err := d.checkStorage(); err != nil {
		return err
	}
	return d.checkVersion(ctx, conn, files)
}

// CheckMayPack refuses roles that would fail in the middle of a pack. relpack
// has to be installed.
func CheckMayPack(ctx context.Context, conn *pgx.Conn) error {
	var role, owner string
	var ours, reads, deletes bool
	if err := conn.QueryRow(ctx, `
		SELECT current_user::text, pg_get_userbyid(nspowner), pg_has_role(nspowner, 'USAGE'),
		       has_table_privilege('public.object_state', 'SELECT'),
		       has_table_privilege('public.object_state', 'DELETE')
		FROM pg_catalog.pg_namespace
		WHERE nspname = 'relpack'`).Scan(&role, &owner, &ours, &reads, &deletes); err != nil {
		return fmt.Errorf("read the privileges of this role: %w", err)
	}
	switch {
	case !ours:
		return Refuse(fmt.Sprintf(`Pack as %[2]s, or "GRANT %[2]s TO %[1]s"`, quoteName(role), quoteName(owner)),
			"role %s does not own the schema relpack", role)
	case !reads || !deletes:
		return Refuse(fmt.Sprintf(`"GRANT SELECT, DELETE ON public.object_state TO %s"`, quoteName(role)),
			"role %s lacks the privilege SELECT or DELETE on public.object_state", role)
	}
	return nil
}

// checkMayMigrate refuses roles that can't install or remove relpack.
func (d *database) checkMayMigrate(ctx context.Context, conn querier) error {
	var owns, creates bool
	if err := conn.QueryRow(ctx, `
		SELECT pg_has_role(class.relowner, 'USAGE'), has_database_privilege(current_database(), 'CREATE')
		FROM pg_catalog.pg_class AS class
		WHERE class.relname = 'object_state' AND class.relnamespace = 'public'::regnamespace`).
		Scan(&owns, &creates); err != nil {
		return fmt.Errorf("read the privileges of this role: %w", err)
	}
	switch {
	case !owns:
		return Refuse(fmt.Sprintf("Migrate as %s", d.owner),
			"role %s does not own public.object_state, as installing and removing triggers needs", d.role)
	case d.schema && !d.owned:
		return Refuse(fmt.Sprintf("Migrate as %s", d.migrations),
			"role %s does not own the schema relpack of database %s", d.role, d.name)
	case !d.schema && !creates:
		return Refuse(fmt.Sprintf(`"GRANT CREATE ON DATABASE %s TO %s"`, quoteName(d.name), quoteName(d.role)),
			"role %s may not create a schema in database %s", d.role, d.name)
	}
	return nil
}

func quoteName(name string) string { return pgx.Identifier{name}.Sanitize() }
