package zconfig

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func FuzzLoadNeverPanicsAndEveryErrorHasAPlace(f *testing.F) {
	seeds, err := filepath.Glob("testdata/*.conf")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, seed := range seeds {
		text, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, text := range []string{"", "<", "</", "<>", "</>", "<a", "</a", "< />", "%", "%define", "%define a $", "$", "a$(", "(",
		"%include .", "%include /dev/zero", "<relstorage>\nblob-dir ${\n", "<relstorage/>", "\x00\xff\n<\xff>", "<a\u00a0b/>"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		const path = "testdata/fuzz.conf" // no such file: the text stays in memory
		l := newLoader()
		err := l.parse(&openFile{path: path}, string(text), section{})
		if err == nil {
			for _, s := range l.storages {
				if s.File == "" || s.Line == 0 || s.set == nil {
					t.Fatalf("a storage without a place: %+v", s)
				}
			}
			return
		}
		var located *Error
		if !errors.As(err, &located) || located.File == "" {
			t.Fatalf("error without a file: %v", err)
		}
		if located.Line > strings.Count(string(text), "\n")+1 && located.File == path {
			t.Fatalf("error at line %d of a shorter file: %v", located.Line, err)
		}
	})
}

func TestHugeInputIsAnsweredQuickly(t *testing.T) {
	t.Parallel()
	many := func(s string, size int) string { return strings.Repeat(s, size/len(s)) }
	for name, text := range map[string]string{
		"a line of 100 MB":            many("x", 100<<20),
		"a value of 15 MB":            "<relstorage>\nblob-dir " + many("x", 15<<20),
		"a section name of 15 MB":     "<a " + many("x", 15<<20) + ">",
		"four million open sections":  many("<a>\n", 15<<20),
		"many storages in depth":      many("<a b>\n", 900*6) + many("<relstorage/>\n", 8<<20),
		"dollars":                     "a " + many("$$", 15<<20),
		"long values again and again": "%define a " + many("x", 60<<10) + "\n" + many("a $a\n", 15<<20),
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, text)
			start := time.Now()
			_, err := Load(path)
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			if err == nil || len(err.Error()) > 1000 {
				t.Errorf("want a short error, got %.200v", err)
			}
		})
	}
}
