package conninfo

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/jackc/pgpassfile"
	"github.com/jackc/pgx/v5"
)

// defaultSocketDirs are what one libpq or another has as the default socket
// directory, which a password file names "localhost".
var defaultSocketDirs = map[string]bool{"/var/run/postgresql": true, "/run/postgresql": true, "/tmp": true, "/private/tmp": true}

// password sets the configuration's password: the one that is set, else the
// password file's (PostgreSQL manual, "The Password File"). As with libpq the
// file counts for nothing when others may read it; a note says so.
//
// pgx has one password for all hosts: the first host's.
func (s settings) password(config *pgx.ConnConfig, endpoints []endpoint) (notes []string, err error) {
	config.Password = s["password"].value
	if config.Password != "" {
		return nil, nil
	}
	path := s["passfile"].value
	if path == "" {
		path = homeFile(".pgpass")
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil // libpq doesn't mind a missing one
	}
	if !info.Mode().IsRegular() {
		return []string{fmt.Sprintf("Password file %s is ignored: it is not a plain file.", path)}, nil
	}
	if info.Mode().Perm()&0o077 != 0 {
		return []string{fmt.Sprintf("Password file %s is ignored: others may read it; chmod 0600 helps.", path)}, nil
	}
	file, err := pgpassfile.ReadPassfile(path)
	if err != nil {
		return nil, fmt.Errorf("read password file: %w", err)
	}
	find := func(e endpoint) string {
		return findPassword(file, e, config)
	}
	config.Password = find(endpoints[0])
	for _, e := range endpoints[1:] {
		if other := find(e); other != "" && other != config.Password {
			return []string{fmt.Sprintf("Password file %s has different passwords for the hosts: the first host's is used for all.", path)}, nil
		}
	}
	return nil, nil
}

func findPassword(file *pgpassfile.Passfile, e endpoint, config *pgx.ConnConfig) string {
	host := e.host
	switch {
	case host == "":
		host = e.addr
	case filepath.IsAbs(host) && defaultSocketDirs[filepath.Clean(host)]:
		host = "localhost"
	}
	if host == "" {
		host = "localhost"
	}
	return file.FindPassword(host, e.port, config.Database, config.User)
}
