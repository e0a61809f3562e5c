// Package session opens connections of relpack's: with the settings that all of
// its statements depend on, through no pooler that lends them to others, and with
// each statement in the log.
package session
