"""undo_beside_a_vote.py CONFIG RELPACK: an undo between a client's vote and its finish.

The client's commit names the revision that it loaded, which is older than the undo's.
A pack without grace waits for it. One up to the moment of the undo leaves the client's
commit what it needs to be undone in the end."""
import base64
import subprocess
import sys
import time

import transaction
from BTrees.OOBTree import OOBTree
from ZODB.utils import p64

from models import open_db


def rows(db, sql):
    adapter = db.storage._adapter
    conn, cursor = adapter.connmanager.open()
    try:
        cursor.execute(sql)
        return cursor.fetchall()
    finally:
        adapter.connmanager.close(conn, cursor)


class AtVote:
    """Does something when all others have voted."""

    def __init__(self, manager, act):
        self.transaction_manager = manager
        self.act = act

    def sortKey(self):
        return "~~~~"

    def abort(self, t):
        pass

    tpc_begin = commit = tpc_finish = tpc_abort = abort

    def tpc_vote(self, t):
        self.act()


def pack(relpack, config, days=-1):
    return subprocess.run([relpack, "pack", "--days", "%.9f" % days, config], capture_output=True, text=True)


def undo(db, tid, manager=None):
    db.undo(base64.encodebytes(p64(tid)).rstrip(), (manager or transaction.manager).get())
    (manager or transaction.manager).commit()


def main():
    config, relpack = sys.argv[1:]
    db = open_db(config)
    setup, client = transaction.TransactionManager(), transaction.TransactionManager()
    connection = db.open(setup)
    root = connection.root()
    root["tree"] = OOBTree()
    setup.commit()
    root["tree"]["first"] = 1
    setup.commit()
    root["tree"]["second"] = 2
    setup.commit()
    subprocess.run([relpack, "migrate", "up", "-q", "--no-blob-index", config], check=True)
    newest = rows(db, "SELECT max(tid) FROM transaction")[0][0]
    tree = db.open(client).root()["tree"]
    tree["mine"] = 3
    connection.close()
    seen = []

    def act():
        undo(db, newest, transaction.TransactionManager())
        seen.append(time.time())
        seen.append(pack(relpack, config))

    client.get().join(AtVote(client, act))
    client.commit()
    undone, beside = seen
    if beside.returncode != 1 or "wait for undos" not in beside.stderr:
        raise SystemExit("a pack beside a vote: %s" % beside)
    ended = pack(relpack, config, (time.time() - undone) / 86400)
    if ended.returncode:
        raise SystemExit("a pack afterwards: %s" % ended)
    undo(db, rows(db, "SELECT max(tid) FROM transaction")[0][0])
    connection = db.open()
    print(sorted(connection.root()["tree"].items()))
    connection.close()
    db.close()


main()
