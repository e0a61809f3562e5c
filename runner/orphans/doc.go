// Package orphans finds files in a blob directory that no live blob needs, and
// removes those that are beyond doubt: "relpack blobs".
package orphans
