package schema

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
)

// What a look at the schema relpack finds, and what is refused for it.

func (d *Database) lookAtSchema(ctx context.Context, conn *pgx.Conn) error {
	var planted, exposed []string
	if err := conn.QueryRow(ctx, `
		SELECT count(*) > 0,
		       coalesce(bool_or(pg_has_role(namespace.nspowner, 'USAGE')), false),
		       coalesce(max(pg_get_userbyid(namespace.nspowner)), ''),
		       coalesce(bool_or((SELECT rolsuper FROM pg_catalog.pg_roles WHERE pg_roles.oid = namespace.nspowner)), false),
		       coalesce((SELECT min(thing.kind || thing.name || ' belongs to ' || pg_get_userbyid(thing.owner))
		                 FROM (
		                     SELECT 'schema ', nspname::text, nspowner FROM pg_catalog.pg_namespace WHERE nspname = 'relpack'
		                     UNION ALL
		                     SELECT 'relation relpack.', relname::text, relowner
		                     FROM pg_catalog.pg_class
		                     WHERE relnamespace = (SELECT to_regnamespace('relpack')) AND relkind NOT IN ('i', 't', 'I')
		                     UNION ALL
		                     SELECT 'function relpack.', proname::text, proowner
		                     FROM pg_catalog.pg_proc
		                     WHERE pronamespace = (SELECT to_regnamespace('relpack'))
		                 ) AS thing (kind, name, owner)
		                 WHERE thing.owner <> (SELECT relowner FROM pg_catalog.pg_class WHERE oid = to_regclass('public.object_state'))), ''),
		       `+firstPlanted+`, `+firstExposed+`,
		       coalesce(bool_or(EXISTS (
		           SELECT FROM pg_catalog.pg_class AS class
		           WHERE class.relnamespace = namespace.oid AND class.relname = 'goose_db_version')), false),
		       coalesce(bool_or(EXISTS (
		           SELECT FROM pg_catalog.pg_class AS class
		           WHERE class.relnamespace = namespace.oid AND class.relname !~ '^goose_db_version')
		       OR EXISTS (
		           SELECT FROM pg_catalog.pg_proc AS function
		           WHERE function.pronamespace = namespace.oid)), false)
		FROM pg_catalog.pg_namespace AS namespace
		WHERE namespace.nspname = 'relpack'`).
		Scan(&d.schema, &d.owned, &d.migrations, &d.superuser, &d.stranger, &planted, &exposed, &d.Versioned, &d.occupied); err != nil {
		return err
	}
	if len(planted) == 2 {
		d.planted = finding{planted[0], planted[1]}
	}
	if len(exposed) == 2 {
		d.exposed = finding{exposed[0], exposed[1]}
	}
	if !d.Versioned {
		return nil
	}
	if err := conn.QueryRow(ctx, `
		SELECT has_schema_privilege('relpack', 'USAGE')
		       AND has_table_privilege(class.oid, 'SELECT')
		FROM pg_catalog.pg_class AS class
		WHERE class.relnamespace = 'relpack'::regnamespace
		  AND class.relname = 'goose_db_version'`).Scan(&d.MayLook); err != nil || !d.MayLook {
		return err
	}
	if err := conn.QueryRow(ctx, readTampered).Scan(&d.tampered); err != nil || d.tampered != "" || d.Trap != nil {
		return err
	}
	return conn.QueryRow(ctx,
		"SELECT coalesce(max(version_id) FILTER (WHERE is_applied), 0), count(*) = 0 FROM "+versionTable).Scan(&d.Version, &d.dataless)
}

