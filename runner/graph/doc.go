// Package graph keeps the inverse object graph up to date with the storage: it
// reads and decodes what was written and has the server settle what is reachable.
// Only a [Packer], a session that holds the pack lock, writes to the graph. A
// [Comparison] reads states again and has them compared with it; what is made of
// its findings is told by package verify, and by the audits of package pack.
package graph
