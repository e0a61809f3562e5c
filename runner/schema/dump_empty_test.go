package schema_test

import (
	"testing"

	"relpack/migrations"
	"relpack/runner/internal/packtest"
	"relpack/runner/pack"
	"relpack/runner/schema"
)

func TestARestoreThatLeftRelpacksDataOutIsToldFromOneThatNeverHadIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ option, says string }{
		"without its data":   {"--exclude-table-data=relpack.*", "restored without its data"},
		"without its tables": {"--exclude-table=relpack.*", "relpack did not create"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, _ := packtest.NewGarden(t)
			target, conn := packtest.Restored(t, source, c.option)
			for range 2 {
				_, err := pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
				packtest.ExpectRefusal(t, err, c.says, "DROP SCHEMA relpack CASCADE", "relpack migrate up")
				packtest.ExpectRefusal(t, schema.Up(t.Context(), target, migrations.Files, packtest.Log(t)), c.says, "DROP SCHEMA relpack CASCADE", "relpack migrate up")
				packtest.ExpectRefusal(t, schema.Down(t.Context(), target, migrations.Files, packtest.Log(t)), c.says, "DROP SCHEMA relpack CASCADE")
			}
			packtest.Run(t, conn, "DROP SCHEMA relpack CASCADE")
			packtest.MigrateUp(t, target)
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, 0, 1, 2)
		})
	}
}
