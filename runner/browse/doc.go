// Package browse shows in a terminal where the space of a storage is, and lets a
// person go in and out: "relpack du".
//
// A [Model] is what is on the screen: messages in, a text out. It computes nothing and
// waits for nobody. What it has to know it asks in commands, which bubbletea runs beside
// it and whose answers are messages again.
package browse
