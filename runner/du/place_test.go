package du_test

import (
	"testing"

	"relpack/runner/du"
)

func TestWhatAnObjectNamesIsWhereItIs(t *testing.T) {
	t.Parallel()
	s := newStorage(t, map[int64][]byte{
		0: record(1, 2), 1: record(3, 4), 2: record(5),
		3: held(2),  // although 1 refers to it, and 2 doesn't
		4: held(4),  // itself
		5: held(99), // what is not stored
	})
	s.pack(t)
	expectIn(t, s.measure(t, du.Options{}), map[int64]int64{1: 0, 2: 0, 3: 2, 4: 1, 5: 2})
}

func TestObjectsThatNameEachOtherAreWhereTheTreeHasThem(t *testing.T) {
	t.Parallel()
	s := newStorage(t, map[int64][]byte{0: record(1, 2), 1: held(2, 3), 2: held(1), 3: held(4), 4: held(3), 5: held(1)})
	expectIn(t, s.measure(t, du.Options{}), map[int64]int64{1: 0, 2: 0, 3: 1, 4: 3})
}

// The catalog is nearer to the root than the folders, as it often is.
func catalog(document func(folder int64) []byte) map[int64][]byte {
	return map[int64][]byte{
		0:  record(1, 2),
		1:  record(10),                              // the site
		2:  record(3),                               // an intid utility
		3:  btree("IOBTree", 4, 5),                  // its BTree
		4:  bucket("IOBucket", true, 5, 30, 31, 20), // has all
		5:  bucket("IOBucket", true, 0, 32, 10),     //
		10: record(11), 11: btree("OOBTree", 12),    // a folder in the site
		12: bucket("OOBucket", false, 0, 20), 20: record(21, 33), // with a folder in it
		21: btree("OOBTree", 22, 24), 22: btree("OOBTree", 23), // with a BTree of two levels
		23: bucket("OOBucket", false, 25, 30), 24: btree("OOBTree", 25), 25: bucket("OOBucket", false, 0, 31, 32),
		30: document(20), 31: document(20), 32: document(20), 33: held(20),
	}
}

func TestDocumentsAreInTheirFolderNotInACatalog(t *testing.T) {
	t.Parallel()
	s := newStorage(t, catalog(func(folder int64) []byte { return held(folder, 1) }))
	r := s.measure(t, du.Options{})
	expectIn(t, r, map[int64]int64{3: 2, 20: 11, 21: 20, 30: 20, 31: 20, 32: 20, 33: 20})
	all := lines(r)
	if all[20].Objects != 10 || all[2].Objects != 4 || all[21].Parts.Count != 4 || all[30].Name != ".ref0['k0']" || all[33].Name != ".ref1" || all[20].Name != "['k0']" {
		t.Errorf("%+v %+v %+v %+v", all[20].Line, all[2].Line, all[30].Line, all[33].Line)
	}
}

// They are where a folder's BTree has them, which is in the folder.
func TestDocumentsThatNameNobodyAreInTheirFolderToo(t *testing.T) {
	t.Parallel()
	s := newStorage(t, catalog(func(int64) []byte { return record(1) }))
	r := s.measure(t, du.Options{})
	expectIn(t, r, map[int64]int64{20: 11, 30: 21, 31: 21, 32: 21, 10: 1})
	if all := lines(r); all[20].Objects != 10 || all[2].Objects != 4 || all[32].Name != "['k1']" {
		t.Errorf("%+v %+v %+v", all[20].Line, all[2].Line, all[32].Line)
	}
}

// A document in it is nearer to the root than the folder, which names nobody.
func TestAFolderIsNotInADocumentOfItsOwn(t *testing.T) {
	t.Parallel()
	s := newStorage(t, map[int64][]byte{
		0: record(1, 2), 1: btree("IOBTree", 3), 3: bucket("IOBucket", true, 0, 30),
		2: record(4), 4: record(5), 5: record(6), 6: btree("OOBTree", 7), 7: bucket("OOBucket", false, 0, 20),
		20: record(30), 30: held(20),
	})
	expectIn(t, s.measure(t, du.Options{}), map[int64]int64{30: 20, 20: 6})

	// Not even if nothing but the utility has the folder, further down.
	s = newStorage(t, map[int64][]byte{
		0: record(30, 2), 2: btree("IOBTree", 3), 3: bucket("IOBucket", true, 0, 20), 20: record(30), 30: held(20),
	})
	expectIn(t, s.measure(t, du.Options{}), map[int64]int64{30: 20, 20: 2})
}

func TestSetsInABTreeAreValuesAndNotPartsOfIt(t *testing.T) {
	t.Parallel()
	s := newStorage(t, map[int64][]byte{
		0: record(1), 1: btree("OOBTree", 2), 2: bucket("OOBucket", false, 0, 3, 4), 3: []byte(global("OOTreeSet") + "N."), 4: btree("IIBTree", 5), 5: bucket("IIBucket", false, 0),
	})
	expectIn(t, s.measure(t, du.Options{}), map[int64]int64{3: 1, 4: 1})
}
