// Package page writes what is known of storages as one HTML page that needs nothing
// else: "relpack report --html".
package page
