package runner

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"
)

// minServer is the oldest PostgreSQL that relpack works with.
const minServer = 15

// versionTable is goose's.
const versionTable = "relpack.goose_db_version"

// A database is what a look at the catalogs finds. Looking needs no privilege
// and changes nothing.
type database struct {
	name, role string
	trap       error  // why this session, a superuser's, must touch nothing
	server     string // the server's version in its own words
	major      int
	standby    bool

	storage   bool     // public.object_state is a table
	elsewhere []string // other schemas with an object_state
	rivals    []string // those of them that have the columns of a storage
	resolved  string   // another relation that the settings of the session take for object_state
	history   string   // by what a history-preserving storage is known; "" for history-free
	missing   []string // columns that object_state lacks
	mistyped  []string // columns of another type than RelStorage's
	publisher string   // a publication of relpack's tables, there or to come
	owner     string   // of object_state

	schema     bool    // there is a schema relpack
	versioned  bool    // with goose's table in it
	occupied   bool    // with other things in it
	owned      bool    // by this role
	mayLook    bool    // this role may read goose's table
	migrations string  // whose they are: the schema's owner
	superuser  bool    // that is one
	stranger   string  // something in the schema that belongs to another role than object_state
	tampered   string  // what goose's table has that goose gives it not
	planted    finding // what somebody has put on a table of relpack's
	exposed    finding // a right by which somebody could
	dataless   bool    // goose's table is empty, as after a restore without its rows
	version    int64   // of the last migration; 0: relpack is not installed
}

// A finding is what is wrong, and the statement that removes it; or nothing.
type finding struct{ what, remedy string }

func (f finding) found() bool { return f.what != "" }

// lookAt inspects the database of a session.
func lookAt(ctx context.Context, conn *pgx.Conn) (*database, error) {
	d := &database{}
	var number int
	var superuser string
	if err := conn.QueryRow(ctx, `
		SELECT current_setting('server_version_num')::int, current_setting('server_version'),
		       pg_is_in_recovery(), current_database(), current_user::text, `+superuserWithin).
		Scan(&number, &d.server, &d.standby, &d.name, &d.role, &superuser); err != nil {
		return nil, fmt.Errorf("inspect the database: %w", err)
	}
	if d.major = number / 10000; d.major < minServer {
		return d, nil
	}
	if superuser != "" {
		var err error
		if d.trap, err = lookForTraps(ctx, conn, superuser); err != nil {
			return nil, fmt.Errorf("look whose code would run as a superuser: %w", err)
		}
	}
	resolved, err := resolve(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("inspect the storage: %w", err)
	}
	if err := d.lookAtStorage(ctx, conn, resolved); err != nil {
		return nil, fmt.Errorf("inspect the storage: %w", err)
	}
	if err := d.lookAtSchema(ctx, conn); err != nil {
		return nil, fmt.Errorf("inspect the schema relpack: %w", err)
	}
	return d, nil
}

// resolve asks for the oid of object_state by the search path that the session
// began with: of the DSN, the role or the database, as an application has it.
// With that path, nothing but qualified names can be trusted.
func resolve(ctx context.Context, conn *pgx.Conn) (string, error) {
	results, err := conn.PgConn().Exec(ctx, `
		BEGIN READ ONLY;
		SET LOCAL search_path TO DEFAULT;
		SELECT CAST(pg_catalog.to_regclass('object_state') AS pg_catalog.oid);
		ROLLBACK`).ReadAll()
	if err != nil {
		return "", err
	}
	for _, result := range results {
		if len(result.Rows) == 1 && result.Rows[0][0] != nil {
			return string(result.Rows[0][0]), nil
		}
	}
	return "0", nil
}

// storageColumns are those of a history-free storage.
var storageColumns = []string{"zoid bigint", "tid bigint", "state_size bigint", "state bytea"}

