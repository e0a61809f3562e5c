// Package job is a command at work on one storage: its phases and how long they
// take, its progress, whether it is to stop, and how it waits for a lock.
package job
