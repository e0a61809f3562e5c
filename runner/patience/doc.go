// Package patience tries something again and again that others keep from being
// done.
package patience