func (d *database) lookAtStorage(ctx context.Context, conn *pgx.Conn, resolved string) error {
	if err := conn.QueryRow(ctx, `
		SELECT coalesce(array_agg(namespace.nspname::text ORDER BY namespace.nspname)
		                FILTER (WHERE namespace.nspname <> 'public'), '{}'),
		       coalesce(bool_or(namespace.nspname = 'public'), false),
		       coalesce(max(pg_get_userbyid(class.relowner)) FILTER (WHERE namespace.nspname = 'public'), ''),
		       coalesce(array_agg(namespace.nspname::text ORDER BY namespace.nspname)
		                FILTER (WHERE namespace.nspname <> 'public' AND ARRAY(
		                    SELECT format('%s %s', attname, format_type(atttypid, NULL))
		                    FROM pg_catalog.pg_attribute
		                    WHERE attrelid = class.oid AND attnum > 0 AND NOT attisdropped) @> $1), '{}'),
		       coalesce((SELECT format('%I.%I', other.relnamespace::regnamespace, other.relname)
		                 FROM pg_catalog.pg_class AS other
		                 WHERE other.oid = $2::text::oid AND other.relnamespace <> 'public'::regnamespace), ''),
		       coalesce((SELECT min(publication.pubname)::text
		                 FROM pg_catalog.pg_publication AS publication
		                 WHERE publication.puballtables
		                    OR EXISTS (SELECT FROM pg_catalog.pg_publication_namespace
		                               WHERE pnpubid = publication.oid AND pnnspid = (SELECT to_regnamespace('relpack')))
		                    OR EXISTS (SELECT FROM pg_catalog.pg_publication_rel
		                               JOIN pg_catalog.pg_class AS published ON published.oid = prrelid
		                               WHERE prpubid = publication.oid AND published.relnamespace = (SELECT to_regnamespace('relpack')))), '')
		FROM pg_catalog.pg_class AS class
		JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
		WHERE class.relname = 'object_state'
		  AND class.relkind IN ('r', 'p')
		  AND namespace.nspname !~ '^pg_'`, storageColumns, resolved).
		Scan(&d.elsewhere, &d.storage, &d.owner, &d.rivals, &d.resolved, &d.publisher); err != nil || !d.storage {
		return err
	}
	var columns, tables []string
	if err := conn.QueryRow(ctx, `
		SELECT (SELECT array_agg(format('%s %s', attribute.attname, format_type(attribute.atttypid, NULL)))
		        FROM pg_catalog.pg_attribute AS attribute
		        JOIN pg_catalog.pg_class AS class ON class.oid = attribute.attrelid
		        WHERE class.relname = 'object_state'
		          AND class.relnamespace = 'public'::regnamespace
		          AND attribute.attnum > 0
		          AND NOT attribute.attisdropped),
		       (SELECT array_agg(class.relname::text ORDER BY class.relname)
		        FROM pg_catalog.pg_class AS class
		        WHERE class.relname IN ('current_object', 'transaction')
		          AND class.relnamespace = 'public'::regnamespace
		          AND class.relkind = 'r')`).Scan(&columns, &tables); err != nil {
		return err
	}
	types := map[string]string{}
	for _, column := range columns {
		name, kind, _ := strings.Cut(column, " ")
		types[name] = kind
	}
	switch {
	case types["prev_tid"] != "":
		d.history = "object_state has a column prev_tid"
	case len(tables) > 0:
		d.history = "there is a table " + tables[0]
	}
	for _, column := range storageColumns {
		name, kind, _ := strings.Cut(column, " ")
		switch types[name] {
		case kind:
		case "":
			d.missing = append(d.missing, name)
		default:
			d.mistyped = append(d.mistyped, fmt.Sprintf("%s is %s, not %s", name, types[name], kind))
		}
	}
	return nil
}

