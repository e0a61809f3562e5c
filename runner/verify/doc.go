// Package verify compares the graph with all that is stored, and mends it: for
// "relpack verify", and for packs that found it to be wrong.
package verify
