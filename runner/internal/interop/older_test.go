package interop

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"relpack/runner/internal/pyenv"
)

// older are releases with other locks than today's, which still install.
var older = []struct {
	release, locks string
	zodb           string // of its time, where today's is too new for it
}{
	{"2.1.1", "table", "ZODB==5.6.0"},
	{"3.0.1", "row", "ZODB"},
	{"3.4.5", "row", "ZODB"},
	{"3.5.0", "advisory", "ZODB"},
}

func TestOlderReleasesOfRelStorage(t *testing.T) {
	if soak < time.Minute {
		t.Skip("to install them takes minutes: make soak does")
	}
	for _, o := range older {
		t.Run(o.release, func(t *testing.T) {
			env, err := pyenv.Install(t.Context(), os.Stderr, filepath.Join(cache, "relstorage-"+o.release),
				"RelStorage=="+o.release, o.zodb, "psycopg2-binary", "six", "setuptools<81")
			if err != nil {
				t.Skipf("RelStorage %s can't be installed with this Python: %v", o.release, err)
			}
			for _, how := range []struct {
				shape
				more []string
			}{{shape{files: true}, nil}, {shape{history: true}, []string{"undo"}}} {
				w := newSite(t, how.shape)
				w.python = env
				w.create()
				if locks := get[string](t, w.conn, "SELECT relpack.lock_protocol()"); locks != o.locks {
					t.Errorf("relpack takes it for a storage with %s locks, want %s", locks, o.locks)
				}
				a := w.startApplication("now", 2, 1, how.more...)
				f := w.watch()
				w.packInALoop(f, 0, soak/4)
				a.end()
				f.stop()
				f.report(a.commits())
				if !how.history { // zodbpack may find nothing to do
					w.expectOnePacker()
				}
				w.expectSound()
			}
		})
	}
}
