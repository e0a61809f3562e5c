package pgtest

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// A Pool lends sessions of a database to clients, as a pooler does with pool_mode =
// session, and after Wait to others. What was compiled and planned in a session is there
// for the next client: in a pack of a few objects most of the time goes into that. With
// a client that goes in the midst of a statement or a transaction a session ends, as it
// would without the pool.
type Pool struct {
	DSN     string
	server  *pgconn.Config
	fresh   atomic.Bool
	mutex   sync.Mutex
	clients int
	fewer   *sync.Cond           // clients
	used    []*pooled            // by clients that are gone
	idle    map[string][]*pooled // as new, by application_name: these do the same
}

// poolPort is part of a socket's name only.
const poolPort = 5432

// Pool puts a pool before the database, until the end of the test.
func (d *Database) Pool(t testing.TB) *Pool {
	t.Helper()
	server, err := pgconn.ParseConfig(d.DSN)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	dir, err := os.MkdirTemp("", "pool-")
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, fmt.Sprintf(".s.PGSQL.%d", poolPort)))
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	p := &Pool{server: server, idle: map[string][]*pooled{},
		DSN: fmt.Sprintf("host=%s port=%d user=%s dbname=%s", quote(dir), poolPort, quote(server.User), quote(server.Database))}
	p.fewer = sync.NewCond(&p.mutex)
	t.Cleanup(func() {
		_ = listener.Close()
		_ = os.RemoveAll(dir)
		p.mutex.Lock()
		defer p.mutex.Unlock()
		for _, sessions := range p.idle {
			p.used = append(p.used, sessions...)
		}
		for _, s := range p.used {
			_ = s.Close()
		}
	})
	go func() {
		for client, err := listener.Accept(); err == nil; client, err = listener.Accept() {
			p.count(1)
			go func() {
				defer p.count(-1)
				p.serve(client)
			}()
		}
	}()
	return p
}

func (p *Pool) count(more int) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.clients += more
	p.fewer.Broadcast()
}

// Fresh has sessions be those of one client only, from now on, or not.
func (p *Pool) Fresh(fresh bool) {
	p.fresh.Store(fresh)
	p.Wait()
}

// Wait waits until each client is gone, and makes as new what sessions they used: at once,
// who looks for transactions of others would meet those that this takes. So he would where
// an idle session takes one, without being asked to, because it has missed too much of what
// was altered: none has then.
func (p *Pool) Wait() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for p.clients > 0 {
		p.fewer.Wait()
	}
	for _, s := range p.used {
		if s.renew() && !p.fresh.Load() {
			p.idle[s.purpose] = append(p.idle[s.purpose], s)
		} else {
			s.end()
		}
	}
	p.used = nil
	for purpose, sessions := range p.idle {
		p.idle[purpose] = slices.DeleteFunc(sessions, func(s *pooled) bool {
			gone := p.fresh.Load() || !s.awake()
			if gone {
				s.end()
			}
			return gone
		})
	}
}

// serve is there for one client.
func (p *Pool) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	start, err := pgproto3.NewBackend(client, client).ReceiveStartupMessage()
	if err != nil {
		return
	}
	switch start := start.(type) {
	case *pgproto3.CancelRequest:
		p.cancel(start)
	case *pgproto3.StartupMessage:
		s, err := p.take(start.Parameters["application_name"])
		if err != nil {
			refusal, _ := (&pgproto3.ErrorResponse{Severity: "FATAL", Code: "08006", Message: "pool: " + err.Error()}).Encode(nil)
			_, _ = client.Write(refusal)
			return
		}
		if !s.lend(client) || p.fresh.Load() {
			s.hangUp()
			<-s.settled
			s.end()
			return
		}
		p.mutex.Lock()
		defer p.mutex.Unlock()
		p.used = append(p.used, s)
	}
}

// cancel hands a request on, and waits until the server has seen to it.
func (p *Pool) cancel(request *pgproto3.CancelRequest) {
	network, address := pgconn.NetworkAddress(p.server.Host, p.server.Port)
	conn, err := net.Dial(network, address)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	if message, err := request.Encode(nil); err == nil {
		_, _ = conn.Write(message)
		_, _ = io.Copy(io.Discard, conn)
	}
}

