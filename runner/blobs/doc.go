// Package blobs removes the files of deleted blobs from a shared blob directory,
// once it is proved to be the storage's, and finds live blobs without a file.
package blobs
