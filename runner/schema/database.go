package schema

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/target"
)

// minServer is the oldest PostgreSQL that relpack works with.
const minServer = 15

// versionTable is goose's.
const versionTable = "relpack.goose_db_version"

// A Database is what a look at the catalogs finds. Looking needs no privilege
// and changes nothing.
type Database struct {
	Name, role string
	Trap       error  // why this session, a superuser's, must touch nothing
	Server     string // the server's version in its own words
	Major      int
	Standby    bool

	Storage   bool     // public.object_state is a table
	elsewhere []string // other schemas with an object_state
	rivals    []string // those of them that have the columns of a storage
	resolved  string   // another relation that the settings of the session take for object_state
	history   string   // by what a history-preserving storage is known; "" for history-free
	half      string   // what such a one lacks
	missing   []string // columns that object_state lacks
	mistyped  []string // columns of another type than RelStorage's
	publisher string   // a publication of relpack's tables, there or to come
	owner     string   // of object_state

	schema     bool    // there is a schema relpack
	Versioned  bool    // with goose's table in it
	occupied   bool    // with other things in it
	owned      bool    // by this role
	MayLook    bool    // this role may read goose's table
	migrations string  // whose they are: the schema's owner
	superuser  bool    // that is one
	stranger   string  // something in the schema that belongs to another role than object_state
	tampered   string  // what goose's table has that goose gives it not
	planted    finding // what somebody has put on a table of relpack's
	exposed    finding // a right by which somebody could
	dataless   bool    // goose's table is empty, as after a restore without its rows
	Version    int64   // of the last migration; 0: relpack is not installed
}

// A finding is what is wrong, and the statement that removes it; or nothing.
type finding struct{ what, remedy string }

func (f finding) found() bool { return f.what != "" }

