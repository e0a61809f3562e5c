package blobdir_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"relpack/runner/blobdir"
	"relpack/runner/internal/zodbtest"
)

func TestTheLayoutIsFoundAsZODBFindsIt(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		files map[string]string
		want  blobdir.Layout
	}{
		{"an empty directory is bushy", nil, blobdir.Bushy},
		{"hidden files don't count", map[string]string{".snapshot/x": "", ".DS_Store": ""}, blobdir.Bushy},
		{"content without a marker is a lawn", map[string]string{"0x1a2b/.lock": ""}, blobdir.Lawn},
		{"even tmp alone is content", map[string]string{"tmp/x": ""}, blobdir.Lawn},
		{"the marker decides: bushy", map[string]string{".layout": "bushy", "0x1a/x": ""}, blobdir.Bushy},
		{"the marker decides: lawn", map[string]string{".layout": "lawn"}, blobdir.Lawn},
		{"white space around the marker's word", map[string]string{".layout": " lawn \r\n"}, blobdir.Lawn},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := t.TempDir()
			for name, content := range test.files {
				write(t, filepath.Join(path, name), content)
			}
			if got := open(t, path).Layout(); got != test.want {
				t.Errorf("layout %q, want %q", got, test.want)
			}
		})
	}
}

func TestOpenNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	write(t, filepath.Join(base, "file"), "")
	write(t, filepath.Join(base, "strange", ".layout"), "jungle\n")
	write(t, filepath.Join(base, "blank", ".layout"), "\n")
	write(t, filepath.Join(base, "folder", ".layout", "x"), "")
	tests := []struct{ path, mentions string }{
		{"missing", "missing: no such file or directory"},
		{"file", "is not a directory"},
		{"strange", `.layout names the layout "jungle"`},
		{"blank", `.layout names the layout ""`},
		{"folder", filepath.Join("folder", ".layout") + ": is a directory"},
	}
	for _, test := range tests {
		path := filepath.Join(base, test.path)
		_, err := blobdir.Open(path)
		if err == nil {
			t.Errorf("%s: opened", test.path)
			continue
		}
		for _, part := range []string{path, test.mentions} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error %q does not mention %q", test.path, err, part)
			}
		}
	}
}

func TestTheBlobDirectoryItselfMayBeALink(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	sample(t, filepath.Join(base, "real"))
	link := filepath.Join(base, "link")
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	if got := open(t, link).Layout(); got != blobdir.Bushy {
		t.Errorf("layout %q", got)
	}
}

func TestPathsAreThoseOfZODB(t *testing.T) {
	t.Parallel()
	tests := []struct {
		layout    string
		zoid, tid int64
		want      string
	}{
		{zodbtest.Bushy, 0x1a2b, 0x040d2f57abcbbb11, "0x00/0x00/0x00/0x00/0x00/0x00/0x1a/0x2b/0x040d2f57abcbbb11.blob"},
		{zodbtest.Lawn, 0x1a2b, 0x040d2f57abcbbb11, "0x1a2b/0x040d2f57abcbbb11.blob"},
		{zodbtest.Lawn, 0, 1, "0x00/0x01.blob"},
		{zodbtest.Lawn, 0xabc, 0x100, "0x0abc/0x0100.blob"},
		{zodbtest.Bushy, 0x7fffffffffffffff, 0x7fffffffffffffff, "0x7f/0xff/0xff/0xff/0xff/0xff/0xff/0xff/0x7fffffffffffffff.blob"},
	}
	for _, test := range tests {
		path := newBlobDir(t, test.layout)
		dir := open(t, path)
		want := filepath.Join(path, filepath.FromSlash(test.want))
		if got := dir.File(test.zoid, test.tid); got != want {
			t.Errorf("%s: file %s, want %s", test.layout, got, want)
		}
		if got := dir.Path(test.zoid); got != filepath.Dir(want) {
			t.Errorf("%s: path %s, want %s", test.layout, got, filepath.Dir(want))
		}
	}
}
