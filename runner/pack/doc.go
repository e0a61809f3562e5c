// Package pack finds and deletes what can't be reached: "relpack pack".
package pack
