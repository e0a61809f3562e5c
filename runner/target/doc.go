// Package target tells which storages a command works on: those of a
// configuration file, which zodbpack takes too, or the one that a DSN names.
package target
