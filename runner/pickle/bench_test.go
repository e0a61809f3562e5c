package pickle

import (
	"bytes"
	"compress/zlib"
	"testing"
)

// BenchmarkScan reads the states of a storage like Plone's in their order.
func BenchmarkScan(b *testing.B) { bench(b, realStates(b)) }

func BenchmarkScanCompressed(b *testing.B) {
	records := realStates(b)
	for i, r := range records {
		records[i] = compress(r)
	}
	bench(b, records)
}

func bench(b *testing.B, records [][]byte) {
	size := 0
	for _, r := range records {
		size += len(r)
	}
	b.ReportAllocs()
	var s Scanner
	n := 0
	for b.Loop() {
		r := records[n%len(records)]
		n++
		if err := s.Scan(r); err != nil {
			b.Fatal(err)
		}
		s.Class()
	}
	seconds := b.Elapsed().Seconds()
	b.ReportMetric(float64(n)/seconds, "records/s")
	b.ReportMetric(float64(n)*float64(size)/float64(len(records))/seconds/1e6, "MB/s")
}

func compress(record []byte) []byte {
	var packed bytes.Buffer
	packed.WriteString(".z")
	w := zlib.NewWriter(&packed)
	w.Write(record)
	w.Close()
	return packed.Bytes()
}
