package model

import (
	"context"
	"maps"
	"slices"
	"testing"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
)

// What is otherwise in the databases in which histories are played.

// modelLimits is what relpack.walk_limits() says.
const modelLimits = "SELECT 1000, 100000, 50000,\n           64, 1000000, 24, 10000,\n           67108864, 255, 32;"

// modelReplaced is what functions have otherwise here: each text is followed by
// what comes in its place. Limits, and the clock by which events are dated, come
// from tables: to replace functions for every history would make all sessions
// forget their plans.
var modelReplaced = map[string][]string{
	"apply":          {"noticed_tid, relpack.time_to_tid(clock_timestamp())", "noticed_tid, relpack.time_to_tid((SELECT moment FROM public.model_clock))"},
	"capture_events": {"clock_timestamp()", "(SELECT moment FROM public.model_clock)"},
	"capture_list":   {"clock_timestamp()", "(SELECT moment FROM public.model_clock)"},
	"reach_step":     {"clock_timestamp()", "(SELECT moment FROM public.model_clock)"},
	"walk_limits": {"LANGUAGE sql", "LANGUAGE plpgsql", modelLimits, `
		BEGIN
			SELECT drawn.narrow, drawn.walk, drawn.together,
			       drawn.climb_inrefs, drawn.climb_visits, drawn.reshape_share, drawn.reshape_least,
			       drawn.grow_zoids, drawn.grow_levels, drawn.grow_wide
			INTO narrow, walk, together, climb_inrefs, climb_visits, reshape_share, reshape_least,
			     grow_zoids, grow_levels, grow_wide
			FROM public.model_limits AS drawn;
		END;`},
}

// modelQuickened leaves out what is right for millions of rows and takes most
// of the time of a history with some dozen objects: plans made anew for every
// call, hash tables for a million objects, and TRUNCATE and ANALYZE of scratch
// tables, which make the server forget the plans that it has; and what the catalogs
// are asked for again and again, though no history changes the answer. One worker
// of several does without.
var modelQuickened = map[string][]string{
	"scratch_clear": {"EXECUTE format('TRUNCATE %s', scratch)", "EXECUTE format('DELETE FROM %s', scratch)"},
	"doom_analyze":  {"ANALYZE relpack.spared;", ""},
	"verify_tree":   {"ROWS 1000000", "ROWS 100"},
	"sweep":         {"SET plan_cache_mode = force_custom_plan\n", ""},
	"require_own":   {"DECLARE\n    v_foreign text;\nBEGIN\n", "DECLARE\n    v_foreign text;\nBEGIN\n    RETURN;\n"},
	"guard_graph":   {"AS $$\nBEGIN\n", "AS $$\nBEGIN\n    RETURN NULL;\n"},
	"lock_protocol": {"AS $$\nBEGIN\n", "AS $$\nBEGIN\n    RETURN 'advisory';\n"},
}

// function is the text of a function as this worker has it, with more parts
// replaced.
func (w *modelWorker) function(name string, parts ...string) (string, error) {
	all := slices.Clone(modelReplaced[name])
	if w.quick {
		all = append(all, modelQuickened[name]...)
	}
	return zodbtest.Mutated(name, append(all, parts...)...)
}

// prepare makes plans that are kept the rule, in the sessions of Pack too.
func (w *modelWorker) prepare(t testing.TB, db *pgtest.Database) {
	t.Helper()
	conn := db.Connect(t)
	packtest.Run(t, conn, `CREATE TABLE public.model_usual AS SELECT * FROM relpack.walk_limits();
		CREATE TABLE public.model_limits AS SELECT * FROM public.model_usual;
		CREATE TABLE public.model_clock AS SELECT clock_timestamp() AS moment`)
	names := slices.Collect(maps.Keys(modelReplaced))
	if w.quick {
		names = slices.AppendSeq(names, maps.Keys(modelQuickened))
	}
	for _, name := range names {
		text, err := w.function(name)
		if err != nil {
			t.Fatal(err)
		}
		packtest.Run(t, conn, text)
	}
	for _, setting := range []string{"plan_cache_mode = force_generic_plan", "jit = off", "synchronous_commit = off"} {
		packtest.Run(t, conn, "ALTER DATABASE "+db.Name+" SET "+setting)
	}
}

// setLimits makes small graphs take the paths of large ones.
func (w *modelWorker) setLimits(ctx context.Context, s modelStep) error {
	_, err := w.app.Exec(ctx, `
		UPDATE public.model_limits
		SET narrow = $1, walk = $2, together = $3,
		    climb_inrefs = $4, climb_visits = $5, reshape_share = $6, reshape_least = $7,
		    grow_zoids = $8, grow_levels = $9, grow_wide = $10`,
		s.args["narrow"], s.args["walk"], s.args["together"],
		s.args["inrefs"], s.args["visits"], s.args["share"], s.args["least"],
		s.args["zoids"], s.args["levels"], s.args["wide"])
	return err
}
