package pgtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// configure appends to postgresql.conf; of several lines for one parameter the
// last counts.
func (s *Server) configure(opts Options) error {
	settings := map[string]string{
		"listen_addresses":          "127.0.0.1",
		"unix_socket_directories":   s.socketDir,
		"shared_buffers":            "128MB",
		"max_connections":           "200", // two packages are tested at a time
		"max_prepared_transactions": "10",
		"max_wal_size":              "2GB",
		"log_line_prefix":           "%m [%p] %q%a %u@%d ",
		"log_lock_waits":            "on",
		"timezone":                  "UTC",
		"log_timezone":              "UTC",
	}
	if !opts.Durable {
		// Not synchronous_commit: a commit must survive StopImmediate.
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
		// relpack's sessions have none; hostile databases have it, see hostile.go.
		settings["jit"] = "off"
	}
	for name, value := range opts.Settings {
		settings[name] = value
	}
	names := make([]string, 0, len(settings))
	for name := range settings {
		names = append(names, name)
	}
	sort.Strings(names)
	var text strings.Builder
	for _, name := range names {
		fmt.Fprintf(&text, "%s = '%s'\n", name, strings.ReplaceAll(settings[name], "'", "''"))
	}
	path := filepath.Join(s.dataDir(), "postgresql.conf")
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("configure a private PostgreSQL: %w", err)
	}
	if _, err := file.WriteString(text.String()); err != nil {
		return fmt.Errorf("configure a private PostgreSQL: write %s: %w", path, errors.Join(err, file.Close()))
	}
	return file.Close()
}

// DSN is the connection string of a database of this server, in the
// keyword/value form that psql, libpq, pgx and relpack understand.
func (s *Server) DSN(database string) string {
	return fmt.Sprintf("host=%s port=%d user=postgres dbname=%s", quote(s.socketDir), s.port, quote(database))
}

// TCPDSN is DSN over 127.0.0.1 instead of the socket.
func (s *Server) TCPDSN(database string) string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=%s", s.port, quote(database))
}

// quote writes a value of a connection string.
func quote(value string) string {
	if value != "" && !strings.ContainsAny(value, ` '\`) {
		return value
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}
