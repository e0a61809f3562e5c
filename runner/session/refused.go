package session

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"relpack/runner/fault"
	"relpack/runner/target"
)

// unconnected says in plain words why a session could not be opened, and what to do.
func unconnected(t target.Target, config *pgx.ConnConfig, notes []string, err error) error {
	what, hint := denied(t, config, err)
	text := reasons(err)
	if what != "" {
		text = fmt.Sprintf("can't connect: %s (%s)", what, short(config, err, text))
	}
	var network *net.OpError
	switch {
	case t.DSN == "" && t.File == nil:
		hint = "Name a configuration file or --dsn"
	case t.DSN == "":
		hint = "The file has no dsn: write it into <postgresql>"
	case hint == "" && errors.As(err, &network):
		hint = "Look whether the server runs, and whether host and port of " + settingsOf(t) + " are right"
	}
	if len(notes) > 0 {
		hint = strings.TrimSuffix(strings.Join(append(notes, hint), " "), ". ")
	}
	return &fault.Error{Code: fault.ExitFailure, Err: errors.New(text), Hint: hint}
}

// short is what the server said. Of several hosts each may say something else.
func short(config *pgx.ConnConfig, err error, reasons string) string {
	for _, other := range config.Fallbacks {
		if other.Host != config.Host || other.Port != config.Port {
			return reasons
		}
	}
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return server.Error()
	}
	return reasons
}

// denied tells what the server that was reached does not allow.
func denied(t target.Target, config *pgx.ConnConfig, err error) (what, hint string) {
	in := settingsOf(t)
	switch {
	case config.Password == "" && (fault.IsState(err, "28P01") || strings.Contains(err.Error(), "password")):
		hint = "No password was given: put it into ~/.pgpass or into a service file"
		if t.DSNAt != "" {
			hint = "No password was given: put it into ~/.pgpass, into a service file, or into " + in
		}
		return fmt.Sprintf("role %q needs a password", config.User), hint
	case fault.IsState(err, "28P01"): // invalid_password
		return fmt.Sprintf("the server does not take the password of role %q", config.User),
			"Correct user or password in " + in + "; if the password is not there, in PGPASSWORD, the service file or ~/.pgpass"
	case fault.IsState(err, "28000"): // invalid_authorization_specification
		return fmt.Sprintf("the server does not let role %q in", config.User),
			"Correct user in " + in + ", or let the server's pg_hba.conf allow it"
	case fault.IsState(err, "3D000"): // invalid_catalog_name
		hint = "Correct dbname in " + in
		if config.Database == config.User {
			hint += "; where that has none, the name of the role is taken"
		}
		return fmt.Sprintf("the server has no database %q", config.Database), hint
	case fault.IsState(err, "42501"): // insufficient_privilege
		return fmt.Sprintf("role %q may not connect to database %q", config.User, config.Database),
			fmt.Sprintf("Let its owner run: GRANT CONNECT ON DATABASE %s TO %s", pgx.Identifier{config.Database}.Sanitize(), pgx.Identifier{config.User}.Sanitize())
	case fault.IsState(err, "53300"): // too_many_connections
		return "the server has no connection left", "Try again later; relpack needs six at most"
	}
	return "", ""
}

// settingsOf says where the connection settings of a target are.
func settingsOf(t target.Target) string {
	switch {
	case t.DSNAt != "":
		return "the dsn (" + t.DSNAt + ")"
	case t.DSN != "":
		return "--dsn"
	}
	return "the environment"
}
