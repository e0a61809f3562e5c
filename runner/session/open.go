package session

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/tracelog"

	"relpack/runner/conninfo"
	"relpack/runner/fault"
	"relpack/runner/target"
)

// Open opens a session on the target's database. Its application_name is
// "relpack " and what it is for. Connection poolers that lend sessions are
// refused.
func Open(ctx context.Context, t target.Target, purpose string, log *slog.Logger) (*pgx.Conn, error) {
	config, notes, err := conninfo.Parse(t.DSN)
	if err != nil {
		if t.DSNAt != "" {
			err = fmt.Errorf("%s: %w", t.DSNAt, err)
		}
		return nil, &fault.Error{Code: fault.ExitFailure, Err: err}
	}
	for _, note := range notes {
		log.Debug(note)
	}
	config.RuntimeParams["application_name"] = "relpack " + purpose
	// Most statements run once: prepared first, each would go there and back twice.
	// What they yield comes as text.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		switch n.Severity {
		case "WARNING":
			log.Warn(n.Message)
		case "INFO":
			log.Info(n.Message)
		}
	}
	config.BuildFrontend = buffered
	config.Tracer = &tracelog.TraceLog{Logger: statementLog{log}, LogLevel: tracelog.LogLevelInfo}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, unconnected(t, config, notes, err)
	}
	if err := checkPooler(ctx, conn); err != nil {
		Close(conn)
		return nil, err
	}
	if err := SetUp(ctx, conn); err != nil {
		Close(conn)
		return nil, err
	}
	return conn, nil
}

// reasons has each reason once: a name that can't be resolved comes twice. That a server has no TLS, where a try without it
// followed, is none.
func reasons(err error) string {
	var told []string
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		known := func(reason string) bool { return strings.HasSuffix(reason, fault.OneLine(line)) }
		if !slices.ContainsFunc(told, known) &&
			(i == len(lines)-1 || !strings.Contains(line, "server refused TLS connection")) {
			told = append(told, fault.OneLine(line))
		}
	}
	return strings.Replace(strings.Join(told, " "), "failed to connect to ", "can't connect to ", 1)
}

// readBuffer is how much a session reads at once. The server sends 8 KiB at a
// time: while states are decoded there is more to read, and to take it with one
// call made a scan of a million objects 8 % faster.
const readBuffer = 256 << 10

func buffered(r io.Reader, w io.Writer) *pgproto3.Frontend {
	return pgproto3.NewFrontend(bufio.NewReaderSize(r, readBuffer), w)
}

// statementLog prints every statement so that it can be pasted into psql.
type statementLog struct{ log *slog.Logger }

// Log is part of tracelog.Logger.
func (s statementLog) Log(ctx context.Context, _ tracelog.LogLevel, msg string, data map[string]any) {
	if msg != "Query" && msg != "CopyFrom" {
		return
	}
	attrs := []slog.Attr{}
	args, _ := data["args"].([]any)
	if len(args) > 0 {
		if _, how := args[0].(pgx.QueryExecMode); how { // it comes before $1
			args = args[1:]
		}
	}
	if len(args) > 0 {
		attrs = append(attrs, slog.Any("args", args))
	}
	if took, ok := data["time"]; ok {
		attrs = append(attrs, slog.Any("time", took))
	}
	s.log.LogAttrs(ctx, slog.LevelDebug, fmt.Sprint(data["sql"]), attrs...)
}
