// Package inventory is what relpack's tables say of a storage, as reports show it:
// damage, problems, what can't be deleted, other databases, leftovers.
package inventory
