package schema

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/session"
	"relpack/runner/target"
	"relpack/sql"
)

// CheckInstalled returns nil when the session's database holds a storage that
// relpack works on, of either kind, as the target's configuration describes it, and its
// schema has the version of these migrations. Its errors carry ExitRefused and say what
// to run.
func CheckInstalled(ctx context.Context, conn *pgx.Conn, t target.Target, files fs.FS) error {
	return checkInstalled(ctx, conn, t, files, func(*Database) error { return nil })
}

// CheckHistory is CheckInstalled for a storage whose history is to be trimmed.
func CheckHistory(ctx context.Context, conn *pgx.Conn, t target.Target, files fs.FS) error {
	return checkInstalled(ctx, conn, t, files, func(d *Database) error {
		if d.history != "" {
			return nil
		}
		return fault.Refuse("", "database %s holds a history-free storage: there is nothing to trim", d.Name)
	})
}

func checkInstalled(ctx context.Context, conn *pgx.Conn, t target.Target, files fs.FS, checkKind func(*Database) error) error {
	d, err := LookAt(ctx, conn)
	if err != nil {
		return err
	}
	if err := d.CheckAgrees(t); err != nil {
		return err
	}
	if err := d.CheckStorage(); err != nil {
		return err
	}
	if err := checkKind(d); err != nil {
		return err
	}
	if err := d.CheckOwn(); err != nil {
		return err
	}
	if d.Versioned && !d.MayLook {
		if err := CheckMayPack(ctx, conn); err != nil {
			return err // with what to grant
		}
	}
	return d.CheckVersion(ctx, conn, files)
}

// MayRead refuses a storage, or a role, of which a command that only looks can't
// tell anything.
func (d *Database) MayRead(ctx context.Context, conn session.Querier, t target.Target, files fs.FS) error {
	if err := d.CheckAgrees(t); err != nil {
		return err
	}
	if err := d.CheckReadable(); err != nil {
		return err
	}
	if d.Versioned && !d.MayLook {
		return d.MayNotLook("may not read the schema relpack")
	}
	return d.CheckVersion(ctx, conn, files)
}

// CheckMayPack refuses roles that would fail in the middle of a pack. relpack
// has to be installed.
func CheckMayPack(ctx context.Context, conn *pgx.Conn) error {
	var role, owner string
	if err := conn.QueryRow(ctx, `
		SELECT current_user::text, pg_get_userbyid(relowner)::text
		FROM pg_class
		WHERE relname = 'object_state' AND relnamespace = 'public'::regnamespace`).Scan(&role, &owner); err != nil {
		return fmt.Errorf("read the privileges of this role: %w", err)
	}
	missing, err := session.Rows(ctx, conn, pgx.RowToStructByPos[missingPrivilege], missingPrivileges(), role)
	if err != nil {
		return fmt.Errorf("read the privileges of this role: %w", err)
	}
	if len(missing) == 0 {
		return nil
	}
	var names, hints []string
	said := map[string]bool{}
	for _, m := range missing {
		names = append(names, m.Privilege+" on "+m.Target)
		if said[m.Remedy] {
			continue
		}
		said[m.Remedy] = true
		hint := "Let the owner run: "
		if m.Owner != owner {
			hint = fmt.Sprintf("Let %s, who owns %s, run: ", m.Owner, m.Target)
		}
		if last := len(hints) - 1; last >= 0 && strings.HasPrefix(hints[last], hint) {
			hints[last] += " " + m.Remedy
			continue
		}
		hints = append(hints, hint+m.Remedy)
	}
	const few = 5
	if more := len(names) - few; more > 0 {
		names = append(names[:few], fmt.Sprintf("%d more", more))
	}
	return fault.Refuse(strings.Join(hints, " "),
		"role %s may not pack, it lacks %s", role, strings.Join(names, ", "))
}

// A missingPrivilege is a row of relpack.missing_privilege().
type missingPrivilege struct {
	Target    string
	Privilege string
	Remedy    string // the statements that grant it
	Owner     string // who can
}

// missingPrivileges is the query of relpack.missing_privilege($1, false): a role that
// lacks them can't call the function.
func missingPrivileges() string {
	_, body, _ := strings.Cut(sql.MissingPrivilege, "\nAS $$\n")
	body, _, _ = strings.Cut(body, "\n$$;\n")
	return strings.NewReplacer("missing_privilege.role", "$1::name", "missing_privilege.only_look", "false").Replace(body)
}

// checkMayMigrate refuses roles that can't install or remove relpack.
func (d *Database) checkMayMigrate(ctx context.Context, conn session.Querier) error {
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
		return fault.Refuse(fmt.Sprintf("Migrate as %s", d.owner),
			"role %s does not own public.object_state, as installing and removing triggers needs", d.role)
	case d.schema && !d.owned:
		return fault.Refuse(fmt.Sprintf("Migrate as %s", d.migrations),
			"role %s does not own the schema relpack of database %s", d.role, d.Name)
	case !d.schema && !creates:
		return fault.Refuse(fmt.Sprintf(`"GRANT CREATE ON DATABASE %s TO %s"`, quoteName(d.Name), quoteName(d.role)),
			"role %s may not create a schema in database %s", d.role, d.Name)
	}
	return nil
}

func quoteName(name string) string { return pgx.Identifier{name}.Sanitize() }

func quoteText(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
