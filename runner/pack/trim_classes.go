package pack

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"relpack/runner/inventory"
)

// classesOf tells of which classes these objects are: what the graph does not know, their
// old revisions do, before they go.
func (t *trimming) classesOf(ctx context.Context, zoids, tids []int64) (map[int64]string, error) {
	classes := make(map[int64]string, min(len(zoids), 1000))
	if err := t.Retry(ctx, "look for the classes of old revisions", func() error {
		rows, err := t.Conn.Query(ctx, "SELECT zoid, coalesce(class, ''), head FROM relpack.trim_classes($1, $2)", binary, zoids, tids)
		if err != nil {
			return err
		}
		var zoid int64
		var class string
		var head pgtype.DriverBytes
		_, err = pgx.ForEachRow(rows, []any{&zoid, &class, &head}, func() error {
			if class == "" {
				class = t.labels.Of(head)
			}
			classes[zoid] = class
			return nil
		})
		return err
	}); err != nil {
		return nil, err
	}
	return classes, nil
}

// addClasses adds to what goes, or would.
func (t *trimming) addClasses(classes map[int64]string, zoids, sizes []int64) {
	if len(zoids) == 0 {
		return
	}
	if t.classes == nil {
		t.classes = map[string]inventory.ClassHistory{}
	}
	for i, zoid := range zoids {
		class := classes[zoid]
		sum := t.classes[class]
		t.classes[class] = inventory.ClassHistory{Class: class, Revisions: sum.Revisions + 1, Bytes: sum.Bytes + sizes[i]}
	}
	t.ByClass = inventory.MostHistory(t.classes)
}
