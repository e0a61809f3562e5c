"""reader.py CONFIG read SEED LOG: an application that reads until SIGTERM.

Some of its transactions take a second between finding objects and loading
them. LOG appears when all is ready. Any object or blob that is missing ends it with an error.
"""
import json
import random
import signal
import sys
import time

import transaction

from models import Document, Folder, check_blob, open_db


def load(item):
    item._p_activate()
    if isinstance(item, Document):
        item.notes["about"]
        for related in item.related:
            related._p_activate()
        if item.blob is not None:
            check_blob(item.blob)
    elif isinstance(item, Folder):
        for inner in item.items.values():
            inner._p_activate()


def read(connection, choose, patient):
    site = connection.root()["site"]
    area = site.areas[choose.choice(sorted(site.areas))]
    items = list(area.items.values()) + list(site.pins.values()) + list(site.catalog.values())
    items = choose.sample(items, min(len(items), 30))
    if patient:
        time.sleep(choose.random())
        connection.cacheMinimize()
    for item in items:
        load(item)
    return len(items)


def main():
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    config, _, seed, log = sys.argv[1:]
    choose = random.Random(int(seed))
    db = open_db(config)
    manager = transaction.TransactionManager(explicit=True)
    connection = db.open(transaction_manager=manager)
    open(log, "w").close()
    loaded = 0
    while not stop:
        manager.begin()
        loaded += read(connection, choose, choose.random() < 0.3)
        manager.abort()
        time.sleep(0.02)
    print(json.dumps({"loaded": loaded}))
    connection.close()
    db.close()


main()
