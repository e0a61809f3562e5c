package blobs_test

import (
	"testing"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
)

// Without relpack's triggers nothing holds writers off while files go.
func TestNoFileGoesWhileSomebodySwitchesTriggersOff(t *testing.T) {
	t.Parallel()
	album, conn, _ := packtest.NewAlbum(t, zodbtest.Bushy)
	packer := packtest.Session(t, album)
	packtest.Run(t, packer, "SELECT relpack.try_pack_lock()")
	packtest.Run(t, conn, "BEGIN")
	packtest.Run(t, conn, "ALTER TABLE object_state DISABLE TRIGGER ALL")
	for _, call := range []string{
		"SELECT relpack.blobs_next('{1}', '{1}')",
		"SELECT relpack.blobs_orphaned('{1}', '{1}', '{1}', '{gone}', 1, NULL, NULL, NULL)",
	} {
		_, err := packer.Exec(t.Context(), call)
		packtest.ExpectState(t, err, "55P03")
	}
	packtest.Run(t, conn, "ROLLBACK")
}