// LookAt inspects the database of a session.
func LookAt(ctx context.Context, conn *pgx.Conn) (*Database, error) {
	d := &Database{}
	var number int
	var superuser string
	if err := conn.QueryRow(ctx, `
		SELECT current_setting('server_version_num')::int, current_setting('server_version'),
		       pg_is_in_recovery(), current_database(), current_user::text, `+superuserWithin).
		Scan(&number, &d.Server, &d.Standby, &d.Name, &d.role, &superuser); err != nil {
		return nil, fmt.Errorf("inspect the database: %w", err)
	}
	if d.Major = number / 10000; d.Major < minServer {
		return d, nil
	}
	if superuser != "" {
		var err error
		if d.Trap, err = lookForTraps(ctx, conn, superuser); err != nil {
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

func (d *Database) lookAtStorage(ctx context.Context, conn *pgx.Conn, resolved string) error {
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
		Scan(&d.elsewhere, &d.Storage, &d.owner, &d.rivals, &d.resolved, &d.publisher); err != nil || !d.Storage {
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
	switch {
	case d.history == "":
	case types["prev_tid"] != "bigint":
		d.half = "column prev_tid bigint of object_state"
	case !slices.Contains(tables, "current_object"):
		d.half = "table current_object"
	case !slices.Contains(tables, "transaction"):
		d.half = "table transaction"
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

// String says in a few words what the database holds.
func (d *Database) String() string {
	switch {
	case d.Major < minServer:
		return "PostgreSQL " + d.Server
	case !d.Storage && len(d.elsewhere) > 0:
		return "object_state in schema " + strings.Join(d.elsewhere, ", ") + ", none in public"
	case !d.Storage:
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

// CheckSession refuses servers that nothing of relpack works with, and sessions
// in which it must not work.
func (d *Database) CheckSession() error {
	if d.Major < minServer {
		return fault.Refuse("", "the server is PostgreSQL %s: relpack needs %d or newer", d.Server, minServer)
	}
	return d.Trap
}

// CheckStorage refuses databases without a storage that relpack can work on, of
// either kind.
func (d *Database) CheckStorage() error {
	if err := d.CheckSession(); err != nil {
		return err
	}
	if d.Standby {
		return fault.Refuse("Name the primary", "the server is a standby (read-only)")
	}
	if err := d.CheckReadable(); err != nil {
		return err
	}
	if d.publisher != "" {
		return fault.Refuse("Publish with FOR TABLES IN SCHEMA public instead",
			"the publication %s of database %s includes relpack's tables, which stops its subscribers", quoteName(d.publisher), d.Name)
	}
	return nil
}

// CheckReadable refuses databases without a storage that relpack can look at. A standby
// has one.
func (d *Database) CheckReadable() error {
	if err := d.CheckSession(); err != nil {
		return err
	}
	switch {
	case !d.Storage && len(d.elsewhere) > 0:
		return fault.Refuse("RelStorage's tables have to be in public",
			"database %s has its table object_state in schema %s and none in public", d.Name, strings.Join(d.elsewhere, ", "))
	case !d.Storage:
		return fault.Refuse("Name the right one in the file, or with --dsn",
			"database %s has no table object_state: it is not a RelStorage database", d.Name)
	case d.resolved != "":
		return fault.Refuse("RelStorage's tables have to be in public",
			"the settings of this connection take %s in database %s for object_state, relpack packs public.object_state", d.resolved, d.Name)
	case len(d.rivals) > 0:
		return fault.Refuse("relpack packs public.object_state: if that is the one the application uses, rename or move the other",
			"database %s has two storages, public.object_state and %s.object_state", d.Name, d.rivals[0])
	case len(d.mistyped) > 0:
		return fault.Refuse("zodb-pgjsonb, for instance, has a table of this name",
			"public.object_state in database %s is not RelStorage's: its column %s", d.Name, strings.Join(d.mistyped, ", "))
	case d.half != "":
		return fault.Refuse("Restore what is missing, or drop what another storage has left",
			"database %s holds a history-preserving storage (%s) without its %s", d.Name, d.history, d.half)
	case len(d.missing) > 0:
		return fault.Refuse("RelStorage 1.5 and newer create it",
			"public.object_state in database %s has no column %s", d.Name, strings.Join(d.missing, ", "))
	case d.foreign():
		return fault.Refuse("relpack needs this name for itself. "+anew,
			"database %s has a schema relpack that relpack did not create", d.Name)
	case d.stranger != "" && !d.adoptable():
		return d.strange()
	case d.tampered != "":
		return d.odd()
	case d.hollow():
		return fault.Refuse(restoredEmpty, "the schema relpack of database %s was restored without its data", d.Name)
	}
	return nil
}

// KeepsHistory tells whether the storage is a history-preserving one.
func (d *Database) KeepsHistory() bool { return d.history != "" }

// CheckKind refuses a storage that was of the other kind when relpack was installed.
func (d *Database) CheckKind(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SELECT relpack.require_kind($1)", d.KeepsHistory())
	if fault.IsState(err, "42501") { // insufficient_privilege
		return d.MayNotLook("may not look at relpack's tables")
	}
	return fault.Explain(err)
}

// CheckAgrees refuses a storage that keeps history where the configuration says that
// it doesn't, or the other way round. Where that is silent the database decides:
// RelStorage's default, true, says nothing of how the database was made.
func (d *Database) CheckAgrees(t target.Target) error {
	switch {
	case !d.Storage:
	case t.SaysFree != "" && d.history != "":
		return fault.Refuse("Mend the file", "%s: keep-history is false, but database %s holds a history-preserving storage (%s)",
			t.SaysFree, d.Name, d.history)
	case t.SaysKeeps != "" && d.history == "":
		return fault.Refuse("Mend the file, or leave the line out", "%s: keep-history is true, but database %s holds a history-free storage",
			t.SaysKeeps, d.Name)
	}
	return nil
}

// CheckPackable refuses what the configuration keeps from being packed. A storage that
// keeps history is trimmed where its garbage is to stay.
func (d *Database) CheckPackable(t target.Target) error {
	if d.KeepsHistory() && t.KeepsGarbage {
		return t.Migratable()
	}
	return t.Packable()
}

func (d *Database) MayNotLook(what string) error {
	return fault.Refuse(fmt.Sprintf("Let its owner run in psql: SELECT DISTINCT remedy FROM relpack.missing_privilege(%s, only_look => true) \\gexec",
		quoteText(d.role)), "role %s %s", d.role, what)
}
