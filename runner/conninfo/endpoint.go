package conninfo

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// An endpoint is one of the servers to try.
type endpoint struct {
	host string // name, address or socket directory; "" is the default
	addr string // hostaddr: what to dial instead of looking host up, or ""
	port string
}

// pgxHost is the host that pgx is told. A socket directory with an address is
// reached by TCP, and only the address is left to name it.
func (e endpoint) pgxHost() string {
	if e.addr != "" && (e.host == "" || filepath.IsAbs(e.host)) {
		return e.addr
	}
	return e.host
}

// endpoints pairs the lists host, hostaddr and port (PostgreSQL manual,
// "Specifying Multiple Hosts").
func (s settings) endpoints() ([]endpoint, error) {
	hosts := strings.Split(s["host"].value, ",")
	addrs := strings.Split(s["hostaddr"].value, ",")
	ports := strings.Split(s["port"].value, ",")
	count := len(hosts)
	if s["hostaddr"].value != "" {
		if s["host"].value != "" && len(hosts) != len(addrs) {
			return nil, fmt.Errorf("host and hostaddr differ in number, %d and %d", len(hosts), len(addrs))
		}
		count = len(addrs)
	}
	if len(ports) != 1 && len(ports) != count {
		return nil, fmt.Errorf("port and host differ in number, %d and %d", len(ports), count)
	}
	endpoints := make([]endpoint, count)
	for i := range endpoints {
		e := endpoint{host: nth(hosts, i), addr: nth(addrs, i)}
		if strings.Contains(e.host, "@") {
			return nil, errors.New("a host has an @ in it: sockets in the abstract namespace can't be reached")
		}
		if e.addr != "" {
			if _, err := netip.ParseAddr(e.addr); err != nil {
				return nil, fmt.Errorf("hostaddr %q is not an IP address", e.addr)
			}
		}
		port, err := parsePort(ports[i%len(ports)])
		if err != nil {
			return nil, err
		}
		e.port = port
		endpoints[i] = e
	}
	return endpoints, nil
}

func nth(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// parsePort checks a port without repeating it: in a malformed URI it may be a
// piece of the password.
func parsePort(text string) (string, error) {
	text = strings.Trim(text, space)
	if text == "" {
		return "5432", nil
	}
	if n, err := strconv.ParseUint(text, 10, 16); err != nil || n == 0 {
		return "", errors.New("port is not a number from 1 to 65535 (in an URI, : in user or password is written %3A)")
	}
	return text, nil
}