// firstPlanted finds what has code of somebody's run when relpack writes to its own
// tables, and a statement that removes it. goose's table: see readTampered.
const firstPlanted = `
	(SELECT min(ARRAY[planted.what, planted.remedy])
	 FROM (
	     SELECT format('there is a trigger %I on relpack.%I', tgname, relname), format('DROP TRIGGER %I ON relpack.%I', tgname, relname)
	     FROM pg_catalog.pg_class
	     JOIN pg_catalog.pg_trigger ON tgrelid = pg_class.oid
	     WHERE relnamespace = (SELECT to_regnamespace('relpack')) AND relhastriggers AND NOT tgisinternal
	       AND tgfoid NOT IN (SELECT oid FROM pg_catalog.pg_proc
	                          WHERE pronamespace = (SELECT to_regnamespace('relpack')) AND proname IN ('guard_graph', 'note_unreferred'))
	     UNION ALL
	     SELECT format('there is a rule %I on relpack.%I', rulename, relname), format('DROP RULE %I ON relpack.%I', rulename, relname)
	     FROM pg_catalog.pg_class
	     JOIN pg_catalog.pg_rewrite ON ev_class = pg_class.oid
	     WHERE relnamespace = (SELECT to_regnamespace('relpack')) AND relkind <> 'v'
	     UNION ALL
	     SELECT format('there is a foreign key %I of %s on relpack.%I', conname, conrelid::regclass, relname),
	            format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
	     FROM pg_catalog.pg_class
	     JOIN pg_catalog.pg_trigger ON tgrelid = pg_class.oid
	     JOIN pg_catalog.pg_constraint ON pg_constraint.oid = tgconstraint
	     WHERE relnamespace = (SELECT to_regnamespace('relpack')) AND relhastriggers AND tgisinternal AND contype = 'f'
	       AND conrelid NOT IN (SELECT oid FROM pg_catalog.pg_class WHERE relnamespace = (SELECT to_regnamespace('relpack')))
	     UNION ALL
	     SELECT format('operator %s of %s is in the schema relpack', operator.oid::regoperator, pg_get_userbyid(oprowner)),
	            format('DROP OPERATOR %s', operator.oid::regoperator)
	     FROM pg_catalog.pg_operator AS operator
	     WHERE oprnamespace = (SELECT to_regnamespace('relpack'))
	 ) AS planted (what, remedy))`

// firstExposed finds a role that isn't the owner and could put such a thing there.
const firstExposed = `
	(SELECT min(ARRAY[format('%s has %s, by which code of its own would run with the rights of %s', role, privilege, pg_get_userbyid(owner)),
	                  format('REVOKE %s FROM %s', privilege, role)])
	 FROM (
	     SELECT nspowner, grantee, format('%s ON SCHEMA relpack', privilege_type)
	     FROM pg_catalog.pg_namespace, aclexplode(nspacl)
	     WHERE nspname = 'relpack' AND privilege_type = 'CREATE'
	     UNION ALL
	     SELECT relowner, grantee, format('%s ON relpack.%I', privilege_type, relname)
	     FROM pg_catalog.pg_class, aclexplode(relacl)
	     WHERE relnamespace = (SELECT to_regnamespace('relpack')) AND privilege_type IN ('TRIGGER', 'REFERENCES')
	     UNION ALL
	     SELECT relowner, grantee, format('%s (%I) ON relpack.%I', privilege_type, attname, relname)
	     FROM pg_catalog.pg_class
	     JOIN pg_catalog.pg_attribute ON attrelid = pg_class.oid, aclexplode(attacl)
	     WHERE relnamespace = (SELECT to_regnamespace('relpack')) AND privilege_type = 'REFERENCES'
	 ) AS given (owner, grantee, privilege)
	 CROSS JOIN LATERAL (
	     SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE format('%I', pg_get_userbyid(grantee)) END
	 ) AS named (role)
	 WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles
	                   WHERE pg_roles.oid = given.grantee AND (rolsuper OR pg_has_role(pg_roles.oid, given.owner, 'MEMBER'))))`

