// Package status tells what relpack knows of a storage, without reading a state:
// "relpack status".
package status
