// Package conninfo turns libpq connection strings into pgx configurations.
//
// pgx sends every keyword that it doesn't know to the server, which refuses the
// connection. RelStorage's DSNs were written for libpq, so each keyword of the
// PostgreSQL 15 to 18 manuals ("Parameter Key Words", chapter "libpq") is dealt
// with here: given to pgx, translated, ignored where it can't matter to a
// packer, or refused by name where it protects the connection and pgx can't
// honour it. The environment (PGHOST, PGSSLMODE, ...), the service file and the
// password file count as with libpq, and the same rules hold for them.
//
// No error repeats a password. The configuration's ConnString holds none either.
package conninfo

import (
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Parse reads a libpq connection string in keyword/value or URI form; what it
// leaves open comes from the service file, the environment and libpq's defaults,
// in that order. An empty string is all defaults.
//
// The notes name settings that have no effect, one sentence each, where the
// operator may want to know. RuntimeParams has an application_name only if the
// string, the service or PGAPPNAME sets one (fallback_application_name does
// not), and a client_encoding that is always UTF8, for pgx understands no other.
//
// Unknown keywords, malformed strings, unusable values and refused settings are
// errors, as are certificate and service files that can't be read.
func Parse(dsn string) (config *pgx.ConnConfig, notes []string, err error) {
	s, err := gather(dsn)
	if err != nil {
		return nil, nil, fmt.Errorf("connection string: %w", err)
	}
	config, notes, err = s.configure()
	if err != nil {
		return nil, nil, fmt.Errorf("connection settings: %w", err)
	}
	return config, notes, nil
}

// configure judges the settings and builds the configuration.
func (s settings) configure() (*pgx.ConnConfig, []string, error) {
	notes, err := s.judge()
	if err != nil {
		return nil, nil, err
	}
	endpoints, err := s.endpoints()
	if err != nil {
		return nil, nil, err
	}
	trust, err := s.rootCertificate()
	if err != nil {
		return nil, nil, err
	}
	var config *pgx.ConnConfig
	for _, e := range endpoints {
		one, err := s.toPgx(e, trust)
		if err != nil {
			return nil, nil, err
		}
		if config == nil {
			config = one
			continue
		}
		config.Fallbacks = append(config.Fallbacks, attempts(one)...)
	}
	if err := s.secure(config); err != nil {
		return nil, nil, err
	}
	s.runtimeParams(config)
	if config.Database == "" {
		config.Database = config.User // libpq's default; pgx leaves it to the server
	}
	passNote, err := s.password(config, endpoints)
	if err != nil {
		return nil, nil, err
	}
	return config, append(append(notes, trust.notes...), passNote...), nil
}

// toPgx lets pgx read the settings for one endpoint. pgx makes one or two
// attempts of it (sslmode prefer and allow); they are given the address to dial
// while TLS goes on to expect the host's name.
func (s settings) toPgx(e endpoint, trust rootCertificate) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(s.render(e, trust))
	if err != nil {
		return nil, withoutConnString(err)
	}
	if e.addr != "" {
		config.Host = e.addr
		for _, f := range config.Fallbacks {
			f.Host = e.addr
		}
	}
	return config, nil
}

// attempts lists what a configuration tries, as fallbacks of another one.
func attempts(config *pgx.ConnConfig) []*pgconn.FallbackConfig {
	first := &pgconn.FallbackConfig{Host: config.Host, Port: config.Port, TLSConfig: config.TLSConfig}
	return append([]*pgconn.FallbackConfig{first}, config.Fallbacks...)
}

// tlsConfigs returns the TLS settings of all attempts that use TLS.
func tlsConfigs(config *pgx.ConnConfig) []*tls.Config {
	var all []*tls.Config
	for _, a := range attempts(config) {
		if a.TLSConfig != nil {
			all = append(all, a.TLSConfig)
		}
	}
	return all
}

// runtimeParams keeps the session settings that libpq sends too. pgx adds
// whatever else a service file holds; PGTZ it reads by itself.
func (s settings) runtimeParams(config *pgx.ConnConfig) {
	params := map[string]string{"client_encoding": "UTF8"}
	for _, name := range []string{"application_name", "options", "timezone"} {
		if value := config.RuntimeParams[name]; value != "" {
			params[name] = value
		}
	}
	config.RuntimeParams = params
}

// withoutConnString drops the string that pgx's error repeats: it is not the one
// the operator wrote.
func withoutConnString(err error) error {
	var parse *pgconn.ParseConfigError
	if !errors.As(err, &parse) {
		return err
	}
	text := err.Error()
	if prefix := "cannot parse `" + parse.ConnString + "`: "; len(text) > len(prefix) && text[:len(prefix)] == prefix {
		return &pgxError{text: text[len(prefix):], err: errors.Unwrap(parse)}
	}
	if cause := errors.Unwrap(parse); cause != nil {
		return cause
	}
	return errors.New("pgx can't use them")
}

// A pgxError is a message of pgx, shortened, with its cause.
type pgxError struct {
	text string
	err  error
}

func (e *pgxError) Error() string { return e.text }
func (e *pgxError) Unwrap() error { return e.err }
