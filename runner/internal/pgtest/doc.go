// Package pgtest runs a private PostgreSQL for tests, benchmarks and the demo,
// and gives every test a database of its own.
//
// A package of tests says once how its databases look:
//
//	func TestMain(m *testing.M) {
//		os.Exit(pgtest.Main(m, func(ctx context.Context, conn *pgx.Conn) error {
//			_, err := conn.Exec(ctx, schema)
//			return err
//		}))
//	}
//
// and each test, parallel or not, begins with
//
//	db := pgtest.NewDatabase(t)
//	conn := db.Connect(t)
//
// Three environment variables matter:
//
//   - RELPACK_PGBIN names the directory of the server programs to use;
//   - RELPACK_TEST_DSN names a running server (a superuser's connection
//     string) to use instead of starting one, which lets roles in that the
//     tests make, without a password or with theirs;
//   - RELPACK_KEEP=1 keeps the private server after a failure, so that the
//     database of the failed test can be looked at.
package pgtest

// MinVersion is the oldest major version of PostgreSQL that relpack supports.
const MinVersion = 15