func (d *database) lookAtSchema(ctx context.Context, conn *pgx.Conn) error {
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
		Scan(&d.schema, &d.owned, &d.migrations, &d.superuser, &d.stranger, &planted, &exposed, &d.versioned, &d.occupied); err != nil {
		return err
	}
	if len(planted) == 2 {
		d.planted = finding{planted[0], planted[1]}
	}
	if len(exposed) == 2 {
		d.exposed = finding{exposed[0], exposed[1]}
	}
	if !d.versioned {
		return nil
	}
	if err := conn.QueryRow(ctx, `
		SELECT has_schema_privilege('relpack', 'USAGE')
		       AND has_table_privilege(class.oid, 'SELECT')
		FROM pg_catalog.pg_class AS class
		WHERE class.relnamespace = 'relpack'::regnamespace
		  AND class.relname = 'goose_db_version'`).Scan(&d.mayLook); err != nil || !d.mayLook {
		return err
	}
	if err := conn.QueryRow(ctx, readTampered).Scan(&d.tampered); err != nil || d.tampered != "" || d.trap != nil {
		return err
	}
	return conn.QueryRow(ctx,
		"SELECT coalesce(max(version_id) FILTER (WHERE is_applied), 0), count(*) = 0 FROM "+versionTable).Scan(&d.version, &d.dataless)
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
func (d *database) foreign() bool { return d.schema && !d.versioned && d.occupied }

// String says in a few words what the database holds.
func (d *database) String() string {
	switch {
	case d.major < minServer:
		return "PostgreSQL " + d.server
	case !d.storage && len(d.elsewhere) > 0:
		return "object_state in schema " + strings.Join(d.elsewhere, ", ") + ", none in public"
	case !d.storage:
		return "no table object_state: not a RelStorage database"
	case len(d.mistyped) > 0:
		return "object_state whose " + strings.Join(d.mistyped, ", ")
	case d.history != "":
		return "history-preserving storage (" + d.history + ")"
	case len(d.missing) > 0:
		return "object_state without column " + strings.Join(d.missing, ", ")
	}
	return "history-free storage"
}

// checkSession refuses servers that nothing of relpack works with, and sessions
// in which it must not work.
func (d *database) checkSession() error {
	if d.major < minServer {
		return Refuse("", "the server is PostgreSQL %s: relpack needs %d or newer", d.server, minServer)
	}
	return d.trap
}

// checkStorage refuses databases without a storage that relpack can work on.
func (d *database) checkStorage() error {
	if err := d.checkSession(); err != nil {
		return err
	}
	switch {
	case d.standby:
		return Refuse("Name the primary", "the server is a standby (read-only)")
	case !d.storage && len(d.elsewhere) > 0:
		return Refuse("RelStorage's tables have to be in public",
			"database %s has its table object_state in schema %s and none in public", d.name, strings.Join(d.elsewhere, ", "))
	case !d.storage:
		return Refuse("", "database %s has no table object_state: it is not a RelStorage database", d.name)
	case d.resolved != "":
		return Refuse("RelStorage's tables have to be in public",
			"the settings of this connection take %s in database %s for object_state, relpack packs public.object_state", d.resolved, d.name)
	case len(d.rivals) > 0:
		return Refuse("relpack packs public.object_state: if that is the one the application uses, rename or move the other",
			"database %s has two storages, public.object_state and %s.object_state", d.name, d.rivals[0])
	case len(d.mistyped) > 0:
		return Refuse("zodb-pgjsonb, for one, has a table of this name",
			"public.object_state in database %s is not RelStorage's: its column %s", d.name, strings.Join(d.mistyped, ", "))
	case d.history != "":
		return Refuse("relpack packs history-free storages only; use zodbpack",
			"database %s holds a history-preserving storage (%s)", d.name, d.history)
	case len(d.missing) > 0:
		return Refuse("RelStorage 1.5 or newer made it so",
			"public.object_state in database %s has no column %s", d.name, strings.Join(d.missing, ", "))
	case d.foreign():
		return Refuse("relpack needs this name for itself. "+anew,
			"database %s has a schema relpack that is not of relpack's making", d.name)
	case d.stranger != "" && !d.adoptable():
		return d.strange()
	case d.tampered != "":
		return d.odd()
	case d.hollow():
		return Refuse(restoredEmpty, "the schema relpack of database %s was restored without its data", d.name)
	case d.publisher != "":
		return Refuse("Publish with FOR TABLES IN SCHEMA public instead",
			"the publication %s of database %s includes relpack's tables, which stops its subscribers", quoteName(d.publisher), d.name)
	}
	return nil
}

// adoptable tells whether an empty schema that this role may give away was made
// for relpack, by itself or by a superuser.
func (d *database) adoptable() bool {
	return !d.versioned && !d.occupied && d.owned && (d.superuser || d.migrations == d.role)
}

// anew is what helps where somebody has been at the schema.
const anew = `If you don't know why, look what is in it; "DROP SCHEMA relpack CASCADE" removes it with its triggers, "relpack migrate up" installs it anew`

// hollow tells whether there is all of relpack but no row in goose's table, which
// has one as soon as it is made.
func (d *database) hollow() bool { return d.dataless && d.occupied }

const restoredEmpty = `Run "DROP SCHEMA relpack CASCADE" in psql, then "relpack migrate up"`

// checkOwn refuses a schema in which code of somebody's runs with the rights of its
// owner, or could.
func (d *database) checkOwn() error {
	undo := `"` + d.planted.remedy + `"`
	switch {
	case d.planted.found() && d.exposed.found():
		undo = `Run "relpack migrate up", which takes back the rights that allow it, and ` + undo
		fallthrough
	case d.planted.found():
		return Refuse(undo, "%s: code of somebody else's would run with the rights of %s", d.planted.what, d.migrations)
	case d.exposed.found():
		return Refuse(fmt.Sprintf(`Run "relpack migrate up", which takes it back, or "%s"`, d.exposed.remedy), "%s", d.exposed.what)
	}
	return nil
}

// strange refuses a schema in which somebody else could have code of his own run
// with the rights of whoever migrates or packs.
func (d *database) strange() error {
	hint := anew
	if d.superuser && !d.versioned && !d.occupied {
		hint = fmt.Sprintf(`Let %s run "ALTER SCHEMA relpack OWNER TO %s"`, d.migrations, quoteName(d.owner))
	}
	return Refuse(hint, "%s, but object_state of database %s belongs to %s: so has relpack to", d.stranger, d.name, d.owner)
}

// odd refuses a table of versions that goose didn't make like this.
func (d *database) odd() error {
	return Refuse(anew, "%s of database %s is not as goose makes it: %s", versionTable, d.name, d.tampered)
}

// checkVersion compares the schema's version with that of this relpack.
func (d *database) checkVersion(ctx context.Context, conn querier, files fs.FS) error {
	latest, err := latestMigration(files)
	if err != nil {
		return err
	}
	switch {
	case d.versioned && !d.mayLook:
		return Refuse(fmt.Sprintf("Its owner is %s", d.migrations),
			"role %s may not read the schema relpack of database %s", d.role, d.name)
	case d.version == 0:
		return Refuse(`Run "relpack migrate up"`, "relpack is not installed in database %s", d.name)
	case d.version < latest:
		return Refuse(`Run "relpack migrate up"`,
			"the schema relpack of database %s has version %d, this relpack needs %d", d.name, d.version, latest)
	case d.version > latest:
		return Refuse(newerHint(ctx, conn),
			"this relpack is older than the schema of database %s (version %d, this relpack knows up to %d)", d.name, d.version, latest)
	}
	return nil
}

// newerHint names the relpack that packed last, if the schema still tells so in
// a form that we understand.
func newerHint(ctx context.Context, conn querier) string {
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

// latestMigration is the version that a set of migrations ends at.
func latestMigration(files fs.FS) (int64, error) {
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
