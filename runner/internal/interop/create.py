"""create.py CONFIG: RelStorage makes its tables, and a small site goes in.

Object 1 is the site, object 23 a document that nobody moves or deletes.
"""
import sys

import transaction
import ZODB.blob
from ZODB.utils import p64

from models import Document, Folder, Site, open_db, write_blob

AREAS = 8
UNDOERS = 2


def main():
    db = open_db(sys.argv[1])
    connection = db.open()
    root = connection.root()
    if "site" in root:
        return db.close()
    site = root["site"] = Site()
    transaction.commit()
    for number in range(20):
        site.keep["document-%d" % number] = Document(site, "keep-%d" % number, "kept")
    transaction.commit()
    if not isinstance(connection.get(p64(23)), Document):
        raise SystemExit("object 23 is no document")
    for number in range(AREAS):
        area = site.areas["area-%d" % number] = Folder(site)
        for item in range(30):
            uid = "first-%d-%d" % (number, item)
            document = area.items[uid] = Document(area, uid, "first" * 50)
            if item % 3 == 0:
                site.catalog[uid] = document
            if item % 10 == 0:
                document.blob = ZODB.blob.Blob()
                write_blob(document.blob, 500)
        transaction.commit()
    # Nobody else works there.
    for number in range(UNDOERS):
        site.areas["undo-%d" % number] = Folder(site)
        transaction.commit()
    connection.close()
    db.close()


main()
