package schema

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
)

// Whoever owns a table, or a function that is called, can have code of his own
// run with the rights of the session that comes by: in a trigger, a rule, a
// default, an index. Neither SET ROLE nor a read-only transaction keeps it from
// using these rights: that code can reset the role, and a superuser may run
// programs on the server with COPY. So a superuser touches nothing that he
// doesn't find in superusers' hands, by the catalogs alone.

// superuserWithin is the superuser that this session is or could become; "" where
// there is none.
const superuserWithin = `
	coalesce((SELECT rolname::text
	          FROM pg_catalog.pg_roles
	          WHERE rolsuper
	            AND (pg_has_role(session_user, oid, 'MEMBER') OR pg_has_role(current_user, oid, 'MEMBER'))
	          ORDER BY rolname = current_user DESC, rolname = session_user DESC, rolname
	          LIMIT 1), '')`

// firstTrap finds something that runs code, or could, when relpack is at work,
// and belongs to a role that can't become a superuser itself: the schema relpack
// and what is in it, RelStorage's tables, whatever a deletion from them goes on
// to, and the functions of all their triggers.
const firstTrap = `
	WITH RECURSIVE touched (oid) AS (
	    SELECT oid
	    FROM pg_catalog.pg_class
	    WHERE relnamespace = (SELECT to_regnamespace('relpack'))
	       OR (relnamespace = (SELECT to_regnamespace('public')) AND relname IN ('object_state', 'blob_chunk'))
	    UNION
	    SELECT following.oid
	    FROM touched
	    JOIN (
	        SELECT confrelid, conrelid FROM pg_catalog.pg_constraint WHERE contype = 'f'
	        UNION ALL
	        SELECT inhparent, inhrelid FROM pg_catalog.pg_inherits
	    ) AS following (base, oid) ON following.base = touched.oid
	), thing (rank, name, owner) AS (
	    SELECT CASE WHEN relname = 'object_state' AND relnamespace = to_regnamespace('public') THEN 1 ELSE 3 END,
	           CASE WHEN relnamespace = to_regnamespace('public') THEN relname::text
	                ELSE format('%I.%I', relnamespace::regnamespace, relname) END,
	           relowner
	    FROM touched
	    JOIN pg_catalog.pg_class USING (oid)
	    UNION ALL
	    SELECT 2, 'the schema relpack', nspowner
	    FROM pg_catalog.pg_namespace
	    WHERE nspname = 'relpack'
	    UNION ALL
	    SELECT 4, format('function %I.%I', pronamespace::regnamespace, proname), proowner
	    FROM pg_catalog.pg_proc
	    WHERE pronamespace = (SELECT to_regnamespace('relpack'))
	       OR oid IN (SELECT tgfoid FROM pg_catalog.pg_trigger JOIN touched ON tgrelid = touched.oid WHERE NOT tgisinternal)
	)
	SELECT name, pg_get_userbyid(owner)::text, rank = 1,
	       current_user = $1 OR session_user = $1,
	       session_user::text,
	       coalesce((SELECT pg_get_userbyid(relowner)::text
	                 FROM pg_catalog.pg_class
	                 WHERE relname = 'object_state' AND relnamespace = to_regnamespace('public')), '')
	FROM thing
	WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolsuper AND pg_has_role(thing.owner, oid, 'MEMBER'))
	ORDER BY rank, name
	LIMIT 1`

// lookForTraps refuses to go on as this superuser where code of somebody else's
// would run with his rights.
func lookForTraps(ctx context.Context, conn *pgx.Conn, superuser string) (trap, err error) {
	var thing, owner, session, storageOwner string
	var storage, himself bool
	switch err := conn.QueryRow(ctx, firstTrap, superuser).
		Scan(&thing, &owner, &storage, &himself, &session, &storageOwner); {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	}
	who := "role " + superuser + " is a superuser"
	if !himself {
		who = "role " + session + " may become the superuser " + superuser
	}
	hint := "Run relpack as " + owner + ", or as a role that is no superuser and lacks nothing of relpack.missing_privilege()"
	if !storage && storageOwner != "" {
		hint = "Give it to " + storageOwner + `, or if you don't know what it is, drop it`
	}
	return fault.Refuse(hint, "%s, and %s belongs to %s: code of %[3]s's would run as a superuser", who, thing, owner), nil
}
