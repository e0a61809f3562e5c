// Package why tells why an object is alive: the way from the root, by the names
// that a person knows, and who else refers to it; or since when it is garbage, what
// it hangs with and when it will be deleted. It changes nothing.
package why
