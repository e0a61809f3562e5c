package pack_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"relpack/runner/internal/packtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// A wire is a way to the server on which connections can be cut.
type wire struct {
	network, address string
	listener         net.Listener
	left             atomic.Int64 // bytes until the next cut
}

// newWire leads to a target's server; the returned target goes that way.
func newWire(t testing.TB, target target.Target) (*wire, target.Target) {
	t.Helper()
	config, err := pgx.ParseConfig(target.DSN)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{}
	w.network, w.address = pgconn.NetworkAddress(config.Host, config.Port)
	if w.listener, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.listener.Close() })
	w.whole()
	go w.serve()
	target.DSN = fmt.Sprintf("host=127.0.0.1 port=%d sslmode=disable", w.listener.Addr().(*net.TCPAddr).Port)
	for name, value := range map[string]string{"user": config.User, "password": config.Password, "dbname": config.Database} {
		if value != "" {
			target.DSN += fmt.Sprintf(" %s='%s'", name, strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value))
		}
	}
	return w, target
}

// cutAfter lets so many bytes pass, in both directions and on all connections,
// and then cuts the connection that carries the next one.
func (w *wire) cutAfter(bytes int64) { w.left.Store(bytes) }

// whole cuts nothing.
func (w *wire) whole() { w.cutAfter(math.MaxInt64) }

// passed is how many bytes went over a whole wire.
func (w *wire) passed() int64 { return math.MaxInt64 - w.left.Load() }

func (w *wire) serve() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return // the test is over
		}
		server, err := net.Dial(w.network, w.address)
		if err != nil {
			_ = client.Close()
			continue
		}
		go w.carry(client, server)
		go w.carry(server, client)
	}
}

func (w *wire) carry(from, to net.Conn) {
	defer func() {
		_ = from.Close()
		_ = to.Close()
	}()
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		left := w.left.Add(int64(-n))
		cut := left < 0 && left+int64(n) >= 0
		if cut {
			n += int(left)
		}
		if _, unsent := to.Write(buffer[:n]); err != nil || unsent != nil || cut {
			return
		}
	}
}

func TestAPackWhoseConnectionIsCutIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	// Most of a first pack's traffic is its scan; some more cuts come after it.
	const rounds, late = 6, 2
	traffic := map[string]int64{}
	reference := packtest.NewSample(t)
	w, via := newWire(t, reference.Target)
	for _, stage := range packtest.Stages {
		reference.Survive(stage, func() {
			w.whole()
			packtest.Pack(t, via, packtest.Ranged())
			traffic[stage] = w.passed()
		})
	}
	var cuts atomic.Int64
	t.Run("rounds", func(t *testing.T) {
		for round := range rounds + late {
			t.Run(fmt.Sprint(round), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(7, uint64(round)))
				s := packtest.NewSample(t)
				w, via := newWire(t, s.Target)
				for _, stage := range packtest.Stages {
					all := traffic[stage]
					after := (int64(round)*all + random.Int64N(all)) / rounds
					if round >= rounds {
						after = all - random.Int64N(all/100)
					}
					s.Survive(stage, func() {
						w.cutAfter(after)
						if _, err := pack.Run(t.Context(), via, packtest.Ranged(), packtest.Log(t)); err != nil {
							t.Logf("%s, cut after %d of %d bytes", stage, after, all)
							packtest.ExpectFailed(t, err)
							cuts.Add(1)
						}
						w.whole()
					})
				}
			})
		}
	})
	// Two runs differ in what they send: a late cut may find nothing left.
	if got := cuts.Load(); got < rounds*2 {
		t.Errorf("%d of %d packs were cut off", got, (rounds+late)*len(packtest.Stages))
	}
}
