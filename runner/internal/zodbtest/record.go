package zodbtest

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"sync"
)

// Class names a Python class.
type Class struct{ Module, Name string }

// Classes that tests meet often.
var (
	Persistent = Class{"persistent.mapping", "PersistentMapping"}
	Document   = Class{"zmodels", "Document"}
	Blob       = Class{"ZODB.blob", "Blob"}
)

func (c Class) global() string { return "c" + c.Module + "\n" + c.Name + "\n" }

// Oid is a zoid as ZODB writes it: 8 bytes, the most significant first.
func Oid(zoid int64) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(zoid))
}

// Record is an object's state as ZODB on Python 3 writes it: two pickles of
// protocol 3, the class and a dict whose values are the references. References
// are taken as persistent objects of class Persistent.
func Record(class Class, refs ...int64) []byte {
	var b bytes.Buffer
	b.WriteString("\x80\x03" + class.global() + "q\x00.")
	b.WriteString("\x80\x03}q\x01(")
	for i, ref := range refs {
		key := fmt.Sprintf("ref%d", i)
		b.WriteString("X")
		b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(key))))
		b.WriteString(key)
		b.WriteString("C\x08")
		b.Write(Oid(ref))
		b.WriteString(Persistent.global() + "\x86Q")
	}
	b.WriteString("u.")
	return b.Bytes()
}

// PaddedRecord is Record with so many bytes of payload besides.
func PaddedRecord(class Class, padding int, refs ...int64) []byte {
	record := Record(class, refs...)
	end := bytes.TrimSuffix(record, []byte("u."))
	var b bytes.Buffer
	b.Write(end)
	b.WriteString("X\x04\x00\x00\x00bodyB")
	b.Write(binary.LittleEndian.AppendUint32(nil, uint32(padding)))
	b.Write(bytes.Repeat([]byte{'~'}, padding))
	b.WriteString("u.")
	return b.Bytes()
}

// RecordPy2 is the same as written on Python 2: protocol 1, oids in byte strings.
func RecordPy2(class Class, refs ...int64) []byte {
	var b bytes.Buffer
	b.WriteString(class.global() + "q\x00.")
	b.WriteString("}q\x01(")
	for i, ref := range refs {
		key := fmt.Sprintf("ref%d", i)
		b.WriteString("U" + string([]byte{byte(len(key))}) + key)
		b.WriteString("(U\x08")
		b.Write(Oid(ref))
		b.WriteString(Persistent.global() + "tQ")
	}
	b.WriteString("u.")
	return b.Bytes()
}

// WeakRecord refers to zoids by weak references only: they keep nothing alive.
func WeakRecord(class Class, weak ...int64) []byte {
	var b bytes.Buffer
	b.WriteString("\x80\x03" + class.global() + "q\x00.")
	b.WriteString("\x80\x03]q\x01(")
	for _, ref := range weak {
		b.WriteString("](X\x01\x00\x00\x00wC\x08")
		b.Write(Oid(ref))
		b.WriteString("\x85eQ")
	}
	b.WriteString("e.")
	return b.Bytes()
}

// A compressor is large, and tests write many records.
var compressors = sync.Pool{New: func() any { return zlib.NewWriter(nil) }}

// Compressed is a record as zc.zlibstorage wraps it.
func Compressed(record []byte) []byte {
	var b bytes.Buffer
	b.WriteString(".z")
	w := compressors.Get().(*zlib.Writer)
	defer compressors.Put(w)
	w.Reset(&b)
	// Writes into a bytes.Buffer don't fail.
	_, _ = w.Write(record)
	_ = w.Close()
	return b.Bytes()
}

// Encrypted is a record as cipher.encryptingstorage leaves it: opaque.
func Encrypted(record []byte) []byte {
	b := []byte(".e")
	for _, c := range record {
		b = append(b, c^0x5a)
	}
	return b
}

// Truncated is a record that lost its second half.
func Truncated(record []byte) []byte { return record[:len(record)/2] }

// Odd is a complete record with one persistent id that is none (an int) beside
// a sound reference to each of refs.
func Odd(class Class, refs ...int64) []byte {
	record := bytes.TrimSuffix(Record(class, refs...), []byte("u."))
	return append(record[:len(record):len(record)], "X\x03\x00\x00\x00oddK*Qu."...)
}

// HeldRecord is Record of an object that names its holder, as __parent__.
func HeldRecord(class Class, holder int64, refs ...int64) []byte {
	record := bytes.TrimSuffix(Record(class, refs...), []byte("u."))
	record = append(record[:len(record):len(record)], "X\x0a\x00\x00\x00__parent__C\x08"...)
	return append(append(record, Oid(holder)...), Persistent.global()+"\x86Qu."...)
}
