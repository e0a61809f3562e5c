// Package commandtest tests the command relpack from outside: what it prints
// and what it exits with.
package commandtest
