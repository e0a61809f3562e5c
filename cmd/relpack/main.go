// Relpack removes unreachable objects from RelStorage databases in PostgreSQL,
// and old revisions from history-preserving ones.
package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"relpack/runner/fault"
)

const description = `Remove unreachable objects from a RelStorage database in PostgreSQL, with their blobs, and old revisions from a history-preserving one.

CONFIG is the ZConfig file that zodbpack takes. Without it the database is that of --dsn, or of libpq's environment (PGHOST, PGSERVICE, ...).

Exit codes: 0 done, 1 failure, 2 usage, 3 locked by another pack, 4 refused for safety, or verify or check found errors or damage, 130 interrupted. Of several storages the worst counts: 130, then 1, 4, 3, 0.`

// grammar is the command line.
type grammar struct {
	Pack    packCommand    `cmd:"" help:"Find and delete unreachable objects, and old revisions of a history-preserving storage."`
	Migrate migrateCommand `cmd:"" help:"Install relpack in a database, update or remove it."`
	Verify  verifyCommand  `cmd:"" help:"Check the graph against every stored object; --repair fixes it."`
	Status  statusCommand  `cmd:"" help:"Show what relpack knows about a storage."`
	Check   checkCommand   `cmd:"" help:"Find what is broken: missing objects, states that can't be decoded, blobs without content."`
	Blobs   blobsCommand   `cmd:"" help:"List blob files that no live blob needs, or remove them."`
	Report  reportCommand  `cmd:"" help:"Write what is known of the storages as one HTML page."`
	Why     whyCommand     `cmd:"" help:"Tell why an object is alive, or since when it is garbage."`
	Du      duCommand      `cmd:"" help:"Show where the space is, by folders as people know them, or by class."`

	Version kong.VersionFlag `help:"Show the version of relpack and of Go."`
}

// version is set with -ldflags "-X main.version=...".
var version string

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	var commands grammar
	parser := kong.Must(&commands,
		kong.Name("relpack"), kong.Description(description),
		kong.WithHyphenPrefixedParameters(true), // --days -1
		kong.Vars{"version": fmt.Sprintf("relpack %s (%s)", relpackVersion(), runtime.Version())})
	if len(args) == 0 {
		args = []string{"--help"}
	}
	if flag := withoutValue(args); flag != "" {
		fmt.Fprintf(os.Stderr, "relpack: %s takes a value (see \"relpack --help\")\n", flag)
		return fault.ExitUsage
	}
	command, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "relpack: %s (see \"relpack --help\")\n", usage(err, args[0]))
		return fault.ExitUsage
	}
	err = command.Run()
	var ended exit
	if errors.As(err, &ended) {
		return int(ended)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "relpack: %s\n", fault.Message(err))
	}
	return fault.ExitCode(err)
}

// withoutValue is a flag that names a place and has no value, or an empty one, as that of a
// variable that is not set: the environment's database would be taken. "" if there is none.
func withoutValue(args []string) string {
	for i, arg := range args {
		flag, value, has := strings.Cut(arg, "=")
		if !has && i < len(args)-1 {
			value = args[i+1]
		}
		if slices.Contains([]string{"--dsn", "--blob-dir"}, flag) && value == "" {
			return flag
		}
	}
	return ""
}

// noNumber is what kong says where a flag takes one.
var noNumber = regexp.MustCompile(`^(--[a-z-]+): expected an? (?:float|int|valid 64 bit int) but got (".*?")(?: \((.*)\))?$`)

// negative is what kong says of a number that is no object id.
var negative = regexp.MustCompile(`^(?:unexpected argument|unknown flag) (-[0-9]+)`)

// usage says in relpack's words what is wrong with the command line.
func usage(err error, first string) string {
	text := strings.TrimPrefix(err.Error(), "pack: ")
	if text == "unexpected argument "+first {
		return "there is no command " + first
	}
	if id := negative.FindStringSubmatch(text); id != nil && slices.Contains([]string{"why", "du"}, first) {
		return strconv.Quote(id[1]) + " is no object id"
	}
	if strings.HasPrefix(text, "unexpected argument ") && takesFile(err) {
		if slices.Contains([]string{"why", "du"}, first) {
			return text + ": put it beside the other names and ids, all before the options or all after them"
		}
		return text + ": one file is expected, with all storages in it"
	}
	if strings.HasPrefix(text, "--accept-missing: ") {
		return "--accept-missing takes the id of an object as a number: --accept-missing 6699"
	}
	if strings.HasPrefix(text, "--without: missing") {
		return "--without takes the id of an object: --without 6699"
	}
	if found := noNumber.FindStringSubmatch(text); found != nil {
		return takesNumber(found[1], found[2], found[3] == "<nil>")
	}
	return text
}

// takesFile tells whether the command that was named takes a file.
func takesFile(err error) bool {
	parse, ok := errors.AsType[*kong.ParseError](err)
	return ok && parse.Context.Selected() != nil && len(parse.Context.Selected().Positional) > 0
}

// takesNumber says so of a flag, and that it got something else, or nothing.
func takesNumber(flag, got string, nothing bool) string {
	text := flag + " takes a number"
	if flag == "--days" {
		text += " of days"
	}
	switch {
	case !nothing:
		return text + ", not " + got
	case flag == "--days":
		return text + ": --days 1"
	}
	return text
}

// relpackVersion is that of the build, or what Go knows of it.
func relpackVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
