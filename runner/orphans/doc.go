// Package orphans finds files in a blob directory that no live blob needs: "relpack
// blobs". With --remove it removes those that are beyond doubt.
package orphans
