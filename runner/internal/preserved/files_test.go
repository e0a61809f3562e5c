package preserved

import (
	"bytes"
	"context"
	"os"
	"path/filepath"

	"relpack/runner/internal/revision"
	"relpack/runner/internal/zodbtest"
)

// files are those of a history whose blobs are files.
type files struct {
	dir     string
	written map[revision.Key]bool
}

// beginFiles has the blobs of this history be files, in an empty directory.
func (h *history) beginFiles() error {
	h.files = &files{h.w.blobDir, map[revision.Key]bool{}}
	entries, err := os.ReadDir(h.files.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(h.files.dir, entry.Name())); err != nil {
			return err
		}
	}
	h.w.target.BlobDir = h.files.dir
	return zodbtest.NewBlobDir(h.files.dir, zodbtest.Bushy)
}

func isBlob(r revision.Revision) bool {
	return bytes.Contains(r.State[:min(len(r.State), 24)], []byte("ZODB.blob"))
}

func (f *files) there(key revision.Key) bool {
	_, err := os.Stat(zodbtest.BlobPath(f.dir, zodbtest.Bushy, key.Zoid, key.Tid))
	return err == nil
}

// checkFiles looks for the files of all revisions that are stored, or that an open
// transaction sees. It writes those of what is new, as the site does, or a restore.
func (h *history) checkFiles(ctx context.Context) error {
	if h.files == nil {
		return nil
	}
	now, err := revision.Load(ctx, h.site.Conn)
	if err != nil {
		return err
	}
	f := h.files
	if h.seen != nil {
		for _, key := range h.seen.Keys() {
			if f.written[key] && !f.there(key) {
				return lossf("the file of revision %d of blob %d is gone, which an open transaction sees", key.Tid, key.Zoid)
			}
		}
	}
	for key := range f.written {
		if _, stored := find(now, key); !stored && !f.there(key) {
			delete(f.written, key)
			h.w.counts["file removed"]++
		}
	}
	for zoid, revisions := range now.Revisions {
		for _, r := range revisions {
			key := revision.Key{Zoid: zoid, Tid: r.Tid}
			switch {
			case !isBlob(r):
			case !f.written[key]:
				if err := zodbtest.WriteBlob(f.dir, zodbtest.Bushy, zoid, r.Tid, []byte("content")); err != nil {
					return err
				}
				f.written[key] = true
			case !f.there(key):
				return lossf("the file of revision %d of blob %d is gone, which is stored", r.Tid, zoid)
			}
		}
	}
	return nil
}

// tidied: of what a pack has deleted no file is left, unless somebody may read it. One that
// collects no garbage has the graph of the last one that did: as long as something refers
// there to what is gone altogether, the file stays.
func (r *run) tidied(after *revision.Storage, p packing) error {
	_, product := r.w.packs.(product)
	if r.files == nil || !product || p.dry || r.killed || r.acted || r.open != nil {
		return nil
	}
	for zoid, revisions := range r.before.Revisions {
		if p.keep && len(after.Revisions[zoid]) == 0 {
			continue
		}
		for _, was := range revisions {
			key := revision.Key{Zoid: zoid, Tid: was.Tid}
			if _, stored := find(after, key); !stored && isBlob(was) && r.files.there(key) {
				return lossf("the file of revision %d of blob %d is left, which a pack has deleted", was.Tid, zoid)
			}
		}
	}
	return nil
}

// filesPlot: a blob is overwritten. Old revisions go while another client reads them, come
// back with a backup, and go anew.
func (g *generator) filesPlot() []func() step {
	under, one := pick(g, g.live()...), g.fresh()
	blob, open, closed := write{one, "blob", nil}, planned("open", "reader", nil), planned("close", "reader", nil)
	plot := []func() step{
		g.commits("blob", plain(under, append(g.refs(under), one)...), blob), g.commits("blob", blob), g.commits("blob", blob),
		planned("snapshot", "taken", nil),
	}
	if g.chance(40) { // listed, and stored again
		return append(plot, open, g.packedUpTo(3), closed, planned("reload", "delete", nil), g.packedUpTo(1), g.packedUpTo(3))
	}
	if g.chance(60) {
		plot = append(plot, open)
	}
	plot = append(plot, g.packedUpTo(pick(g, 2, 3), pick(g, "killed", "ended", "ended")), closed)
	if g.chance(60) {
		plot = append(plot, planned("reload", "delete", nil))
	}
	if g.chance(60) {
		plot = append(plot, open)
	}
	return append(plot, g.packedUpTo(pick(g, 1, 2, 3)), closed, g.packedUpTo(3))
}
