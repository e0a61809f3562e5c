package conninfo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// systemServiceFiles is where libpq as packaged by Debian and by PostgreSQL's
// own RPMs looks unless PGSYSCONFDIR says otherwise.
var systemServiceFiles = []string{
	"/etc/postgresql-common/pg_service.conf",
	"/etc/sysconfig/pgsql/pg_service.conf",
}

// addService adds the settings of the service that is asked for, if one is
// (PostgreSQL manual, "The Connection Service File"), and sets servicefile to
// the file that has it.
func (s settings) addService() error {
	service, ok := s["service"]
	if !ok {
		return nil
	}
	user := s["servicefile"].value
	if user == "" {
		user = homeFile(".pg_service.conf")
	}
	system := systemServiceFiles
	if dir := os.Getenv("PGSYSCONFDIR"); dir != "" {
		system = []string{filepath.Join(dir, "pg_service.conf")}
	}
	files := append([]string{user}, system...)
	for _, file := range files {
		found, err := s.readService(file, service.value)
		if err != nil {
			return fmt.Errorf("service %q: %w", service.value, err)
		}
		if found {
			s["servicefile"] = setting{value: file, origin: s["servicefile"].origin}
			return nil
		}
	}
	return fmt.Errorf("service %q is not defined in %s", service.value, strings.Join(files, ", "))
}

// readService adds the settings of one file's section. Errors repeat keywords
// and no values.
func (s settings) readService(file, service string) (found bool, err error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || file == "" {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	within := false
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		at := fmt.Sprintf("%s:%d", file, i+1)
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			within = line == "["+service+"]"
			if within && found {
				return false, fmt.Errorf("%s: the service is defined a second time", at)
			}
			found = found || within
		case within:
			if err := s.addServiceLine(line, file); err != nil {
				return false, fmt.Errorf("%s: %w", at, err)
			}
		}
	}
	return found, nil
}

func (s settings) addServiceLine(line, file string) error {
	if strings.HasPrefix(line, "ldap://") {
		return errors.New("relpack can't look services up in LDAP")
	}
	name, value, ok := strings.Cut(line, "=")
	if !ok {
		return errors.New("not a line of the form keyword=value")
	}
	name = strings.TrimSpace(name)
	switch _, known := keywords[name]; {
	case !known:
		return unknown(name, "")
	case name == "service" || name == "servicefile":
		return errors.New("a service can't refer to another one")
	}
	s.add(name, setting{value: strings.TrimSpace(value), origin: file})
	return nil
}
