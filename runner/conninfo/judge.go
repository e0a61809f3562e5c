package conninfo

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// judge refuses what protects the connection and can't be honoured, checks the
// values that pgx would not, and returns notes on what has no effect.
func (s settings) judge() (notes []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if keywords[name].treatment == refused && s[name].value != "" {
			return nil, fmt.Errorf("%s is refused: %s", s.describe(name), refusals[name])
		}
	}
	for _, check := range []func() error{s.checkGSS, s.checkReplication, s.checkMode, s.checkNegotiation, s.checkTimeout} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return s.notes()
}

// checkGSS: pgx has no GSSAPI encryption, so only the modes that do without it
// can be kept.
func (s settings) checkGSS() error {
	switch s["gssencmode"].value {
	case "", "disable", "prefer":
		return nil
	case "require":
		return fmt.Errorf("%s is refused: relpack can't encrypt by GSSAPI; use sslmode=verify-full and gssencmode=disable", s.describe("gssencmode"))
	}
	return fmt.Errorf("%s: expected disable, prefer or require", s.describe("gssencmode"))
}

func (s settings) checkReplication() error {
	switch strings.ToLower(s["replication"].value) {
	case "", "false", "off", "no", "0":
		return nil
	}
	return fmt.Errorf("%s is refused: a replication connection can't pack", s.describe("replication"))
}

func (s settings) checkMode() error {
	switch s["sslmode"].value {
	case "", "disable", "allow", "prefer", "require", "verify-ca", "verify-full":
		return nil
	}
	return fmt.Errorf("%s: expected disable, allow, prefer, require, verify-ca or verify-full", s.describe("sslmode"))
}

// checkNegotiation: libpq refuses direct TLS when sslmode allows plain text; pgx
// would raise or ignore the mode.
func (s settings) checkNegotiation() error {
	switch s["sslnegotiation"].value {
	case "", "postgres":
		return nil
	case "direct":
	default:
		return fmt.Errorf("%s: expected postgres or direct", s.describe("sslnegotiation"))
	}
	switch s["sslmode"].value {
	case "require", "verify-ca", "verify-full":
		return nil
	case "":
		if s["sslrootcert"].value == "system" {
			return nil
		}
	}
	return fmt.Errorf("%s needs sslmode=require, verify-ca or verify-full", s.describe("sslnegotiation"))
}

// checkTimeout makes connect_timeout what pgx understands: seconds, 0 for none.
// libpq takes a negative number as 0.
func (s settings) checkTimeout() error {
	timeout, ok := s["connect_timeout"]
	if !ok {
		return nil
	}
	text := strings.Trim(timeout.value, space)
	if text == "" {
		text = "0"
	}
	seconds, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return fmt.Errorf("%s: expected whole seconds", s.describe("connect_timeout"))
	}
	timeout.value = strconv.FormatInt(max(seconds, 0), 10)
	s["connect_timeout"] = timeout
	return nil
}

func (s settings) notes() (notes []string, err error) {
	switch s["load_balance_hosts"].value {
	case "", "disable":
	case "random":
		notes = append(notes, s.describe("load_balance_hosts")+" is ignored: the hosts are tried in the order written.")
	default:
		return nil, fmt.Errorf("%s: expected disable or random", s.describe("load_balance_hosts"))
	}
	if s["sslkeylogfile"].value != "" {
		notes = append(notes, s.describe("sslkeylogfile")+" is ignored: no TLS keys are written.")
	}
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if strings.HasPrefix(name, "oauth_") && s[name].value != "" {
			notes = append(notes, name+" is ignored: relpack can't log in by OAuth.")
		}
	}
	return notes, nil
}
