// Package figures shows counts, sizes, times and tables to people.
package figures
