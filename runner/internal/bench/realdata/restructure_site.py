#!/usr/bin/env python3
"""restructure_site.py --dsn DSN --what delete|move|catalog: one large change of a site made by make_site.py: a folder of about
N objects is deleted with all below it or moved to another place, or all BTrees of the catalog are built again."""
import argparse, os, random, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import transaction
from ZODB.utils import p64
from storage import add_arguments, count_objects, open_db, open_storage
from site_models import *

ap = argparse.ArgumentParser(description=__doc__)
add_arguments(ap)
ap.add_argument('--what', required=True, choices=('delete', 'move', 'catalog'))
ap.add_argument('--objects', type=int, default=10000, help='of the folder; the nearest there is')
args = ap.parse_args()
db = open_db(open_storage(args), 100000); c = db.open(); site = c.root()['plone']; cat = site.catalog
R = random.Random(args.seed)
below = {}          # folder -> items in it and in the folders below it
def walk(f):
    items = list(f._tree.values())
    folders = [x for x in items if isinstance(x, Folder)]
    below[f] = len(items) + sum(walk(x) for x in folders)
    return below[f]
walk(site)
per_item = count_objects(args) / below[site]

def contents(f, found):
    for x in f._tree.values():
        found.append(x)
        if isinstance(x, Folder): contents(x, found)
    return found
def within(ob, oids):
    """By its parents: what was deleted earlier and is still referred to knows its own."""
    while ob is not None and ob._p_oid not in oids: ob = ob.__parent__
    return ob is not None
def weigh(f): return abs(below[f] * per_item - args.objects)
folder = min((f for f in below if f.__parent__ is not None and f.id in f.__parent__._tree), key=weigh)
if args.what == 'move':
    inside = set(x._p_oid for x in contents(folder, [folder]))
    target = R.choice([f for f in below if f._p_oid not in inside and f is not folder.__parent__ and folder.id not in f._tree])
    folder.__parent__.remove(folder.id); folder.__parent__ = target; target.add(folder.id, folder); transaction.commit()
elif args.what == 'delete':
    gone = set(x._p_oid for x in contents(folder, [folder]))
    # Relations from elsewhere break, as Plone's do.
    import psycopg2
    with psycopg2.connect(args.dsn) as sql, sql.cursor() as cursor:
        cursor.execute("SELECT zoid FROM object_state WHERE position('RelationValue'::bytea IN substr(state, 1, 100)) > 0")
        relations = [zoid for zoid, in cursor]
    n = 0
    for zoid in relations:
        rv = c.get(p64(zoid))
        if isinstance(rv, RelationValue) and within(rv.to_object, gone) and not within(rv.from_object, gone):
            rv.to_object = None; rv._broken_to_path = '/plone/gone'; n += 1
            if n % 400 == 0: transaction.commit()
    transaction.commit()
    n = 0
    for d, ref in [(d, ref) for d, ref in cat['intids'].items() if ref.object._p_oid in gone]:
        metadata = cat['data'].pop(d); del cat['paths'][d]; del cat['intids'][d]; cat['modified'].remove(d)
        if len(metadata) > 3: cat['uids'].pop(metadata[3], None)
        for t in getattr(ref.object, 'subject', ()):
            if d in cat['kw'][t]: cat['kw'][t].remove(d)
        n += 1
        if n % 400 == 0: transaction.commit()     # RelStorage takes one advisory lock per changed row
    folder.__parent__.remove(folder.id); transaction.commit()
else:
    for name in list(cat):
        if name == 'kw':
            for t in list(cat['kw']): cat['kw'][t] = IITreeSet(cat['kw'][t])
        elif name == 'modified': cat[name] = IITreeSet(cat[name])
        else: cat[name] = type(cat[name])(cat[name].items())
        transaction.commit()
print('the catalog of %d items' % len(cat['intids']) if args.what == 'catalog' else '%s of %d items' % (folder.id, below[folder]))
c.close(); db.close()
