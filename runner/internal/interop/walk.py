"""walk.py CONFIG: load every object that the root reaches, and open every blob.

Prints as JSON: the oids reached, those that are missing with who refers to
them, how many blobs, and a digest of all oids, tids and states.
"""
import hashlib
import json
import sys

import ZODB.blob
from ZODB.POSException import POSKeyError
from ZODB.serialize import referencesf
from ZODB.utils import u64, z64

from models import check_blob, open_db


def main():
    db = open_db(sys.argv[1])
    connection = db.open()
    storage = connection._storage
    reached, todo, missing, blobs = {z64}, [(z64, z64)], [], 0
    digest = 0
    while todo:
        oid, referrer = todo.pop()
        try:
            state, tid = storage.load(oid)
            loaded = connection.get(oid)
            loaded._p_activate()
            if isinstance(loaded, ZODB.blob.Blob):
                check_blob(loaded)
                blobs += 1
        except (POSKeyError, OSError) as error:
            missing.append([u64(oid), u64(referrer), repr(error)])
            continue
        if hasattr(loaded, "_check"):
            loaded._check()
        # The sum doesn't depend on the order of the walk.
        digest += int.from_bytes(hashlib.sha256(oid + tid + state).digest()[:8], "big")
        for target in referencesf(state):
            if target not in reached:
                reached.add(target)
                todo.append((target, oid))
        if len(reached) % 500 == 0:
            connection.cacheMinimize()
    print(json.dumps({"reached": sorted(map(u64, reached)), "missing": missing,
                      "blobs": blobs, "digest": str(digest % 2**64)}))
    connection.close()
    db.close()


main()
