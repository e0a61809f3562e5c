package session

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
)

// Settings are what all of relpack's sessions depend on, whatever the
// server, the database, the role or the connection string has set for
// applications. Versions of PostgreSQL that don't know one go without.
var Settings = [][2]string{
	// What a literal and a value mean.
	{"standard_conforming_strings", "on"}, {"array_nulls", "on"}, {"transform_null_equals", "off"},
	{"quote_all_identifiers", "off"}, {"backslash_quote", "safe_encoding"}, {"check_function_bodies", "on"},
	{"plpgsql.extra_errors", "none"}, {"plpgsql.extra_warnings", "none"},
	// Values are printed as they are read.
	{"DateStyle", "ISO, MDY"}, {"IntervalStyle", "postgres"}, {"bytea_output", "hex"}, {"extra_float_digits", "1"},
	{"client_min_messages", "notice"}, {"exit_on_error", "off"},
	// What a transaction is.
	{"default_transaction_isolation", "read committed"}, {"default_transaction_read_only", "off"},
	{"default_transaction_deferrable", "off"},
	// Time limits for applications would end a session in the middle of honest
	// work, or while it holds the pack lock for others.
	{"statement_timeout", "0"}, {"lock_timeout", "0"}, {"idle_session_timeout", "0"},
	{"idle_in_transaction_session_timeout", "0"}, {"transaction_timeout", "0"},
	// A policy is looked for (relpack.require_storage), which says more than an
	// error of the server.
	{"row_security", "on"},
	// Triggers and foreign keys do what they do for the application.
	{"session_replication_role", "origin"},
	// Plans. JIT would compile for longer than most statements run.
	{"jit", "off"}, {"geqo", "on"}, {"constraint_exclusion", "partition"}, {"cursor_tuple_fraction", "0.1"},
	{"from_collapse_limit", "8"}, {"join_collapse_limit", "8"},
	{"force_parallel_mode", "off"}, {"debug_parallel_query", "off"}, {"parallel_leader_participation", "on"},
	{"enable_async_append", "on"}, {"enable_bitmapscan", "on"}, {"enable_distinct_reordering", "on"},
	{"enable_gathermerge", "on"}, {"enable_group_by_reordering", "on"}, {"enable_hashagg", "on"},
	{"enable_hashjoin", "on"}, {"enable_incremental_sort", "on"}, {"enable_indexonlyscan", "on"},
	{"enable_indexscan", "on"}, {"enable_material", "on"}, {"enable_memoize", "on"}, {"enable_mergejoin", "on"},
	{"enable_nestloop", "on"}, {"enable_parallel_append", "on"}, {"enable_parallel_hash", "on"},
	{"enable_partition_pruning", "on"}, {"enable_presorted_aggregate", "on"}, {"enable_self_join_elimination", "on"},
	{"enable_seqscan", "on"}, {"enable_sort", "on"}, {"enable_tidscan", "on"},
}

// ownSettings is SQL that makes these settings. The path comes first: it keeps
// functions and operators that somebody put into public from being taken for
// the server's own, which would run with this role's rights. None of it is a
// start-up parameter, which poolers refuse, and what is as it should be is left
// alone: not every role may set everything. The lock, which all sessions share,
// tells them from the application's: see relpack.own_session.
var ownSettings = func() string {
	var rows []string
	for _, s := range Settings {
		rows = append(rows, fmt.Sprintf("('%s', '%s')", s[0], s[1]))
	}
	return `SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
		SELECT set_config(name, value, false)
		FROM (VALUES ` + strings.Join(rows, ", ") + `) AS own (name, value)
		WHERE current_setting(name, true) <> value;
		SELECT pg_advisory_lock_shared(1919249520, 3);
		` + commitHere
}()

// commitHere keeps a standby that has gone away from holding up relpack, and the
// site with it. It gets all commits in their order; what must have got there,
// before a blob file goes, is waited for by makeDurable.
const commitHere = `SELECT set_config('synchronous_commit', 'local', false)
		WHERE current_setting('synchronous_commit') NOT IN ('off', 'local')`

// SetUp makes a session one of relpack's.
func SetUp(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, ownSettings)
	if fault.IsState(err, "42501") {
		return fault.Refuse(`"ALTER ROLE ... RESET", "ALTER DATABASE ... RESET" or the superuser helps`,
			"relpack can't work with what is set for its sessions: %s", fault.OneLine(err.Error()))
	}
	if err != nil {
		return fmt.Errorf("set up session: %w", err)
	}
	return nil
}
