// Package schema is about what a database holds: whether it is a storage that
// relpack works on, whether the schema relpack is installed and its own, and who
// may do what. It installs the schema, brings it up to date and removes it.
package schema
