"""Writes states.json: records of real ZODB, persistent and BTrees, and under which names their objects hold others.
Each name was tried out: Python finds the object by it. Needs ZODB and BTrees (4.3 of RelStorage brings both)."""
import json
import sys

import transaction
import ZODB
import ZODB.MappingStorage
from BTrees.IOBTree import IOBTree
from BTrees.LOBTree import LOBTree
from BTrees.OOBTree import OOBTree, OOTreeSet
from BTrees.OIBTree import OIBTree
from persistent import Persistent
from persistent.list import PersistentList
from persistent.mapping import PersistentMapping
from persistent.wref import WeakRef


class Thing(Persistent):
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Slotted(Persistent):
    __slots__ = ('left', 'right', '__dict__')


class WithArguments(Persistent):
    def __new__(cls, *args):
        self = super().__new__(cls)
        return self

    def __getnewargs__(self):
        return (self._v_given,)

    def __init__(self, given):
        self._v_given = given


class Plain(object):
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class MyMapping(PersistentMapping):
    pass


class MyTree(OOBTree):
    pass


class Key(Persistent):
    """May be a key of a BTree."""
    def __init__(self, n):
        self.n = n

    def __lt__(self, other):
        return self.n < other.n


__name__ = 'shapes'
for cls in (Thing, Slotted, WithArguments, Plain, MyMapping, MyTree, Key):
    cls.__module__ = 'shapes'
sys.modules['shapes'] = sys.modules['__main__']

root = ZODB.DB(ZODB.MappingStorage.MappingStorage()).open().root()
cases = []      # label, the object, names that lead from it to others; None: no name


def case(label, holder, *names, **more):
    root[label] = holder
    cases.append((label, holder, names, more))


t = Thing
case('attributes', t(title='x', child=t(), __parent__=t()), '.child', '.__parent__')
case('nested', t(a={'b': [0, (t(), {'c': t()})]}, s={5: t()}, p=Plain(q=Plain(r=t())), l=[[t()]]),
     ".a['b'][1][0]", ".a['b'][1][1]['c']", '.s[5]', '.p.q.r', '.l[0][0]')
shared = t()
case('twice', t(deep=[[shared]], near=shared, __parent__=shared), '.near')
case('only up', t(__parent__=t()), '.__parent__')
slotted = Slotted()
slotted.left, slotted.right, slotted.more = t(), [t()], t()
case('slots', slotted, '.left', '.right[0]', '.more')
case('mapping', PersistentMapping({'news': t(), 7: [t()], ('a', None): t(), b'\x00k': t(), "it's": t(), 'gänzlich': t()}),
     "['news']", '[7][0]', "[('a', None)]", "[b'\\x00k']", "['it\\'s']", "['gänzlich']")
case('list', PersistentList([1, t(), {'x': t()}]), '[1]', "[2]['x']")
case('derived mapping', MyMapping({'k': t()}), "['k']")
mapping = PersistentMapping({'k': t()})
mapping.attribute = t()
case('mapping with an attribute', mapping, "['k']", '.attribute')
case('weak', t(weak=WeakRef(t()), strong=t()), '.strong')
for cls, key in ((OOBTree, str), (IOBTree, int), (LOBTree, lambda i: i << 40), (MyTree, str)):
    small = cls()
    for i in range(3):
        small[key(i)] = t(n=i)
    name = cls.__name__
    case(name + ' with one bucket', small, '[%r]' % key(1))
    large = cls()
    for i in range(400):
        large[key(i)] = (i, t(n=i)) if i % 2 else t(n=i)
    case(name, large, inner=True)
    case(name + ' first bucket', large._firstbucket, '[%r]' % large.minKey(), inner=True)
case('tree of trees', OOBTree({'a': OOBTree({'b': t()})}), "['a']")
keys = OOTreeSet([Key(i) for i in range(5)])
case('tree set', keys, keys=5)
many = OOTreeSet([Key(i) for i in range(100)])
case('large tree set', many, inner=True)
case('set', many._firstbucket, inner=True, keys=len(many._firstbucket))
case('empty tree', OIBTree())
transaction.commit()
case('arguments', WithArguments(t()))
given = cases[-1][1]
root._p_jar.add(given._v_given)
transaction.commit()

found = []
for label, holder, names, more in cases:
    data, _ = root._p_jar._storage.load(holder._p_oid)
    expected = {}
    for name in names:
        target = eval('holder' + name, {'holder': holder})
        assert target._p_oid, (label, name)
        expected[int.from_bytes(target._p_oid, 'big')] = name
    if label == 'arguments':
        expected[int.from_bytes(given._v_given._p_oid, 'big')] = '.__getnewargs__()[0]'
    found.append({'label': label, 'record': data.hex(), 'names': expected,
                  'inner': more.get('inner', False), 'keys': more.get('keys', 0)})
with open(sys.argv[1] if len(sys.argv) > 1 else 'states.json', 'w') as out:
    out.write('[\n' + ',\n'.join(json.dumps(f) for f in found) + '\n]\n')
