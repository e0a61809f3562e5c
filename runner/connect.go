package runner

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/tracelog"

	"relpack/runner/conninfo"
)

// Connect opens a session on the target's database. Its application_name is
// "relpack " and what it is for. Connection poolers that lend sessions are
// refused.
func Connect(ctx context.Context, t Target, purpose string, log *slog.Logger) (*pgx.Conn, error) {
	config, notes, err := conninfo.Parse(t.DSN)
	if err != nil {
		return nil, &Error{Code: ExitFailure, Err: err}
	}
	for _, note := range notes {
		log.Debug(note)
	}
	// The cap of the pack time tells our own sessions by this name.
	config.RuntimeParams["application_name"] = "relpack " + purpose
	// Most statements run once: prepared first, each would go there and back twice.
	// What they yield comes as text.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.Severity == "WARNING" {
			log.Warn(n.Message)
		}
	}
	config.BuildFrontend = buffered
	config.Tracer = &tracelog.TraceLog{Logger: statementLog{log}, LogLevel: tracelog.LogLevelInfo}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, &Error{Code: ExitFailure, Err: fmt.Errorf("connect: %s", oneLine(err.Error()))}
	}
	if err := checkPooler(ctx, conn); err != nil {
		closeSession(conn)
		return nil, err
	}
	if _, err := conn.Exec(ctx, ownSettings); err != nil {
		closeSession(conn)
		return nil, fmt.Errorf("set up session: %w", err)
	}
	return conn, nil
}

// readBuffer is how much a session reads at once. The server sends 8 KiB at a
// time: while states are decoded there is more to read, and to take it with one
// call made a scan of a million objects 8 % faster.
const readBuffer = 256 << 10

func buffered(r io.Reader, w io.Writer) *pgproto3.Frontend {
	return pgproto3.NewFrontend(bufio.NewReaderSize(r, readBuffer), w)
}

// ownSettings are for every session, whatever the database or the role has set.
const ownSettings = safePath + ";" + noTimeouts + ";" + plainText

// safePath keeps functions and operators that somebody put into public from
// being taken for the server's own: they would run with this role's rights.
// Not a start-up parameter, which poolers refuse.
const safePath = "SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false)"

// noTimeouts frees a session of the time limits that a DBA has set for
// applications: they would end it in the middle of honest work, or while it
// holds the pack lock for others. transaction_timeout came with PostgreSQL 17.
const noTimeouts = `SET statement_timeout = 0; SET lock_timeout = 0; SET idle_session_timeout = 0;
	SET idle_in_transaction_session_timeout = 0;
	SELECT CASE WHEN current_setting('transaction_timeout', true) <> '' THEN set_config('transaction_timeout', '0', false) END`

// plainText has values printed as they are read, whatever a DBA has set for
// people and applications.
const plainText = `SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; SET extra_float_digits = 1`

// statementLog prints every statement so that it can be pasted into psql.
type statementLog struct{ log *slog.Logger }

// Log is part of tracelog.Logger.
func (s statementLog) Log(ctx context.Context, _ tracelog.LogLevel, msg string, data map[string]any) {
	if msg != "Query" && msg != "CopyFrom" {
		return
	}
	attrs := []slog.Attr{}
	if args, ok := data["args"].([]any); ok && len(args) > 0 {
		attrs = append(attrs, slog.Any("args", args))
	}
	if took, ok := data["time"]; ok {
		attrs = append(attrs, slog.Any("time", took))
	}
	s.log.LogAttrs(ctx, slog.LevelDebug, fmt.Sprint(data["sql"]), attrs...)
}

func oneLine(text string) string {
	return strings.Join(strings.Fields(text), " ")
}
