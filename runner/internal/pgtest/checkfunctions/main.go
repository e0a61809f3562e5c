// Command checkfunctions runs the extension plpgsql_check over every PL/pgSQL
// function and procedure of the schema relpack:
//
//	go run ./runner/internal/pgtest/checkfunctions -- bin/relpack migrate up --dsn
//
// It makes a database with an empty RelStorage storage on the server of
// RELPACK_TEST_DSN, installs relpack there by the given command, to which it
// adds the database's connection string, and fails on any error or warning. The
// functions that need the tables of a history-preserving storage are checked in one.
// Notes on performance are printed and don't count.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
)

func main() {
	flag.Parse()
	if err := run(context.Background(), flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "checkfunctions: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, install []string) error {
	server := os.Getenv("RELPACK_TEST_DSN")
	if server == "" || len(install) == 0 {
		return errors.New("needs RELPACK_TEST_DSN and the command that installs relpack")
	}
	return errors.Join(
		checkIn(ctx, server, "history_free", install, zodbtest.CreateStorage, "NOT "+history),
		checkIn(ctx, server, "history_preserving", install, zodbtest.CreateHistory, history))
}

// history tells which functions need a history-preserving storage.
const history = `(proname LIKE 'trim\_%' OR proname = 'trigger_rewrite' OR prosrc ~ 'public\.(current_object|transaction)\y')`

type create func(context.Context, *pgx.Conn, zodbtest.Version) error

// checkIn checks some of the functions in a database with a storage of one kind.
func checkIn(ctx context.Context, server, kind string, install []string, create create, which string) (err error) {
	db, drop, err := pgtest.CreateDatabase(ctx, server, fmt.Sprintf("checkfunctions_%s_%d", kind, os.Getpid()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop(ctx)) }()
	conn, err := pgx.Connect(ctx, db.DSN)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	if err := create(ctx, conn, zodbtest.V42); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, install[0], append(slices.Clone(install[1:]), db.DSN)...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s: %w", cmd, err)
	}
	if _, err := conn.Exec(ctx, "CREATE EXTENSION plpgsql_check"); err != nil {
		return fmt.Errorf("load the extension plpgsql_check (on Debian in package postgresql-NN-plpgsql-check): %w", err)
	}
	return check(ctx, conn, which)
}

// A trigger's function is checked once for each trigger, with its table and the
// names of its transition tables; one that no trigger calls is a finding.
const findings = `
WITH routine AS (
    SELECT p.oid, p.prorettype = 'trigger'::regtype AS for_trigger
    FROM pg_proc AS p
        JOIN pg_language AS l ON l.oid = p.prolang
    WHERE p.pronamespace = 'relpack'::regnamespace
        AND l.lanname = 'plpgsql' AND %s
), checked AS (
    SELECT routine.oid, routine.for_trigger, t.tgrelid, t.tgoldtable, t.tgnewtable
    FROM routine
        LEFT JOIN pg_trigger AS t ON t.tgfoid = routine.oid AND routine.for_trigger
)
SELECT checked.oid::regprocedure::text AS routine,
    f.level,
    concat_ws(': ', 'line ' || f.lineno, f.statement, f.sqlstate, f.message, f.detail, f.hint, f.query) AS finding
FROM checked
    CROSS JOIN LATERAL plpgsql_check_function_tb(
        checked.oid,
        relid => coalesce(checked.tgrelid, 0),
        oldtable => checked.tgoldtable,
        newtable => checked.tgnewtable,
        fatal_errors => false,
        performance_warnings => true,
        extra_warnings => true,
        security_warnings => true
    ) AS f
WHERE NOT checked.for_trigger OR checked.tgrelid IS NOT NULL
UNION ALL
SELECT oid::regprocedure::text, 'error', 'no trigger calls this function: it can''t be checked'
FROM checked
WHERE for_trigger AND tgrelid IS NULL
ORDER BY 1, 3`

func check(ctx context.Context, conn *pgx.Conn, which string) error {
	var routines, bad int
	err := conn.QueryRow(ctx, `
		SELECT count(*)
		FROM pg_proc AS p
			JOIN pg_language AS l ON l.oid = p.prolang
		WHERE p.pronamespace = 'relpack'::regnamespace AND l.lanname = 'plpgsql' AND `+which).Scan(&routines)
	if err != nil {
		return fmt.Errorf("count the functions: %w", err)
	}
	if routines == 0 {
		return errors.New("schema relpack holds no PL/pgSQL function")
	}
	rows, err := conn.Query(ctx, fmt.Sprintf(findings, which))
	if err != nil {
		return fmt.Errorf("check the functions: %w", err)
	}
	var routine, level, finding string
	if _, err := pgx.ForEachRow(rows, []any{&routine, &level, &finding}, func() error {
		fmt.Printf("%s: %s: %s\n", routine, level, finding)
		if level != "performance" {
			bad++
		}
		return nil
	}); err != nil {
		return fmt.Errorf("check the functions: %w", err)
	}
	if bad > 0 {
		return fmt.Errorf("%d findings in %d functions", bad, routines)
	}
	fmt.Printf("%d functions, nothing found\n", routines)
	return nil
}
