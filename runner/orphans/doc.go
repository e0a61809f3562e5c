// Package orphans finds files in a blob directory that no live blob needs: "relpack
// blobs". With --remove it removes superseded revisions, each beside the stored one, in a
// history-preserving storage those without a row, each beside the next one that has one,
// second files of stored revisions in the other layout, and old temporary files, once
// somebody says that nobody else uses the directory (--claim). Files of objects that are
// gone go only if somebody says so, too (--gone): rows come back with a backup, files do
// not. Files later than all that is stored stay, and files that tell of another writer have
// nothing go. Who may judge is the server: see relpack.blobs_judge and
// relpack.blobs_orphaned.
package orphans
