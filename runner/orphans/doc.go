// Package orphans finds files in a blob directory that no live blob needs: "relpack
// blobs". With --remove it removes those that are beyond doubt, once somebody says that
// nobody else uses the directory (--claim). Who may judge that is the server: see
// relpack.blobs_judge and relpack.blobs_orphaned.
package orphans
