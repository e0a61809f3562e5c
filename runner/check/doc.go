// Package check finds what is broken in a storage: references to objects that are
// not stored, states that can't be decoded, blobs without their content. It asks the
// graph of the last pack and reads what was written since; it changes nothing.
package check
