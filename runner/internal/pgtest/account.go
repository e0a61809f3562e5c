package pgtest

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user that the server runs as. PostgreSQL refuses to run as
// root; root runs it as "postgres", or as "nobody" where there is no such user.
type account struct {
	credential *syscall.Credential // nil: the user of this process
}

func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseInt(found.Uid, 10, 64)
		if err != nil {
			return account{}, fmt.Errorf("uid of user %s: %w", name, err)
		}
		gid, err := strconv.ParseInt(found.Gid, 10, 64)
		if err != nil {
			return account{}, fmt.Errorf("gid of user %s: %w", name, err)
		}
		// macOS gives nobody the id -2.
		return account{&syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return account{}, fmt.Errorf("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody to run it as: use another user")
}

// attributes start a program as this account, in a session of its own: Ctrl-C
// in a terminal must reach the tests, and the server only through them.
func (a account) attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: a.credential, Setsid: true}
}

// give makes dir the account's own. Others may pass through to the socket.
func (a account) give(dir string) error {
	if a.credential != nil {
		if err := os.Chown(dir, int(a.credential.Uid), int(a.credential.Gid)); err != nil {
			return fmt.Errorf("give a directory to PostgreSQL's user: %w", err)
		}
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return fmt.Errorf("open a directory to PostgreSQL's clients: %w", err)
	}
	return nil
}

// temporary is the directory for temporary files, or /tmp where the account
// can't reach that: root's TMPDIR is often closed to others.
func (a account) temporary() string {
	if dir := os.TempDir(); a.reaches(dir) {
		return dir
	}
	return "/tmp"
}

// reaches tells whether the account may pass through dir and all above it.
func (a account) reaches(dir string) bool {
	if a.credential == nil {
		return true
	}
	path, err := filepath.Abs(dir)
	for err == nil {
		var info os.FileInfo
		if info, err = os.Stat(path); err == nil && info.Mode()&0o001 == 0 {
			return false
		}
		if path == filepath.Dir(path) {
			break
		}
		path = filepath.Dir(path)
	}
	return err == nil
}
