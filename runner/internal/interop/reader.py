"""reader.py CONFIG PROFILE SEED LOG: an application that reads until SIGTERM.

Profiles:
    read    what is now
    past    what was a moment ago, by historical connections

Some of its transactions take a second between finding objects and loading
them. LOG appears when all is ready. Any object or blob that is missing ends it with an error.
"""
import datetime
import json
import random
import signal
import sys
import time

import transaction

from ZODB.POSException import POSKeyError

from models import Document, Folder, check_blob, open_db


# How old what a historical connection sees is, and what packs keep, in seconds.
AGO = 2
GRACE = 6


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


def read_past(db, choose):
    start = time.time()
    manager = transaction.TransactionManager(explicit=True)
    at = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) - datetime.timedelta(seconds=AGO)
    try:
        connection = db.open(transaction_manager=manager, at=at)
    except ValueError:  # nothing was committed since
        return 0
    try:
        manager.begin()
        return read(connection, choose, choose.random() < 0.3)
    except POSKeyError:
        if time.time() - start < GRACE - AGO:
            raise
        return 0
    finally:
        manager.abort()
        connection.close()


def main():
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    config, profile, seed, log = sys.argv[1:]
    choose = random.Random(int(seed))
    db = open_db(config)
    manager = transaction.TransactionManager(explicit=True)
    connection = db.open(transaction_manager=manager)
    open(log, "w").close()
    loaded = 0
    if profile == "past":
        time.sleep(AGO)  # the site may have been made a moment ago
    while not stop and profile == "past":
        loaded += read_past(db, choose)
        time.sleep(0.02)
    while not stop:
        manager.begin()
        loaded += read(connection, choose, choose.random() < 0.3)
        manager.abort()
        time.sleep(0.02)
    print(json.dumps({"loaded": loaded}))
    connection.close()
    db.close()


main()
