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
)

// CheckInstalled returns nil when the session's database holds a storage that
// relpack works on, as the target's configuration describes it, and its schema
// has the version of these migrations. Its errors carry ExitRefused and say what
// to run.
func CheckInstalled(ctx context.Context, conn *pgx.Conn, t target.Target, files fs.FS) error {
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

// CheckMayPack refuses roles that would fail in the middle of a pack. relpack
// has to be installed.
func CheckMayPack(ctx context.Context, conn *pgx.Conn) error {
	var role string
	if err := conn.QueryRow(ctx, "SELECT current_user::text").Scan(&role); err != nil {
		return fmt.Errorf("read the privileges of this role: %w", err)
	}
	lacks, err := session.Rows(ctx, conn, pgx.RowToStructByPos[lackedPrivilege], packPrivileges)
	if err != nil {
		return fmt.Errorf("read the privileges of this role: %w", err)
	}
	if len(lacks) == 0 {
		return nil
	}
	var names, grants []string
	others := ""
	for _, lack := range lacks {
		names = append(names, lack.Privilege)
		grant := strings.ReplaceAll(PackGrants[lack.On], "packer", quoteName(role))
		if lack.Owner != "" {
			others = fmt.Sprintf("Let %s, who owns %s, run: %s", lack.Owner, lack.On, grant)
			continue
		}
		if len(grants) == 0 || grants[len(grants)-1] != grant { // they come sorted
			grants = append(grants, grant)
		}
	}
	const few = 5
	if more := len(names) - few; more > 0 {
		names = append(names[:few], fmt.Sprintf("%d more", more))
	}
	var hints []string
	if len(grants) > 0 {
		hints = append(hints, "Let the owner run: "+strings.Join(grants, " "))
	}
	if others != "" {
		hints = append(hints, others)
	}
	return fault.Refuse(strings.Join(hints, " "),
		"role %s may not pack, it lacks %s", role, strings.Join(names, ", "))
}

// A lackedPrivilege is something that a role would need for a pack.
type lackedPrivilege struct {
	On        string // a key of packGrants
	Privilege string // in words
	Owner     string // of that, where it is not the owner of object_state
}

// PackGrants let a role pack that owns nothing. Not all privileges on relpack's
// tables: with TRIGGER on one, code of the role's own would run in functions
// that act with their owner's rights.
var PackGrants = map[string]string{
	"blob_chunk":   "GRANT SELECT ON public.blob_chunk TO packer;",
	"object_state": "GRANT SELECT, DELETE ON public.object_state TO packer;",
	"public":       "GRANT USAGE ON SCHEMA public TO packer;",
	"relpack": "GRANT USAGE ON SCHEMA relpack TO packer; " +
		"GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA relpack TO packer; " +
		"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON relpack.goose_db_version FROM packer; " +
		"GRANT USAGE ON ALL SEQUENCES IN SCHEMA relpack TO packer; " +
		"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA relpack TO packer;",
}

// packPrivileges lists what this role lacks. It goes by the catalogs, as names
// in a schema that the role may not use can't be looked up.
const packPrivileges = `
	WITH wanted (target, relation, privilege) AS (
	    SELECT class.relname::text, class.oid, unnest(CASE class.relname
	               WHEN 'blob_chunk' THEN ARRAY['SELECT']
	               ELSE ARRAY['SELECT', 'DELETE']
	               END)
	    FROM pg_class AS class
	    WHERE class.relnamespace = 'public'::regnamespace
	      AND class.relname IN ('object_state', 'blob_chunk')
	    UNION ALL
	    SELECT 'relpack', class.oid, unnest(CASE
	               WHEN class.relkind = 'v' OR class.relname = 'goose_db_version' THEN ARRAY['SELECT']
	               ELSE ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']
	               END)
	    FROM pg_class AS class
	    WHERE class.relnamespace = 'relpack'::regnamespace AND class.relkind IN ('r', 'v')
	)
	SELECT nspname::text AS target, format('USAGE on schema %s', nspname) AS privilege, '' AS owner
	FROM pg_namespace
	WHERE nspname IN ('public', 'relpack') AND NOT has_schema_privilege(oid, 'USAGE')
	UNION ALL
	SELECT wanted.target, format('%s on %s.%s', wanted.privilege, class.relnamespace::regnamespace, class.relname),
	       CASE WHEN wanted.target = 'blob_chunk'
	                 AND class.relowner <> (SELECT relowner FROM pg_class WHERE oid = to_regclass('public.object_state'))
	            THEN pg_get_userbyid(class.relowner)::text ELSE '' END
	FROM wanted
	JOIN pg_class AS class ON class.oid = wanted.relation
	WHERE NOT has_table_privilege(class.oid, wanted.privilege)
	UNION ALL
	SELECT 'relpack', format('USAGE on relpack.%s', class.relname), ''
	FROM pg_class AS class
	WHERE class.relnamespace = 'relpack'::regnamespace
	  AND CASE WHEN class.relkind = 'S' AND class.relname = 'write_event_id_seq'
	      THEN NOT has_sequence_privilege(class.oid, 'USAGE') END
	UNION ALL
	SELECT 'relpack', format('EXECUTE on relpack.%s', function.proname), ''
	FROM pg_proc AS function
	WHERE function.pronamespace = 'relpack'::regnamespace
	  AND function.prorettype <> 'trigger'::regtype
	  AND function.proname NOT IN ('create_triggers', 'drop_triggers', 'take_back')
	  AND NOT has_function_privilege(function.oid, 'EXECUTE')
	ORDER BY target, privilege`

// checkMayMigrate refuses roles that can't install or remove relpack.
func (d *Database) checkMayMigrate(ctx context.Context, conn Querier) error {
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

// statusGrants let a role look that may do nothing else.
const statusGrants = "Let its owner run: " +
	"GRANT USAGE ON SCHEMA relpack TO %[1]s; " +
	"GRANT SELECT ON ALL TABLES IN SCHEMA relpack TO %[1]s; " +
	"GRANT SELECT ON public.object_state TO %[1]s; " +
	"GRANT EXECUTE ON FUNCTION relpack.status, relpack.doubt, " +
	"relpack.trigger_identity, relpack.missing_trigger, relpack.column_identity, relpack.graph_identity, " +
	"relpack.tid_to_time, relpack.time_to_tid, relpack.tids_ahead, relpack.pack_lock_holder, relpack.lock_protocol, relpack.stored, " +
	"relpack.being_changed, relpack.unapplied, relpack.path_to_root, relpack.hangs_with TO %[1]s;"
