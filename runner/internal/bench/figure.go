package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
)

// figure is one result. Must and Aim are targets; 0: none.
type figure struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Must   float64 `json:"must,omitempty"`
	Aim    float64 `json:"aim,omitempty"`
	Higher bool    `json:"higher_is_better,omitempty"`
	Note   string  `json:"note,omitempty"`
}

// reached says ok or MISSED of a target, and nothing where there is none.
func (f *figure) reached(target float64) string {
	if target == 0 {
		return ""
	}
	if f.Higher == (f.Value >= target) || f.Value == target {
		return "ok"
	}
	return "MISSED"
}

// results are what a run measured and on what.
type results struct {
	Objects  int64     `json:"objects"`
	Seed     uint64    `json:"seed"`
	Date     time.Time `json:"date"`
	CPUs     int       `json:"cpus"`
	Go       string    `json:"go"`
	Server   string    `json:"server"`
	Settings string    `json:"settings"`
	Relpack  string    `json:"relpack"`
	Figures  []figure  `json:"figures"`
}

func newResults(o options) *results {
	return &results{Objects: o.objects, Seed: o.seed, Date: time.Now().UTC().Truncate(time.Second),
		CPUs: runtime.NumCPU(), Go: runtime.Version()}
}

func (r *results) add(f figure) { r.Figures = append(r.Figures, f) }

// remove takes away a figure that is measured again.
func (r *results) remove(name string) {
	r.Figures = slices.DeleteFunc(r.Figures, func(f figure) bool { return f.Name == name })
}

// require sets a target for a figure that was measured.
func (r *results) require(name string, must float64) {
	for i := range r.Figures {
		if r.Figures[i].Name == name {
			r.Figures[i].Must = must
		}
	}
}

// value of a figure that was measured before; 0 if it wasn't.
func (r *results) value(name string) float64 {
	for i := range r.Figures {
		if r.Figures[i].Name == name {
			return r.Figures[i].Value
		}
	}
	return 0
}

// write prints the table for people.
func (r *results) write(w io.Writer) error {
	fmt.Fprintf(w, "%s objects (seed %d), %s, %d CPUs, client and server on one machine\n",
		humanize.Comma(r.Objects), r.Seed, r.Date.Format(time.DateOnly), r.CPUs)
	fmt.Fprintf(w, "PostgreSQL %s, %s; relpack %s\n\n", r.Server, r.Settings, r.Relpack)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "figure\tmeasured\tmust reach\t\taim at\t\tnote")
	for i := range r.Figures {
		f := &r.Figures[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Name, quantity(f.Value, f.Unit),
			f.target(f.Must), f.reached(f.Must), f.target(f.Aim), f.reached(f.Aim), f.Note)
	}
	return t.Flush()
}

func (f *figure) target(value float64) string {
	if value == 0 {
		return ""
	}
	if f.Higher {
		return ">= " + quantity(value, f.Unit)
	}
	return "<= " + quantity(value, f.Unit)
}

func quantity(value float64, unit string) string {
	switch unit {
	case "B":
		return humanize.IBytes(uint64(math.Max(value, 0)))
	case "x":
		return fmt.Sprintf("%.3gx", value)
	}
	number := fmt.Sprintf("%.3g", value)
	if math.Abs(value) >= 1000 {
		number = humanize.Comma(int64(math.Round(value)))
	}
	return number + " " + unit
}

func (r *results) save(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func load(path string) (*results, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &results{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// compare prints the figures of two runs and their ratio.
func compare(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: bench compare base.json new.json")
	}
	base, err := load(args[0])
	if err != nil {
		return err
	}
	other, err := load(args[1])
	if err != nil {
		return err
	}
	if base.Objects != other.Objects || base.Seed != other.Seed {
		fmt.Printf("Not the same database: %d objects with seed %d, and %d with seed %d.\n",
			base.Objects, base.Seed, other.Objects, other.Seed)
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "figure\tbase\tnew\tnew/base\t")
	for i := range other.Figures {
		f := &other.Figures[i]
		before := base.value(f.Name)
		if before == 0 {
			continue
		}
		ratio := f.Value / before
		verdict := ""
		// Two runs on one machine differ by some 15 %.
		if ratio > 1.15 || ratio < 1/1.15 {
			verdict = "worse"
			if f.Higher == (ratio > 1) {
				verdict = "better"
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.2f\t%s\n", f.Name, quantity(before, f.Unit), quantity(f.Value, f.Unit), ratio, verdict)
	}
	return t.Flush()
}
