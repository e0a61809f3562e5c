package model

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Relpack's own tables lose rows, as in a restore without their data, or by a
// superuser who has switched their triggers off.

// modelLosable are tables that an exact model can see lose rows.
var modelLosable = []string{"object", "object", "object_inref", "object_inref", "pending", "suspect", "problem",
	"write_event", "foreign_reference", "missing"}

// How they do.
const (
	loseAll     = iota // TRUNCATE
	losePart           // TRUNCATE, and a part is put back
	loseRows           // DELETE
	loseSome           // DELETE of a part
	loseNothing        // VACUUM FULL
	loseWays
)

const modelLosing = `
	BEGIN;
	ALTER TABLE relpack.%[1]s DISABLE TRIGGER USER;
	%[3]s;
	ALTER TABLE relpack.%[1]s ENABLE ALWAYS TRIGGER relpack_guard_%[2]s;
	COMMIT`

// lose has one of the tables lose rows, where there is a graph.
func (h *modelHistory) lose(ctx context.Context, s modelStep) error {
	var graph string
	var before, after, accepted int64
	if err := h.w.app.QueryRow(ctx, "SELECT graph, (SELECT count(*) FROM relpack."+s.kind+"), (SELECT count(*) FROM relpack.missing) FROM relpack.storage").
		Scan(&graph, &before, &accepted); err != nil || graph == "none" {
		return err
	}
	how := s.args["how"]
	if graph != "current" && graph != "doubtful" || !strings.HasPrefix(s.kind, "object") {
		// Of these a part would not be missed; nor of a graph that is being built.
		how = how / loseNothing * loseNothing
	}
	sql := "VACUUM FULL relpack." + s.kind
	if how != loseNothing {
		part := fmt.Sprintf("zoid %% 2 = %d", s.args["part"]%2)
		sql = fmt.Sprintf(modelLosing, s.kind, strings.TrimPrefix(s.kind, "object_"), map[int64]string{
			loseAll: "TRUNCATE relpack." + s.kind,
			losePart: "CREATE TEMPORARY TABLE part ON COMMIT DROP AS SELECT * FROM relpack." + s.kind + " WHERE " + part +
				"; TRUNCATE relpack." + s.kind + "; INSERT INTO relpack." + s.kind + " SELECT * FROM part",
			loseRows: "DELETE FROM relpack." + s.kind,
			loseSome: "DELETE FROM relpack." + s.kind + " WHERE " + part,
		}[how])
	}
	if _, err := h.w.app.Exec(ctx, sql); err != nil {
		return err
	}
	if err := h.w.app.QueryRow(ctx, "SELECT count(*) FROM relpack."+s.kind).Scan(&after); err != nil {
		return err
	}
	if err := h.happens(ctx, sureReports); err != nil {
		return err
	}
	rewritten := how != loseRows && how != loseSome
	switch {
	case graph != "current" && graph != "doubtful", before > after && strings.HasPrefix(s.kind, "object"):
		h.lost = true
		h.w.counts["graph lost"]++
	case rewritten:
		h.renewed = h.clock
	}
	if s.kind == "missing" && accepted > 0 {
		clear(h.accepted)
	}
	h.altered = sureReports
	return nil
}

// isLost asks whether the graph has to be built anew, and knows the answer.
func (h *modelHistory) isLost(ctx context.Context, conn *pgx.Conn) (bool, error) {
	var lost string
	if err := conn.QueryRow(ctx, "SELECT coalesce(relpack.graph_lost(), '')").Scan(&lost); err != nil {
		return false, err
	}
	if (lost != "") != h.lost {
		return false, lossf("rows of the graph are lost: %v; relpack says %q", h.lost, lost)
	}
	return h.lost, nil
}

// renew is what must hold of garbage once a graph is settled whose tables were
// others: it has its grace again.
func (m *model) renew() {
	if m.renewed == 0 {
		return
	}
	for zoid, node := range m.nodes {
		if node.garbage {
			node.lo = m.renewed
			m.nodes[zoid] = node
		}
	}
	m.renewed, m.begunUntil = 0, 0
}

// losePlot: a table is lost, perhaps after a run was abandoned amid its changes.
func (g *modelGenerator) losePlot() []func() modelStep {
	lose := planned("lose", pick(g, modelLosable...), map[string]int64{"how": int64(g.IntN(loseWays)), "part": int64(g.IntN(2))})
	var plot []func() modelStep
	if g.chance(40) {
		plot = append(plot, g.later(pick(g, "cut", "dirt")), planned("pack", "steps", lookOnly))
	}
	if g.chance(60) {
		plot = append(plot, g.later(pick(g, "chain", "mass")), g.later(pick(g, "cut", "move")),
			planned("pack", "steps", map[string]int64{"grace": -1, "chunk": pick[int64](g, 1, 10000), "crash": 5 + int64(g.IntN(4))}))
	}
	plot = append(plot, lose)
	if g.chance(30) {
		plot = append(plot, planned("sweep", "psql", map[string]int64{"batch": 1000, "calls": 1}))
	}
	if g.chance(20) {
		return append(plot, planned("pack", "runner", map[string]int64{"grace": -1}))
	}
	grace := pick[int64](g, -1, -1, 60*24)
	return append(plot, planned("pack", "steps", map[string]int64{"grace": grace, "chunk": 10000, "batch": 1000}))
}

// dueLosePlot: rows come and go unseen, and before that was compared the parents
// of all objects are chosen again.
func (g *modelGenerator) dueLosePlot() []func() modelStep {
	at := int64(len(g.h.snapshots) + 1)
	return []func() modelStep{
		planned("snapshot", "taken", nil), g.later("add"), planned("pack", "steps", lookOnly),
		planned("lose", pick(g, "suspect", "pending", "problem"), map[string]int64{"how": pick[int64](g, loseAll, loseNothing)}),
		planned("reload", "untriggered", map[string]int64{"snapshot": at}),
		planned("pack", "steps", map[string]int64{"grace": -1, "chunk": 10000, "crash": pick[int64](g, 5, 6, 6)}),
		planned("pack", "steps", deleteAll),
	}
}
