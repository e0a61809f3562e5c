package zodbtest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"relpack/runner/testdata"
)

// The stages of the sample data. Each goes on top of the one before.
const (
	Small       = "small"        // LoadSmall
	Changes     = "changes"      // edits and cut folders
	MoreChanges = "more-changes" // new objects and blobs, moves, a cycle born and dropped
)

// LoadSmall fills an empty storage with the sample database, and dir with its
// blob directory unless dir is empty. dir is created.
func LoadSmall(ctx context.Context, conn *pgx.Conn, dir string) error {
	if err := copySample(ctx, conn, "object_state.copy.gz", "object_state"); err != nil {
		return err
	}
	if dir == "" {
		return nil
	}
	return ExtractBlobs(dir)
}

// ExtractBlobs unpacks the blob directory of Small into dir: bushy, 40 blobs
// with 60 files, 40 locks and the marker .layout.
func ExtractBlobs(dir string) error { return extract("blobs.tar.gz", dir, "zsmall") }

// ApplyChanges upserts the rows of Changes or MoreChanges as RelStorage does in
// a commit: under the commit lock, by one INSERT ... ON CONFLICT. Blob files of
// MoreChanges come with ExtractMoreBlobs.
func ApplyChanges(ctx context.Context, conn *pgx.Conn, name string) error {
	return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `
			CREATE TEMPORARY TABLE sample_change (
				zoid bigint,
				tid bigint,
				state_size bigint,
				state bytea
			) ON COMMIT DROP`); err != nil {
			return fmt.Errorf("apply %s: %w", name, err)
		}
		if err := copySample(ctx, tx.Conn(), name+".copy.gz", "sample_change"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(-1)"); err != nil {
			return fmt.Errorf("apply %s: take the commit lock: %w", name, err)
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO object_state (zoid, tid, state_size, state)
			SELECT zoid, tid, state_size, state
			FROM sample_change
			ORDER BY zoid
			ON CONFLICT (zoid) DO UPDATE
			SET tid = excluded.tid, state_size = excluded.state_size, state = excluded.state`); err != nil {
			return fmt.Errorf("apply %s: %w", name, err)
		}
		return nil
	})
}

// ExtractMoreBlobs adds the blob files of MoreChanges to a blob directory.
func ExtractMoreBlobs(dir string) error { return extract("more-blobs.tar.gz", dir, ".") }

// Garbage lists the zoids that can't be reached from the root at a stage if
// nothing was packed before, in ascending order.
func Garbage(name string) ([]int64, error) {
	file := "garbage.txt"
	if name != Small {
		file = "garbage-after-" + name + ".txt"
	}
	text, err := fs.ReadFile(testdata.Small, "small/"+file)
	if err != nil {
		return nil, fmt.Errorf("garbage of %s: %w", name, err)
	}
	var zoids []int64
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		zoid, err := strconv.ParseInt(strings.TrimSpace(lines.Text()), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("garbage of %s: %w", name, err)
		}
		zoids = append(zoids, zoid)
	}
	return zoids, lines.Err()
}

// copySample sends a file of COPY rows in text format into a table.
func copySample(ctx context.Context, conn *pgx.Conn, file, table string) error {
	rows, err := openSample(file)
	if err != nil {
		return err
	}
	defer rows.Close()
	statement := fmt.Sprintf("COPY %s (zoid, tid, state_size, state) FROM STDIN", table)
	if _, err := conn.PgConn().CopyFrom(ctx, rows, statement); err != nil {
		return fmt.Errorf("load %s: %w", file, err)
	}
	return nil
}

func openSample(file string) (io.ReadCloser, error) {
	compressed, err := testdata.Small.Open("small/" + file)
	if err != nil {
		return nil, fmt.Errorf("sample data: %w", err)
	}
	plain, err := gzip.NewReader(compressed)
	if err != nil {
		return nil, fmt.Errorf("sample data: %s: %w", file, err)
	}
	return plain, nil
}

// extract unpacks an archive into dir without its top folder.
func extract(file, dir, top string) error {
	plain, err := openSample(file)
	if err != nil {
		return err
	}
	defer plain.Close()
	archive := tar.NewReader(plain)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("unpack %s: %w", file, err)
		}
		name, err := filepath.Rel(top, filepath.Clean(header.Name))
		if err != nil || !filepath.IsLocal(name) {
			return fmt.Errorf("unpack %s: %s does not lie in %s", file, header.Name, top)
		}
		path := filepath.Join(dir, name)
		if header.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(path, 0o755); err != nil {
				return fmt.Errorf("unpack %s: %w", file, err)
			}
			continue
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			return fmt.Errorf("unpack %s: %s: %w", file, header.Name, err)
		}
		if err := writeFile(path, content, header.FileInfo().Mode().Perm()); err != nil {
			return fmt.Errorf("unpack %s: %w", file, err)
		}
	}
}

// SampleStates are the records of Small.
func SampleStates() ([][]byte, error) {
	rows, err := openSample("object_state.copy.gz")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var states [][]byte
	lines := bufio.NewScanner(rows)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		columns := strings.Split(lines.Text(), "\t")
		state, err := hex.DecodeString(strings.TrimPrefix(columns[len(columns)-1], `\\x`))
		if err != nil {
			return nil, fmt.Errorf("sample data: %w", err)
		}
		states = append(states, state)
	}
	return states, lines.Err()
}
