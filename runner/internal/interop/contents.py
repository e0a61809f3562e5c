"""contents.py --dsn DSN [--blob-dir DIR]: walk through a site of make_site.py as a visitor does, from folder to folder.

Prints as JSON for each folder and document by its oid: bytes of states, bytes of blobs and objects, with all that
is in it; how many objects the root reaches; and the folders and documents that no folder has, though they are reached.
"""
import argparse
import json
import os
import sys

import ZODB.blob
from ZODB.serialize import referencesf
from ZODB.utils import u64, z64

from site_models import Base, Folder, Tag
from storage import add_arguments, open_db, open_storage


class Walk:
    def __init__(self, connection):
        self.connection = connection
        self.storage = connection._storage
        site = connection.root()['plone']
        self.shared = {user._p_oid for user in site.users} | {user['prefs']._p_oid for user in site.users}
        self.found = {}

    def size(self, oid):
        """Bytes of the object's state and of its blob."""
        blob = self.connection.get(oid)
        blob._p_activate()
        return len(self.storage.load(oid)[0]), os.path.getsize(blob.committed()) if isinstance(blob, ZODB.blob.Blob) else 0

    def parts(self, oid, follow):
        """The objects that are an object's own: follow says where one of others begins."""
        met, todo = {oid}, [oid]
        while todo:
            for target in referencesf(self.storage.load(todo.pop())[0]):
                if target not in met and follow(self.connection.get(target)):
                    met.add(target)
                    todo.append(target)
        return met

    def own(self, ob):
        return not isinstance(ob, (Base, Tag)) and ob._p_oid not in self.shared

    def measure(self, ob):
        if isinstance(ob, Folder):
            # A site has more: what is not in it by a folder's means is not looked at.
            oids = self.parts(ob._tree._p_oid, lambda part: type(part).__module__.startswith('BTrees.'))
            oids |= {ob._p_oid, ob._count._p_oid}
            inside = [self.measure(item) for item in list(ob._tree.values())]
        else:
            oids, inside = self.parts(ob._p_oid, self.own), []
        sizes = [self.size(oid) + (1,) for oid in oids]
        total = [sum(column) for column in zip(*sizes, *inside)]
        self.found[u64(ob._p_oid)] = total
        return total


def main():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args()
    sys.setrecursionlimit(10000)
    db = open_db(open_storage(args))
    connection = db.open()
    walk = Walk(connection)
    site = connection.root()['plone']
    walk.measure(site)
    del walk.found[u64(site._p_oid)]
    reached = walk.parts(z64, lambda ob: True)
    hidden = [u64(oid) for oid in reached if isinstance(connection.get(oid), Base) and u64(oid) not in walk.found and oid != site._p_oid]
    print(json.dumps({'found': walk.found, 'reached': len(reached), 'hidden': hidden}))
    connection.close()
    db.close()


main()