// readTampered looks for what would run code whenever goose's table is read or
// written, as a trigger does, a view, or a function in a default.
const readTampered = `
	WITH versions AS (
	    SELECT oid, relkind, relrowsecurity
	    FROM pg_catalog.pg_class
	    WHERE relnamespace = 'relpack'::regnamespace AND relname = 'goose_db_version'
	)
	SELECT coalesce(min(found.what), '')
	FROM versions
	CROSS JOIN LATERAL (
	    SELECT 'it is no plain table'
	    WHERE relkind <> 'r' OR relrowsecurity
	       OR EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE versions.oid IN (inhrelid, inhparent))
	    UNION ALL
	    SELECT 'trigger ' || tgname FROM pg_catalog.pg_trigger WHERE tgrelid = versions.oid
	    UNION ALL
	    SELECT 'rule ' || rulename FROM pg_catalog.pg_rewrite WHERE ev_class = versions.oid
	    UNION ALL
	    SELECT 'constraint ' || conname FROM pg_catalog.pg_constraint WHERE conrelid = versions.oid AND contype NOT IN ('p', 'u', 'n')
	    UNION ALL
	    SELECT 'index ' || indexrelid::regclass
	    FROM pg_catalog.pg_index
	    WHERE indrelid = versions.oid AND (indexprs IS NOT NULL OR indpred IS NOT NULL)
	    UNION ALL
	    SELECT 'type of column ' || attname
	    FROM pg_catalog.pg_attribute
	    JOIN pg_catalog.pg_type ON pg_type.oid = atttypid
	    WHERE attrelid = versions.oid AND typnamespace <> 'pg_catalog'::regnamespace
	    UNION ALL
	    -- What the server brings along itself is in no dependency.
	    SELECT 'default of column ' || attname
	    FROM pg_catalog.pg_attrdef
	    JOIN pg_catalog.pg_attribute ON attrelid = adrelid AND attnum = adnum
	    JOIN pg_catalog.pg_depend ON classid = 'pg_attrdef'::regclass AND objid = pg_attrdef.oid
	    WHERE adrelid = versions.oid AND refclassid <> 'pg_class'::regclass
	) AS found (what)`

// foreign tells whether a schema relpack exists that isn't ours.
func (d *Database) foreign() bool { return d.schema && !d.Versioned && d.occupied }

// adoptable tells whether an empty schema that this role may give away was made
// for relpack, by itself or by a superuser.
func (d *Database) adoptable() bool {
	return !d.Versioned && !d.occupied && d.owned && (d.superuser || d.migrations == d.role)
}

// anew is what helps where somebody has been at the schema.
const anew = `If you don't know why, look at what is in it; "DROP SCHEMA relpack CASCADE" removes it with its triggers, "relpack migrate up" installs it again`

// hollow tells whether there is all of relpack but no row in goose's table, which
// has one as soon as it is made.
func (d *Database) hollow() bool { return d.dataless && d.occupied }

const restoredEmpty = `Run "DROP SCHEMA relpack CASCADE" in psql, then "relpack migrate up"`

// CheckOwn refuses a schema in which code of somebody's runs with the rights of its
// owner, or could.
func (d *Database) CheckOwn() error {
	undo := `"` + d.planted.remedy + `"`
	switch {
	case d.planted.found() && d.exposed.found():
		undo = `Run "relpack migrate up", which takes back the rights that allow it, and ` + undo
		fallthrough
	case d.planted.found():
		return fault.Refuse(undo, "%s: code of somebody else's would run with the rights of %s", d.planted.what, d.migrations)
	case d.exposed.found():
		return fault.Refuse(fmt.Sprintf(`Run "relpack migrate up", which takes it back, or "%s"`, d.exposed.remedy), "%s", d.exposed.what)
	}
	return nil
}

// strange refuses a schema in which somebody else could have code of his own run
// with the rights of whoever migrates or packs.
func (d *Database) strange() error {
	hint := anew
	if d.superuser && !d.Versioned && !d.occupied {
		hint = fmt.Sprintf(`Let %s run "ALTER SCHEMA relpack OWNER TO %s"`, d.migrations, quoteName(d.owner))
	}
	return fault.Refuse(hint, "%s, but object_state of database %s belongs to %s: relpack must belong to that role too", d.stranger, d.Name, d.owner)
}

// odd refuses a table of versions that goose didn't make like this.
func (d *Database) odd() error {
	return fault.Refuse(anew, "%s of database %s is not as goose makes it: %s", versionTable, d.Name, d.tampered)
}
