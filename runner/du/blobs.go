package du

import (
	"context"
	"errors"

	"relpack/runner/blobdir"
	"relpack/runner/blobs"
	"relpack/runner/fault"
	"relpack/runner/look"
)

// blobFiles looks how long the files of live blobs are. Who looks from a machine that
// doesn't have them gets all else.
func (m *measure) blobFiles(ctx context.Context, g *look.Graph) error {
	opened, err := blobs.Open(m.Target.BlobDir)
	if err != nil {
		m.report.Blobs.Why = fault.Message(err)
		return nil
	}
	m.report.Blobs.Where = "files"
	defer func() { _ = opened.Close() }()
	m.Progress.Phase("look for blob files", "objects", int64(m.forest.rows.count))
	defer m.Progress.End()
	return g.EachBlob(ctx, false, func(some []look.Blob) error {
		for _, b := range some {
			bytes, found, err := opened.Size(b.Zoid, b.Tid)
			if err != nil && !errors.Is(err, blobdir.ErrLink) && m.report.Blobs.Failed == "" {
				m.report.Blobs.Failed = err.Error()
			}
			m.blob(b.Zoid, bytes, found)
		}
		return ctx.Err()
	})
}

// blob takes note of how long a blob is.
func (m *measure) blob(zoid, bytes int64, known bool) {
	i := m.forest.rows.find(zoid)
	switch {
	case i == none: // it was written since
	case known:
		m.forest.rows.ref(i).blobs = bytes
		m.report.Blobs.Known++
	default:
		m.report.Blobs.Unknown++
	}
}

// classBlob is the number of their class, in relpack.class too.
const classBlob = 1

// blobsInDatabase looks how long live blobs are that are there.
func (m *measure) blobsInDatabase(ctx context.Context, g *look.Graph) (err error) {
	here, why, err := g.BlobsAreHere(ctx)
	if m.report.Blobs.Why = why; err != nil || !here {
		return err
	}
	m.report.Blobs.Where = "large objects"
	return m.Phase("blobs", func() error { return m.largeObjects(ctx, g) })
}

// largeObjects looks how long the large objects of live blobs are.
func (m *measure) largeObjects(ctx context.Context, g *look.Graph) error {
	m.Progress.Phase("look for large objects", "objects", int64(m.forest.rows.count))
	defer m.Progress.End()
	r := &m.forest.rows
	var some []int64
	forbidden := int64(0)
	for i := range uint32(r.count) {
		if x := r.get(i); m.forest.kinds[x.class].blob && x.objects > 0 {
			some = append(some, x.zoid)
		}
		if i%pageRows == pageRows-1 {
			m.Progress.Add(pageRows)
		}
		if len(some) < askedAtOnce && int(i) < r.count-1 || len(some) == 0 {
			continue
		}
		met := 0
		if err := g.EachBlobSize(ctx, some, func(zoid int64, bytes *int64) {
			met++
			if bytes == nil {
				forbidden++
				m.blob(zoid, 0, false)
				return
			}
			m.blob(zoid, *bytes, true)
		}); err != nil {
			return err
		}
		m.report.Blobs.Unknown += int64(len(some) - met)
		some = some[:0]
	}
	if b := &m.report.Blobs; forbidden > 0 && b.Known == 0 {
		grant, err := g.GrantLargeObjects(ctx)
		if err != nil {
			return err
		}
		b.Where, b.Why = "", "this role may not read large objects. Let a superuser run in psql: "+grant
	}
	return r.err
}
