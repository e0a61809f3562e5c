package conninfo

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A setting is a value and where it comes from: "" is the connection string.
type setting struct {
	value  string
	origin string
}

// settings are by keyword. A keyword that is absent was set nowhere.
type settings map[string]setting

// gather merges connection string, service file and environment; the earlier
// wins (PostgreSQL manual, "The Connection Service File").
func gather(dsn string) (settings, error) {
	parse := parseKeyValue
	if rest, ok := uriRest(dsn); ok {
		dsn, parse = rest, parseURI
	}
	own, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	s := settings{}
	for name, value := range own {
		s[name] = setting{value: value}
	}
	env := environment()
	for _, name := range []string{"service", "servicefile"} {
		if value, ok := env[name]; ok {
			s.add(name, value)
		}
	}
	if err := s.addService(); err != nil {
		return nil, err
	}
	for name, value := range env {
		s.add(name, value)
	}
	return s, nil
}

// add sets a keyword that is not set yet.
func (s settings) add(name string, value setting) {
	if _, ok := s[name]; !ok {
		s[name] = value
	}
}

// environment reads the variables of libpq. Empty ones count as not set.
func environment() settings {
	s := settings{}
	for name, k := range keywords {
		if k.env == "" {
			continue
		}
		if value := os.Getenv(k.env); value != "" {
			s[name] = setting{value: value, origin: k.env}
		}
	}
	return s
}

// describe shows a setting in a message; secrets without their value.
func (s settings) describe(name string) string {
	text := name
	if !secret(name) {
		text = fmt.Sprintf("%s=%s", name, s[name].value)
	}
	if origin := s[name].origin; origin != "" {
		text += " (from " + origin + ")"
	}
	return text
}

// render writes the settings as a connection string for pgx. It names every
// setting that pgx would otherwise take from the environment, and no secret.
func (s settings) render(e endpoint, trust rootCertificate) string {
	values := map[string]string{
		"host": e.pgxHost(), "port": e.port,
		"sslrootcert": trust.file,
		"passfile":    "", // password reads it: pgx knows one host only
		"sslcert":     "", // secure does
		"sslkey":      "",
	}
	for name, k := range keywords {
		if value, ok := s[name]; ok && k.treatment == given {
			values[name] = value.value
		}
	}
	if timeout, ok := s["connect_timeout"]; ok {
		values["connect_timeout"] = timeout.value
	}
	if service, ok := s["service"]; ok {
		values["service"], values["servicefile"] = service.value, s["servicefile"].value
	}
	var out strings.Builder
	escape := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&out, "%s='%s' ", name, escape.Replace(values[name]))
	}
	return out.String()
}

// homeFile is a file in the home directory that libpq looks for, "" without one.
func homeFile(elements ...string) string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(append([]string{home}, elements...)...)
}
