"""names.py CONFIG: read what "relpack why --json" printed, and look each live object up by its name.

Prints as JSON how many names found their object, and those that did not.
"""
import json
import sys

from ZODB.utils import u64

from models import open_db


def main():
    db = open_db(sys.argv[1])
    root = db.open().root()
    found, wrong = 0, []
    with open(sys.argv[2]) as stream:
        answers = json.load(stream)[0]["objects"]
    for answer in answers:
        if answer["verdict"] != "alive" or answer["way"][-1].get("inner"):
            continue  # a part of a BTree has no name
        try:
            oid = u64(eval(answer["name"], {"root": root})._p_oid)
        except Exception as error:
            oid = repr(error)
        if oid == answer["zoid"]:
            found += 1
        else:
            wrong.append([answer["zoid"], answer["name"], oid])
    print(json.dumps({"found": found, "wrong": wrong}))


main()
