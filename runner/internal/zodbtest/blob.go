package zodbtest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
)

// The layouts of a blob directory.
const (
	Bushy = "bushy"
	Lawn  = "lawn"
)

// NewBlobDir makes an empty blob directory with a marker of its layout.
func NewBlobDir(dir, layout string) error {
	return writeFile(filepath.Join(dir, ".layout"), []byte(layout), 0o644)
}

// BlobPath is the file of a blob's revision in a blob directory.
func BlobPath(dir, layout string, zoid, tid int64) string {
	return filepath.Join(ObjectDir(dir, layout, zoid), "0x"+short(tid)+".blob")
}

// ObjectDir is the directory of a blob's revisions.
func ObjectDir(dir, layout string, zoid int64) string {
	if layout == Lawn {
		return filepath.Join(dir, "0x"+short(zoid))
	}
	parts := []string{dir}
	for _, b := range Oid(zoid) {
		parts = append(parts, fmt.Sprintf("0x%02x", b))
	}
	return filepath.Join(parts...)
}

// WriteBlob writes a revision's file, read-only, and the .lock that ZODB leaves
// beside it.
func WriteBlob(dir, layout string, zoid, tid int64, content []byte) error {
	path := BlobPath(dir, layout, zoid, tid)
	if err := writeFile(path, content, 0o444); err != nil {
		return err
	}
	return writeFile(filepath.Join(filepath.Dir(path), ".lock"), []byte(" 4711\n"), 0o644)
}

// StoreBlobChunks keeps a blob in the database instead, as large objects of so
// many bytes: what RelStorage does with shared-blob-dir false.
func StoreBlobChunks(ctx context.Context, conn *pgx.Conn, zoid, tid int64, chunks ...[]byte) error {
	for i, chunk := range chunks {
		if _, err := conn.Exec(ctx, `
			INSERT INTO blob_chunk (zoid, chunk_num, tid, chunk)
			VALUES ($1, $2, $3, lo_from_bytea(0, $4))`, zoid, i, tid, chunk); err != nil {
			return fmt.Errorf("store chunk %d of blob %d: %w", i, zoid, err)
		}
	}
	return nil
}

// short is ZODB's way to write an id: hexadecimal, whole bytes, without leading
// zero bytes; zero itself is 00.
func short(id int64) string {
	digits := hex.EncodeToString(Oid(id))
	for len(digits) > 2 && strings.HasPrefix(digits, "00") {
		digits = digits[2:]
	}
	return digits
}

// writeFile makes the directories too. It replaces a read-only file.
func writeFile(path string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, content, mode)
}
