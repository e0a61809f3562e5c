"""history.py ACTION CONFIG: a storage that keeps history.

write     a site whose transactions are undone, undone again, and deleted objects
states N  what every object is at the last N transactions' times, and now, as JSON
undo TID  undoes every later transaction that can be undone, looks at what it
          restored, and undoes the undo; prints how many that were
"""
import base64
import hashlib
import json
import sys

import transaction
import ZODB.blob
from ZODB.POSException import POSKeyError, UndoError
from ZODB.utils import p64

from models import Document, Folder, Site, check_blob, open_db, write_blob


def write(db):
    connection = db.open()
    root = connection.root()
    if "site" not in root:
        root["site"] = Site()
        transaction.commit()
        for number in range(4):
            root["site"].areas["area-%d" % number] = Folder(root["site"])
        transaction.commit()
    for number in range(30):
        area = root["site"].areas["area-%d" % (number % 4)]
        uid = "document-%d" % (number % 7)
        document = area.items.get(uid)
        if document is None:
            document = area.items[uid] = Document(area, uid, "first" * 20)
        document.body = "body %d" % number
        if number % 3 == 0:
            if document.blob is None:
                document.blob = ZODB.blob.Blob()
            write_blob(document.blob, 300)
        if number % 11 == 10:
            del area.items[uid]
        transaction.get().note("write %d" % number)
        transaction.commit()
        if number % 4 == 3:
            try:
                db.undo(db.undoLog(0, 1)[0]["id"])
                transaction.commit()
                if number % 8 == 7:
                    db.undo(db.undoLog(0, 1)[0]["id"])
                    transaction.commit()
            except UndoError:
                transaction.abort()
            connection.sync()
    connection.close()


def rows(db, sql):
    storage = db.storage
    adapter = storage._adapter
    conn, cursor = adapter.connmanager.open()
    try:
        cursor.execute(sql)
        return cursor.fetchall()
    finally:
        adapter.connmanager.close(conn, cursor)


def state(storage, oid, before):
    try:
        found = storage.loadBefore(p64(oid), before)
    except POSKeyError:
        found = None
    return hashlib.sha1(found[0]).hexdigest() if found and found[0] else None


def stored(db, oid, until):
    """What is stored of an object up to a tid: by the database, which knows of every commit."""
    found = rows(db, "SELECT md5(state) FROM object_state WHERE zoid = %d AND tid <= %d ORDER BY tid DESC LIMIT 1" % (oid, until))
    return found[0][0] if found else None


def states(db, count):
    storage = db.storage
    tids = [row[0] for row in rows(db, "SELECT tid FROM transaction WHERE tid > 0 ORDER BY tid DESC LIMIT %d" % count)]
    oids = sorted(row[0] for row in rows(db, "SELECT DISTINCT zoid FROM object_state"))
    told = {tid: {oid: state(storage, oid, p64(tid + 1)) for oid in oids} for tid in tids}
    print(json.dumps({tid: {oid: found for oid, found in at.items() if found} for tid, at in told.items()}, sort_keys=True))
    connection = db.open()
    for area in connection.root()["site"].areas.values():
        for document in area.items.values():
            if document.blob is not None:
                check_blob(document.blob)
    connection.close()


def undo(db, since):
    done = 0
    tids = [row[0] for row in rows(db, "SELECT tid FROM transaction WHERE tid > %d ORDER BY tid DESC" % since)]
    for tid in tids:
        oids = [row[0] for row in rows(db, "SELECT zoid FROM object_state WHERE tid = %d" % tid)]
        was = {oid: stored(db, oid, tid - 1) for oid in oids}
        try:
            db.undo(base64.encodebytes(p64(tid)).rstrip())
            transaction.commit()
        except UndoError:
            transaction.abort()
            continue
        except POSKeyError:
            transaction.abort()
            raise
        newest = rows(db, "SELECT max(tid) FROM transaction")[0][0]
        for oid in oids:
            if stored(db, oid, newest) != was[oid]:
                raise SystemExit("undo of %d gave object %d another state than it had" % (tid, oid))
        db.undo(base64.encodebytes(p64(newest)).rstrip())
        transaction.commit()
        done += 1
    print(done)


def main():
    action, config, *rest = sys.argv[1:]
    db = open_db(config)
    try:
        globals()[action](db, *map(int, rest))
    finally:
        db.close()


main()
