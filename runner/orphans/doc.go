// Package orphans finds files in a blob directory that no live blob needs: "relpack
// blobs". It removes none.
package orphans
