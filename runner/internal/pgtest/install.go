package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// A packager installs PostgreSQL's server programs with a system's package
// manager.
type packager struct {
	command string // the package manager; its presence on PATH selects it
	script  string // what to run, by sh
	advice  string // what a person would run instead
	asRoot  bool   // needs root; Homebrew refuses root
}

// On Debian and Ubuntu the package creates and starts a cluster "main" of its
// own, which nobody asked for here. A file in createcluster.d, there only while
// the installation lasts, prevents that and leaves the system's configuration
// as it was. The newest packaged version is taken: Ubuntu 22.04 has 14 unless
// the archive of postgresql.org was added.
const debianScript = `
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get -o Acquire::Retries=5 update -qq
package=$(apt-cache search --names-only '^postgresql-[0-9]+$' | cut -d' ' -f1 | sort -t- -k2 -n | tail -n 1)
test -n "$package" || { echo "apt-get knows no package postgresql-NN" >&2; exit 1; }
conf=/etc/postgresql-common/createcluster.d/relpack-private-server.conf
mkdir -p "${conf%/*}"
trap 'rm -f "$conf"; dpkg -S "${conf%/*}" >/dev/null 2>&1 || rmdir "${conf%/*}" 2>/dev/null || true' EXIT
echo 'create_main_cluster = false' >"$conf"
apt-get -o Acquire::Retries=5 -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends "$package"
`

var packagers = []packager{
	{"apt-get", debianScript, "apt-get install postgresql", true},
	{"dnf", "dnf install -y postgresql-server postgresql-contrib", "dnf install postgresql-server postgresql-contrib", true},
	{"apk", "apk add postgresql postgresql-contrib", "apk add postgresql postgresql-contrib", true},
	{"zypper", "zypper --non-interactive install postgresql-server postgresql-contrib", "zypper install postgresql-server postgresql-contrib", true},
	{"pacman", "pacman -Sy --noconfirm postgresql", "pacman -S postgresql", true},
	{"brew", "brew install postgresql@17", "brew install postgresql@17", false},
}

// FindOrInstall is Find; where there is nothing to find it installs PostgreSQL
// with the system's package manager, if this process may, and says so on
// progress first. If it may not, the error says what to install.
func FindOrInstall(ctx context.Context, progress io.Writer) (Programs, error) {
	programs, err := Find(ctx)
	if !errors.Is(err, errNoPrograms) {
		return programs, err
	}
	for _, manager := range packagers {
		if _, lookErr := exec.LookPath(manager.command); lookErr != nil {
			continue
		}
		prefix, ok := elevate(ctx, manager)
		if !ok {
			return Programs{}, fmt.Errorf("%w; this user may not install them: run as root `%s`, or set RELPACK_PGBIN to the directory of initdb, postgres and pg_ctl (version %d or newer)",
				err, manager.advice, MinVersion)
		}
		fmt.Fprintf(progress, "%v: installing them with %s\n", err, manager.command)
		if installErr := runInstall(ctx, manager, prefix, progress); installErr != nil {
			return Programs{}, installErr
		}
		programs, err = Find(ctx)
		if err != nil {
			return Programs{}, fmt.Errorf("after `%s`: %w; relpack needs version %d or newer, which https://www.postgresql.org/download/ has for this system",
				manager.advice, err, MinVersion)
		}
		return programs, nil
	}
	return Programs{}, fmt.Errorf("%w: install PostgreSQL %d or newer (https://www.postgresql.org/download/), or set RELPACK_PGBIN to the directory of initdb, postgres and pg_ctl",
		err, MinVersion)
}

// installExtension installs Debian's and Ubuntu's package of an extension for
// these programs, unless it is there, and says so on progress first. No server
// may be running with them: the package may bring a newer minor version of
// PostgreSQL along, and a running server can't load another one's libraries.
func (p Programs) installExtension(ctx context.Context, name string, progress io.Writer) error {
	pack := fmt.Sprintf("postgresql-%d-%s", p.Major, name)
	if exec.CommandContext(ctx, "dpkg", "--status", pack).Run() == nil {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("there is no apt-get to install %s", pack)
	}
	manager := packager{"apt-get", fmt.Sprintf(extensionScript, pack), "apt-get install " + pack, true}
	prefix, ok := elevate(ctx, manager)
	if !ok {
		return fmt.Errorf("this user may not install %s: run as root `%s`", pack, manager.advice)
	}
	fmt.Fprintf(progress, "installing %s\n", pack)
	return runInstall(ctx, manager, prefix, progress)
}

const extensionScript = `
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get -o Acquire::Retries=5 update -qq
apt-get -o Acquire::Retries=5 -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends %s
`

// elevate tells with which command in front the manager may install: none, or
// sudo where that asks for no password.
func elevate(ctx context.Context, manager packager) (prefix []string, ok bool) {
	root := os.Geteuid() == 0
	if !manager.asRoot {
		return nil, !root
	}
	if root {
		return nil, true
	}
	if exec.CommandContext(ctx, "sudo", "-n", "true").Run() != nil {
		return nil, false
	}
	return []string{"sudo", "-n"}, true
}

func runInstall(ctx context.Context, manager packager, prefix []string, progress io.Writer) error {
	args := append(append([]string{}, prefix...), "sh", "-c", manager.script)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = progress, progress
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("install with %s: %w (by hand: `%s`)", manager.command, err, manager.advice)
	}
	return nil
}
