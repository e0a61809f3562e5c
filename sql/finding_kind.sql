-- What relpack.verify() and "relpack verify" can find, in words.
CREATE OR REPLACE VIEW relpack.finding_kind AS
SELECT kind.kind, kind.severity,
       CASE kind.kind WHEN 'doubt' THEN kind.meaning || coalesce(relpack.doubt(), '') ELSE kind.meaning END AS meaning,
       coalesce(kind.remedy, 'relpack verify --repair') AS remedy
FROM (VALUES
    ('no_root', 'error', 'the graph has no root', NULL),
    ('parent_without_reference', 'error', 'the parent of these objects does not refer to them', NULL),
    ('parent_detached', 'error', 'the parent of these objects is missing or unreachable itself', NULL),
    ('parents_in_a_circle', 'error', 'the parents of these objects do not lead to the root', NULL),
    ('live_but_detached', 'error', 'a reachable object refers to these, which count as unreachable', NULL),
    ('attached_with_detached_tid', 'error', 'reachable objects have a time since when they are unreachable', NULL),
    ('referrer_is_no_node', 'error', 'references of objects that relpack does not know', NULL),
    ('other_than_stored', 'error', 'object_state has another tid or no such row, and nothing reported it', NULL),
    ('other_references', 'error', 'the stored states do not refer to what is recorded', NULL),
    ('other_class', 'error', 'the stored states are of another class than recorded', NULL),
    ('other_problem', 'error', 'relpack.problem is wrong about whether these can be decoded', NULL),
    ('work_for_no_node', 'error', 'suspect, doomed or problem name objects that relpack does not know', NULL),
    ('live_but_doomed', 'error', 'reachable objects are chosen for deletion', NULL),
    ('doomed_but_referred_to', 'error', 'objects that stay refer to these, which are chosen for deletion', NULL),
    ('objects_miscounted', 'error', 'relpack.storage.objects is off by this many', NULL),
    ('references_miscounted', 'error', 'relpack.storage.inrefs is off by this many', NULL),
    ('undecodable', 'damage', 'reachable objects can''t be decoded: what they refer to is unknown, and nothing is deleted',
     'Restore these objects, or cut them off: "relpack check" says where they are, and all of them are listed by '
     'SELECT * FROM relpack.problem WHERE blocks;'),
    ('empty', 'damage', 'reachable objects without a state (NULL or empty), which nobody can load',
     'Restore them, or remove the references: "relpack check" says where these are'),
    ('uncurrent', 'damage', 'reachable objects of which current_object names no revision with a state, which nobody can load',
     'Restore these rows: the zoid, and the tid of the newest revision that is stored'),
    ('blob_without_file', 'damage', 'reachable blobs whose files are not in the blob directory',
     'Restore these files from a backup: "relpack check" says where the blobs are'),
    ('blob_without_old_file', 'damage', 'reachable blobs of which only files of older revisions are not in the blob directory',
     'Restore these files from a backup: "relpack check" says where the blobs are'),
    ('blob_without_large_object', 'damage', 'reachable blobs with rows in blob_chunk whose large objects are gone',
     'Restore these large objects from a backup: "relpack check" says where the blobs are'),
    ('blob_without_row', 'damage', 'reachable blobs without a row in blob_chunk, where blobs are in the database',
     'Restore these rows and their large objects from a backup: "relpack check" says where the blobs are'),
    ('doubt', 'note', 'the next pack compares first: ', 'relpack pack'),
    ('unfinished', 'note', 'the reachability of these objects is not settled yet', 'relpack pack'),
    ('missing', 'damage', 'the rows of these vanished though reachable objects refer to them; relpack keeps what they referred to',
     'Restore their rows, cut them off, or give them up with "relpack pack --accept-missing ZOID"; '
     '"relpack check" says where the references are'),
    ('dangling', 'damage', 'reachable objects refer to these, which are not stored (POSKeyError)',
     'Restore them, or remove the references: "relpack check" says where these are')
) AS kind (kind, severity, meaning, remedy);

COMMENT ON VIEW relpack.finding_kind IS
    'What relpack.verify() and "relpack verify" can find.';
COMMENT ON COLUMN relpack.finding_kind.kind IS 'Short name.';
COMMENT ON COLUMN relpack.finding_kind.severity IS
    'error: the graph is wrong, nothing should be deleted before it is mended; '
    'damage: the graph is right, the storage is not, and no repair mends that; note: worth knowing, not wrong.';
COMMENT ON COLUMN relpack.finding_kind.meaning IS 'The finding in words.';
COMMENT ON COLUMN relpack.finding_kind.remedy IS 'What to do about it.';
