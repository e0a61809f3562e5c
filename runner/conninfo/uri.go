package conninfo

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// uriRest returns what follows the scheme if dsn is a connection URI.
func uriRest(dsn string) (string, bool) {
	dsn = strings.Trim(dsn, space)
	for _, scheme := range []string{"postgresql://", "postgres://"} {
		if rest, ok := strings.CutPrefix(dsn, scheme); ok {
			return rest, true
		}
	}
	return "", false
}

// parseURI reads what follows "postgresql://" (PostgreSQL manual, "Connection
// URIs"):
//
//	[user[:password]@][host][:port][,...][/dbname][?keyword=value[&...]]
//
// Every part may be percent-encoded. Errors repeat none of it but keywords: an
// @, / or : that is not encoded makes a password look like a host or a port.
func parseURI(rest string) (map[string]string, error) {
	values := map[string]string{}
	set := func(name, encoded string) error {
		if encoded == "" {
			return nil
		}
		value, err := decode(encoded)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		values[name] = value
		return nil
	}
	hasUser := false
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		hasUser = true
		user, password, _ := strings.Cut(rest[:i], ":")
		if err := set("user", user); err != nil {
			return nil, err
		}
		if err := set("password", password); err != nil {
			return nil, err
		}
		rest = rest[i+1:]
	}
	rest, query, hasQuery := strings.Cut(rest, "?")
	authority, dbname, _ := strings.Cut(rest, "/")
	if strings.Contains(authority, "@") || !hasUser && strings.Contains(dbname, "@") {
		return nil, errors.New("more than one @, or a / before it: in user and password write @ as %40, / as %2F and : as %3A")
	}
	hosts, ports, err := splitAuthority(authority)
	if err != nil {
		return nil, err
	}
	for _, part := range [][2]string{{"host", hosts}, {"port", ports}, {"dbname", dbname}} {
		if err := set(part[0], part[1]); err != nil {
			return nil, err
		}
	}
	if hasQuery {
		if err := parseQuery(query, values); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// splitAuthority splits host:port,host:port into two lists. An IPv6 address
// stands in brackets.
func splitAuthority(authority string) (hosts, ports string, err error) {
	var hostList, portList []string
	for _, part := range strings.Split(authority, ",") {
		host, port := part, ""
		if after, ok := strings.CutPrefix(part, "["); ok {
			address, tail, closed := strings.Cut(after, "]")
			if !closed || address == "" || tail != "" && tail[0] != ':' {
				return "", "", errors.New("an IPv6 address in brackets is not closed, is empty or is followed by something else than a port")
			}
			host, port = address, strings.TrimPrefix(tail, ":")
		} else {
			host, port, _ = strings.Cut(part, ":")
		}
		hostList, portList = append(hostList, host), append(portList, port)
	}
	return strings.Join(hostList, ","), strings.Join(portList, ","), nil
}

// parseQuery reads keyword=value&... over what the URI said before.
func parseQuery(query string, values map[string]string) error {
	previous := ""
	if query == "" {
		return nil
	}
	for _, part := range strings.Split(query, "&") {
		encodedName, encoded, ok := strings.Cut(part, "=")
		if !ok || strings.Contains(encoded, "=") {
			return errors.New("the query needs exactly one = in each parameter: write others as %3D")
		}
		name, err := decode(encodedName)
		if err != nil {
			return fmt.Errorf("a keyword of the query: %w", err)
		}
		if name == "ssl" && encoded == "true" { // as JDBC writes it
			name, encoded = "sslmode", "require"
		}
		if _, known := keywords[name]; !known {
			return unknown(name, previous)
		}
		value, err := decode(encoded)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		values[name], previous = value, name
	}
	return nil
}

// decode undoes percent-encoding; + stands for itself.
func decode(encoded string) (string, error) {
	value, err := url.PathUnescape(encoded)
	if err != nil {
		return "", errors.New("a % that is not followed by two hexadecimal digits: write it as %25")
	}
	if strings.ContainsRune(value, 0) {
		return "", errors.New("has a NUL byte (%00) in it")
	}
	return value, nil
}
