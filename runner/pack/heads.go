package pack

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"relpack/runner/blobs"
	"relpack/runner/du"
	"relpack/runner/figures"
	"relpack/runner/inventory"
	"relpack/runner/session"
)

// Content is the part of a report about what garbage is, as people know it.
type Content struct {
	// CutOff are the unreachable objects that are in nothing unreachable; nil: nobody
	// looked.
	CutOff      *inventory.Heads `json:"cut_off,omitempty"`
	ChosenBlobs ChosenBlobs      `json:"chosen_blobs"`
}

// ChosenBlobs are blobs among what was chosen for deletion.
type ChosenBlobs struct {
	Blobs int64  `json:"blobs"`
	Bytes int64  `json:"bytes"` // of the files or large objects of those whose size is known
	Known int64  `json:"known"`
	Where string `json:"where"` // files or large objects; "": nobody knows
}

// String is for people.
func (b ChosenBlobs) String() string {
	text := figures.Plural(b.Blobs, "blob")
	switch {
	case b.Where == "":
		return text
	case b.Known == 0:
		return text + ", size not known"
	case b.Known < b.Blobs:
		return fmt.Sprintf("%s, %s of %s of %s", text, figures.Size(b.Bytes), b.Where, figures.Plural(b.Known, "blob"))
	}
	return fmt.Sprintf("%s, %s of %s", text, figures.Size(b.Bytes), b.Where)
}

// content tells what garbage is, in a dry run, and how long the chosen blobs are, where
// they are in the database in any run: afterwards nobody knows. going are their files and
// large objects, if all were looked at. What goes wrong stops no pack.
func (p *pack) content(ctx context.Context, unreachable figures.Count, chosen Choice, dry bool) (c Content, going blobs.Going) {
	if unreachable.Objects == 0 {
		return c, going
	}
	log := func(err error) {
		if err != nil && ctx.Err() == nil {
			p.Log.Info(err.Error())
		}
	}
	if dry || chosen.blobs > 0 && p.blobs.InDatabase() {
		var err error
		c.ChosenBlobs, going, err = p.measureBlobs(ctx, chosen.blobs, dry)
		log(err)
		if !dry && (err != nil || chosen.blobs > measuredBlobs) {
			going = blobs.Going{} // not all were looked at
		}
	}
	if dry {
		log(p.Phase("cut off", func() (err error) {
			search := du.Search{Conn: p.Conn, Progress: p.Progress, BlobSizes: p.blobs.Sizes}
			if c.CutOff, err = search.Find(ctx); err == nil && c.CutOff == nil {
				p.Log.Info("what was cut off is not looked for: there is too much garbage")
			}
			return err
		}))
	}
	return c, going
}

// So many blobs are looked for at once, and at most, but for a dry run.
const (
	blobsAtOnce   = 2_000
	measuredBlobs = 100_000
)

// measureBlobs looks how long the chosen blobs are, and counts what goes with them. What
// can't be decoded may be one.
func (p *pack) measureBlobs(ctx context.Context, count int64, all bool) (b ChosenBlobs, going blobs.Going, err error) {
	b.Blobs = count
	switch {
	case p.blobs.InDatabase():
		b.Where = "large objects"
	case p.blobs.Dir != nil:
		b.Where = "files"
	}
	type blob struct{ Zoid, Tid int64 }
	for after, looked := int64(-1), 0; all || looked < measuredBlobs; looked += blobsAtOnce {
		some, err := session.Rows(ctx, p.Conn, pgx.RowToStructByPos[blob], `
			SELECT blob.zoid, blob.tid
			FROM relpack.doomed
			CROSS JOIN LATERAL (
			    SELECT object.zoid, object.tid FROM relpack.object WHERE object.zoid = doomed.zoid AND object.class IN (0, 1) OFFSET 0
			) AS blob
			WHERE doomed.zoid > $1
			ORDER BY doomed.zoid
			LIMIT $2`, after, blobsAtOnce)
		if err != nil || len(some) == 0 {
			return b, going, err
		}
		var zoids, tids []int64
		for _, one := range some {
			zoids, tids = append(zoids, one.Zoid), append(tids, one.Tid)
		}
		after = zoids[len(zoids)-1]
		gone, known, err := p.blobs.Going(ctx, zoids, tids, nil)
		if err != nil {
			return b, going, err
		}
		if b.Where == "large objects" {
			b.Known += known
			b.Bytes += gone.LargeObjectBytes
		} else {
			b.Known += gone.Files
			b.Bytes += gone.Bytes
		}
		going.Add(gone)
	}
	return b, going, nil
}
