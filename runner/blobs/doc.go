// Package blobs removes the files of deleted blobs from a shared blob directory,
// once that is proved to be the storage's.
package blobs
