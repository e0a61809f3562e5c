package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/term"

	"relpack/runner/progress"
)

// outputs are where a command says what it does: standard error, where a
// terminal shows a bar and anything else gets a line now and then.
func (p place) outputs(quiet bool) (*slog.Logger, progress.Meter) {
	level := slog.LevelInfo
	switch {
	case p.Verbose:
		level = slog.LevelDebug
	case quiet:
		// Warnings too would make cron write mails about packs that went well.
		return slog.New(&lineHandler{out: os.Stderr, level: slog.LevelError}), nil
	}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		bar := progress.NewTerminal(os.Stderr)
		return slog.New(&lineHandler{out: bar, level: level}), bar
	}
	log := slog.New(&lineHandler{out: os.Stderr, level: level})
	return log, progress.NewLog(log)
}

// storageKey is the attribute that names the storage in front of a message.
const storageKey = "storage"

// A lineHandler writes messages as they are, so that a statement can be pasted
// into psql.
type lineHandler struct {
	out     io.Writer
	level   slog.Level
	storage string
	attrs   []slog.Attr
}

// Enabled is part of slog.Handler.
func (h *lineHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

// Handle is part of slog.Handler.
func (h *lineHandler) Handle(_ context.Context, record slog.Record) error {
	var line strings.Builder
	line.WriteString(record.Time.Format("15:04:05 "))
	if h.storage != "" {
		line.WriteString(h.storage + ": ")
	}
	if record.Level >= slog.LevelWarn {
		line.WriteString("warning: ")
	}
	line.WriteString(record.Message)
	separator := " -- "
	add := func(attr slog.Attr) bool {
		fmt.Fprintf(&line, "%s%s=%v", separator, attr.Key, attr.Value)
		separator = " "
		return true
	}
	for _, attr := range h.attrs {
		add(attr)
	}
	record.Attrs(add)
	line.WriteByte('\n')
	_, err := io.WriteString(h.out, line.String())
	return err
}

// WithAttrs is part of slog.Handler.
func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	for _, attr := range attrs {
		if attr.Key == storageKey {
			with.storage = attr.Value.String()
			continue
		}
		with.attrs = append(with.attrs[:len(with.attrs):len(with.attrs)], attr)
	}
	return &with
}

// WithGroup is part of slog.Handler; relpack has no groups.
func (h *lineHandler) WithGroup(string) slog.Handler { return h }
