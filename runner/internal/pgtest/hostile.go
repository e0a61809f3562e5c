package pgtest

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
)

// hostile is what a DBA could set for the applications of a database, each on
// its own for some reason: with RELPACK_HOSTILE=1 all of it is set in each
// database of a test, whose own sessions do without.
var hostile = []struct{ name, value, own string }{
	{"standard_conforming_strings", "off", "on"}, {"escape_string_warning", "off", "on"}, {"array_nulls", "off", "on"},
	{"transform_null_equals", "on", "off"}, {"quote_all_identifiers", "on", "off"}, {"backslash_quote", "off", "safe_encoding"},
	{"check_function_bodies", "off", "on"},
	{"DateStyle", "SQL, DMY", "ISO, MDY"}, {"IntervalStyle", "sql_standard", "postgres"}, {"TimeZone", "Asia/Kathmandu", "UTC"},
	{"bytea_output", "escape", "hex"}, {"extra_float_digits", "-15", "1"}, {"client_min_messages", "error", "notice"},
	{"exit_on_error", "on", "off"}, {"xmloption", "document", "content"},
	{"default_transaction_isolation", "serializable", "read committed"}, {"default_transaction_read_only", "on", "off"},
	{"default_transaction_deferrable", "on", "off"}, {"session_replication_role", "replica", "origin"},
	{"statement_timeout", "2s", "0"}, {"lock_timeout", "1ms", "0"}, {"idle_in_transaction_session_timeout", "1s", "0"},
	{"idle_session_timeout", "2s", "0"}, {"row_security", "off", "on"}, {"track_activities", "off", "on"},
	{"search_path", "public", `"$user", public`}, {"synchronous_commit", "off", "off"},
	{"jit", "on", "off"}, {"jit_above_cost", "0", "100000"}, {"jit_inline_above_cost", "0", "500000"},
	{"geqo_threshold", "2", "12"}, {"from_collapse_limit", "1", "8"}, {"join_collapse_limit", "1", "8"},
	{"constraint_exclusion", "on", "partition"}, {"cursor_tuple_fraction", "1", "0.1"}, {"work_mem", "64kB", "4MB"},
	{"plan_cache_mode", "force_generic_plan", "auto"}, {"enable_bitmapscan", "off", "on"}, {"enable_gathermerge", "off", "on"},
	{"enable_hashagg", "off", "on"}, {"enable_hashjoin", "off", "on"}, {"enable_incremental_sort", "off", "on"},
	{"enable_indexonlyscan", "off", "on"}, {"enable_indexscan", "off", "on"}, {"enable_material", "off", "on"},
	{"enable_memoize", "off", "on"}, {"enable_mergejoin", "off", "on"}, {"enable_nestloop", "off", "on"},
	{"enable_seqscan", "off", "on"}, {"enable_sort", "off", "on"}, {"enable_tidscan", "off", "on"},
	{"parallel_leader_participation", "off", "on"}, {"default_statistics_target", "1", "100"},
	{"vacuum_cost_delay", "1", "0"}, {"maintenance_work_mem", "1MB", "64MB"},
}

func isHostile() bool { return os.Getenv("RELPACK_HOSTILE") != "" }

// beHostile sets all that in a database.
func (s *suite) beHostile(ctx context.Context, name string) error {
	for _, h := range hostile {
		value := "'" + h.value + "'"
		if h.name == "search_path" {
			value = h.value
		}
		if err := s.exec(ctx, fmt.Sprintf("ALTER DATABASE %s SET %s = %s", identifier(name), h.name, value)); err != nil {
			return err
		}
	}
	return nil
}

// Connect opens a session of an application, which knows how to live with what
// RELPACK_HOSTILE sets.
func Connect(ctx context.Context, dsn string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	if isHostile() {
		for _, h := range hostile {
			config.RuntimeParams[h.name] = h.own
		}
	}
	return pgx.ConnectConfig(ctx, config)
}

// Environ is the environment of a program of PostgreSQL's that is such an
// application.
func Environ() []string {
	env := os.Environ()
	if !isHostile() {
		return env
	}
	var options strings.Builder
	for _, h := range hostile {
		value := strings.NewReplacer(`\`, `\\`, " ", `\ `).Replace(h.own)
		fmt.Fprintf(&options, "-c %s=%s ", h.name, value)
	}
	return append(env, "PGOPTIONS="+options.String())
}
