package pack

import (
	"context"
	"fmt"
	"log/slog"

	"relpack/runner/figures"
	"relpack/runner/inventory"
)

// Survey is the part of a report about what is stored, before the deletion.
type Survey struct {
	Objects     int64               `json:"objects"`
	References  int64               `json:"references"` // between them
	Unreachable figures.Count       `json:"unreachable"`
	Damage      inventory.Damage    `json:"damage"`
	Problems    []inventory.Problem `json:"problems"`        // states that could not be decoded, or are none, at most 10
	Ahead       string              `json:"ahead,omitempty"` // what it means that tids are ahead of the clock
}

func noSurvey() Survey {
	return Survey{Damage: inventory.NoDamage(), Problems: []inventory.Problem{}}
}

// namedProblems is how many states that can't be decoded a report has.
const namedProblems = 10

// survey counts objects and damage.
func (p *pack) survey(ctx context.Context) (s Survey, err error) {
	s = noSurvey()
	var ahead *string
	if err := p.Conn.QueryRow(ctx, "SELECT objects, inrefs, unreachable, unreachable_bytes, ahead FROM relpack.survey()").
		Scan(&s.Objects, &s.References, &s.Unreachable.Objects, &s.Unreachable.Bytes, &ahead); err != nil {
		return s, fmt.Errorf("count the unreachable: %w", err)
	}
	if ahead != nil {
		s.Ahead = *ahead
	}
	if s.Damage, err = inventory.ReadDamage(ctx, p.Conn); err != nil {
		return s, err
	}
	if missing, _ := s.Damage.Lines(); missing != "" {
		p.say(slog.LevelError, missing) // with --quiet too
	}
	if s.Problems, err = inventory.ReadProblems(ctx, p.Conn, namedProblems); err != nil {
		return s, err
	}
	for _, problem := range s.Problems {
		if problem.Lost() {
			p.say(slog.LevelError, problem.String())
		}
	}
	return s, nil
}

// say logs what the report says as well, unless that is printed.
func (p *pack) say(level slog.Level, text string) {
	if !p.options.Printed {
		p.job.Log.Log(context.Background(), level, text)
	}
}

// sayUnread tells the same of storages that were never read.
func (p *pack) sayUnread(others []inventory.Referrer) {
	for _, r := range others {
		if r.Looked == nil {
			p.say(slog.LevelError, r.String()+r.Consequence())
		}
	}
}

// sayBlocked tells what would keep relpack from deleting, where there is nothing to
// delete that it could refuse.
func (p *pack) sayBlocked(s Survey) {
	for _, problem := range s.Problems {
		if problem.Blocks {
			p.Log.Error(fmt.Sprintf("zoid %d is reachable and can't be decoded: relpack deletes nothing until it can be (%s)", problem.Zoid, problem.Detail))
			return
		}
	}
}
