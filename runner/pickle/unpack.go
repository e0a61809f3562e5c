package pickle

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
)

// MaxUnpacked is the length in bytes that a compressed record may have when it
// is decompressed. A longer one is Opaque.
const MaxUnpacked = 256 << 20

// Unpack returns the pickles of a record: the record itself, or what
// zc.zlibstorage compressed, which may have so many bytes at most. The error is
// an [*Error].
func Unpack(record []byte, most int) ([]byte, error) {
	u := unpacker{most: min(most, MaxUnpacked)}
	data, err := u.unpack(record)
	if err != nil {
		return nil, err
	}
	return data, nil
}

// unpacker undoes the wrapping of a record.
type unpacker struct {
	most   int // bytes of what was compressed; 0: MaxUnpacked
	source bytes.Reader
	stream io.ReadCloser // with zlib.Resetter
	buf    []byte
}

// unpack returns record itself if it isn't wrapped, else what zc.zlibstorage
// compressed. The result is valid until the next call.
func (u *unpacker) unpack(record []byte) ([]byte, *Error) {
	if cap(u.buf) > 16*kept {
		u.buf = nil
	}
	switch {
	case len(record) == 0:
		return nil, &Error{Kind: Opaque, Reason: "the record is empty"}
	case record[0] != '.' || len(record) == 1:
		return record, nil
	case record[1] == 'z':
		err := u.inflate(record[2:])
		u.source.Reset(nil)
		if err != nil {
			return nil, &Error{Kind: Opaque, Offset: 2, Reason: fmt.Sprintf("can't decompress: %v", err)}
		}
		return u.buf, nil
	case record[1] == 'e':
		return nil, &Error{Kind: Opaque, Reason: "the record is encrypted (cipher.encryptingstorage)"}
	}
	return record, nil
}

// beginning returns as much as there is of a record that may be cut off.
func (u *unpacker) beginning(record []byte) []byte {
	u.buf = u.buf[:0]
	data, err := u.unpack(record)
	if err != nil {
		return u.buf
	}
	return data
}

// inflate decompresses into u.buf. What follows the stream is ignored, as
// Python's zlib.decompress does.
func (u *unpacker) inflate(packed []byte) (err error) {
	u.source.Reset(packed)
	if u.stream == nil {
		u.stream, err = zlib.NewReader(&u.source)
	} else {
		err = u.stream.(zlib.Resetter).Reset(&u.source, nil)
	}
	if err != nil {
		return err
	}
	u.buf = u.buf[:0]
	most := u.most
	if most == 0 {
		most = MaxUnpacked
	}
	for {
		if len(u.buf) == cap(u.buf) {
			// deflate shrinks to a thousandth at best: a small record never
			// makes for a large buffer before the bytes are really there.
			size := min(max(4<<10, 2*cap(u.buf)), most+1)
			bigger := make([]byte, len(u.buf), size)
			copy(bigger, u.buf)
			u.buf = bigger
		}
		n, err := u.stream.Read(u.buf[len(u.buf):cap(u.buf)])
		u.buf = u.buf[:len(u.buf)+n]
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case len(u.buf) > most:
			u.buf = nil
			return fmt.Errorf("more than %d MiB", most>>20)
		}
	}
}