// take is a session that is as new, or a new one.
func (p *Pool) take(purpose string) (*pooled, error) {
	p.mutex.Lock()
	if n := len(p.idle[purpose]); n > 0 {
		s := p.idle[purpose][n-1]
		p.idle[purpose] = p.idle[purpose][:n-1]
		p.mutex.Unlock()
		return s, nil
	}
	p.mutex.Unlock()
	server := p.server.Copy()
	server.RuntimeParams["application_name"] = purpose
	conn, err := pgconn.ConnectConfig(context.Background(), server)
	if err != nil {
		return nil, err
	}
	h, err := conn.Hijack()
	if err != nil {
		return nil, err
	}
	greeting, _ := (&pgproto3.AuthenticationOk{}).Encode(nil)
	for name, value := range h.ParameterStatuses {
		greeting, _ = (&pgproto3.ParameterStatus{Name: name, Value: value}).Encode(greeting)
	}
	greeting, _ = (&pgproto3.BackendKeyData{ProcessID: h.PID, SecretKey: h.SecretKey}).Encode(greeting)
	greeting, _ = (&pgproto3.ReadyForQuery{TxStatus: 'I'}).Encode(greeting)
	return &pooled{Conn: h.Conn, purpose: purpose, reader: bufio.NewReaderSize(h.Conn, 64<<10), greeting: greeting, settled: make(chan bool, 1)}, nil
}

// A pooled session at the server.
type pooled struct {
	net.Conn
	purpose  string
	reader   *bufio.Reader
	greeting []byte       // what a new client is told first
	asked    atomic.Int64 // what the server has not answered yet
	open     atomic.Bool  // a transaction
	returned atomic.Bool  // by the client
	settled  chan bool    // the server has no more to say: whether the session is as new
}

// lend has a client use the session until it goes, and tells whether it was through
// with what it asked.
func (s *pooled) lend(client net.Conn) bool {
	_, _ = client.Write(s.greeting)
	s.asked.Store(0)
	s.open.Store(false)
	s.returned.Store(false)
	go func() { s.settled <- s.answer(client) }()
	return s.forward(client) && s.asked.Load() == 0 && !s.open.Load()
}

// asNew is a query that leaves of a session only what is compiled and planned.
var asNew, _ = (&pgproto3.Query{String: `CLOSE ALL; DEALLOCATE ALL; UNLISTEN *; DISCARD TEMP; DISCARD SEQUENCES;
	SET SESSION AUTHORIZATION DEFAULT; RESET ALL; SELECT pg_advisory_unlock_all()`}).Encode(nil)

// renew tells whether a session could be made as new.
func (s *pooled) renew() bool {
	s.returned.Store(true)
	if _, err := s.Write(asNew); err != nil {
		s.hangUp()
	}
	return <-s.settled
}

// awake has a session take note of what was altered.
func (s *pooled) awake() bool {
	m, _ := (&pgproto3.Query{}).Encode(nil)
	_, err := s.Write(m)
	for err == nil && (len(m) == 0 || m[0] != 'Z') {
		m, err = next(s.reader)
	}
	return err == nil
}

// hangUp tells the server that nobody will ask any more.
func (s *pooled) hangUp() {
	if half, ok := s.Conn.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		_ = s.Close()
	}
}

// end waits until the server has ended the session.
func (s *pooled) end() {
	s.hangUp()
	_, _ = io.Copy(io.Discard, s.reader)
	_ = s.Close()
}

// forward hands on what a client asks until it goes, and tells whether each message was
// followed by one that has the server answer.
func (s *pooled) forward(client net.Conn) bool {
	through := true
	reader, writer := bufio.NewReader(client), bufio.NewWriter(s)
	for {
		m, err := next(reader)
		if err != nil || m[0] == 'X' {
			return through
		}
		switch m[0] {
		case 'Q', 'S':
			s.asked.Add(1)
			through = true
		case 'P', 'B', 'D', 'E', 'C', 'H':
			through = false
		}
		_, _ = writer.Write(m)
		if reader.Buffered() == 0 && writer.Flush() != nil {
			return false
		}
	}
}

// answer hands on what the server answers. When the session was returned it waits for
// the answer to asNew, and tells whether that was done.
func (s *pooled) answer(client net.Conn) bool {
	writer := bufio.NewWriter(client)
	failed := false
	for {
		m, err := next(s.reader)
		switch {
		case err != nil:
			_ = client.Close()
			return false
		case !s.returned.Load():
			if m[0] == 'Z' { // noted before the client knows, who may go then
				s.open.Store(m[5] != 'I')
				s.asked.Add(-1)
			}
			_, _ = writer.Write(m)
			if s.reader.Buffered() == 0 {
				_ = writer.Flush() // a client that is gone is noticed elsewhere
			}
		case m[0] == 'E':
			failed = true
		case m[0] == 'Z':
			return !failed
		}
	}
}

// next is a message: a letter, four bytes of a length that counts them, and so much.
func next(r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(5)
	if err != nil {
		return nil, err
	}
	m := make([]byte, 1+binary.BigEndian.Uint32(head[1:]))
	_, err = io.ReadFull(r, m)
	return m, err
}
