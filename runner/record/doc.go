// Package record reads rows of object_state, decodes them, and sends what they
// say to relpack's staging tables: COPY both ways.
package record
