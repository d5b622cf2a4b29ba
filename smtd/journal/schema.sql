-- Digests are of the version of the canonical form that the pair names. Records are encoded (records/record.py),
-- and compressed with zlib in the history and if large. Times are ISO 8601 in UTC.
-- `name` is the name under which the pair was configured last (NULL: it never was, or not since version 14).
CREATE TABLE pair (
    id INTEGER PRIMARY KEY,
    left_location TEXT NOT NULL,
    right_location TEXT NOT NULL,
    canonical_version INTEGER NOT NULL,
    name TEXT,
    UNIQUE (left_location, right_location)
);
-- The baseline of a key: the digest that each side had when they last agreed, and the cycle of that.
CREATE TABLE agreed (
    pair INTEGER NOT NULL REFERENCES pair,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    left_digest BLOB NOT NULL,
    right_digest BLOB NOT NULL,
    cycle INTEGER,
    PRIMARY KEY (pair, project, label)
) WITHOUT ROWID;
-- The record of the baseline: the ancestor of a later merge.
CREATE TABLE ancestor (
    pair INTEGER NOT NULL REFERENCES pair,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (pair, project, label)
);
-- Writes that have begun and are not known to have ended: the digests before and after (NULL: absent).
-- `before` and `wanted` are the records of these digests, if there are both; `origin` is what the other side
-- held, if that is not the result itself; `history` is the entry of the write in the history.
CREATE TABLE intent (
    pair INTEGER NOT NULL REFERENCES pair,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    side TEXT NOT NULL,
    expect BLOB,
    result BLOB,
    before BLOB,
    wanted BLOB,
    origin BLOB,
    history INTEGER,
    PRIMARY KEY (pair, project, label, side)
) WITHOUT ROWID;
CREATE TABLE cycle (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pair INTEGER NOT NULL REFERENCES pair,
    started TEXT NOT NULL
);
-- Everything that smtd wrote: the record before (NULL: none), the digests before and after (NULL: absent), the
-- reason, and whether the write is known to have landed. All columns but `landed` are sealed.
CREATE TABLE history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    cycle INTEGER NOT NULL REFERENCES cycle,
    at TEXT NOT NULL,
    side TEXT NOT NULL,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    action TEXT NOT NULL,
    reason TEXT NOT NULL,
    record BLOB,
    before BLOB,
    after BLOB,
    landed INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX history_label ON history (label);
CREATE INDEX history_cycle ON history (cycle);
-- A hash of the entries after the previous seal, up to the entry `last`; the first seal is the anchor.
CREATE TABLE seal (
    last INTEGER PRIMARY KEY,
    hash BLOB NOT NULL
);
INSERT INTO seal VALUES (0, x'');
-- What users decided about single records, and what waits for a decision; void once a side changes.
CREATE TABLE decision (
    pair INTEGER NOT NULL REFERENCES pair,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    choice TEXT NOT NULL,
    left_digest BLOB,
    right_digest BLOB,
    alias TEXT NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (pair, project, label)
) WITHOUT ROWID;
-- The last writes under each key of a store without a lock, by which smtd recognizes lost updates. `undone`: a
-- program that had not seen the write undid it, before any later write; `merged`: the write is a merge with such
-- an edit; `record`: what was written, if it did not become the baseline. `seen` is 0 if the store reported
-- success, but still showed the previous state. `at` is the time of the write, `due` when the record is read
-- again (seconds since 1970); `confirmed`: a later read showed the write.
CREATE TABLE written (
    pair INTEGER NOT NULL REFERENCES pair,
    side TEXT NOT NULL,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    number INTEGER NOT NULL,
    before_digest BLOB,
    after_digest BLOB NOT NULL,
    restored INTEGER NOT NULL,
    undone INTEGER NOT NULL DEFAULT 0,
    merged INTEGER NOT NULL DEFAULT 0,
    record BLOB,
    seen INTEGER NOT NULL DEFAULT 1,
    confirmed INTEGER NOT NULL DEFAULT 0,
    at REAL NOT NULL DEFAULT 0,
    due REAL,
    PRIMARY KEY (pair, side, project, label, number)
) WITHOUT ROWID;
-- A store that smtd has looked at. `seq` is the number of the last change that was seen there; `epoch` changes
-- whenever the entries are cleared; `reader` is the version of the canonical form of their digests. `blocks` has
-- the sizes of the blocks of `fingerprint` (JSON; NULL: no fingerprints are known). `looked` is when records of a
-- server were last read again, in seconds since 1970.
CREATE TABLE store (
    id INTEGER PRIMARY KEY,
    location TEXT NOT NULL UNIQUE,
    reader TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    blocks TEXT,
    looked REAL
);
-- What a store held under a key at the last read, and the number of the change that it came with. `state` is one
-- of `State` in stores/index.py. A name that is not Unicode is a BLOB. `row` is the table row with the key;
-- `unlisted` says that smtd wrote the record since the last look at the blocks. `read` is when a record of a
-- server was last read, in seconds since 1970, for the newest ones only. `changed` is when the record was last
-- seen to have changed while others were writing, `changing` when that began: until it is still, it may be half
-- saved.
CREATE TABLE entry (
    store INTEGER NOT NULL REFERENCES store,
    project NOT NULL,
    label NOT NULL,
    state INTEGER NOT NULL,
    digest BLOB,
    problem NOT NULL,
    seq INTEGER NOT NULL,
    row INTEGER,
    unlisted INTEGER NOT NULL DEFAULT 0,
    read REAL,
    changed REAL,
    changing REAL,
    PRIMARY KEY (store, project, label)
) WITHOUT ROWID;
CREATE INDEX entry_seq ON entry (store, seq);
CREATE INDEX entry_row ON entry (store, row) WHERE row IS NOT NULL;
CREATE INDEX entry_unlisted ON entry (store) WHERE unlisted;
CREATE INDEX entry_changed ON entry (store) WHERE changed IS NOT NULL;
-- Further rows with the same key as another one.
CREATE TABLE extra_row (
    store INTEGER NOT NULL REFERENCES store,
    id INTEGER NOT NULL,
    project NOT NULL,
    label NOT NULL,
    PRIMARY KEY (store, id)
) WITHOUT ROWID;
-- Fingerprints of blocks of rows of a table when their records were read, and the records that own the rows.
CREATE TABLE fingerprint (
    store INTEGER NOT NULL REFERENCES store,
    place INTEGER NOT NULL,
    block INTEGER NOT NULL,
    mark INTEGER,
    owners NOT NULL,
    PRIMARY KEY (store, place, block)
) WITHOUT ROWID;
-- How many records a store holds, by project.
CREATE TABLE held (
    store INTEGER NOT NULL REFERENCES store,
    project NOT NULL,
    readable INTEGER NOT NULL,
    unreadable INTEGER NOT NULL,
    PRIMARY KEY (store, project)
) WITHOUT ROWID;
-- The token of a store for which the entries of these projects are right (JSON; empty: all projects).
CREATE TABLE head (
    store INTEGER NOT NULL REFERENCES store,
    projects TEXT NOT NULL,
    head BLOB NOT NULL,
    PRIMARY KEY (store, projects)
) WITHOUT ROWID;
-- How far a pair has come: the cursors of its sides, the projects (JSON; NULL: all), and the report of the last
-- cycle under that policy (NULL: another cycle has begun since).
CREATE TABLE checkpoint (
    pair INTEGER PRIMARY KEY REFERENCES pair,
    left_epoch INTEGER NOT NULL,
    left_seq INTEGER NOT NULL,
    right_epoch INTEGER NOT NULL,
    right_seq INTEGER NOT NULL,
    projects TEXT,
    policy TEXT NOT NULL,
    report BLOB
);
-- The keys that were not in sync at the checkpoint.
CREATE TABLE out_of_sync (
    pair INTEGER NOT NULL REFERENCES pair,
    project NOT NULL,
    label NOT NULL,
    PRIMARY KEY (pair, project, label)
) WITHOUT ROWID;
-- How far the rereading of known records has come in a store where each read costs a request: the last key that
-- was read again (NULL: none yet), and when, in seconds since 1970.
CREATE TABLE rotation (
    pair INTEGER NOT NULL REFERENCES pair,
    side TEXT NOT NULL,
    project TEXT,
    label TEXT,
    at REAL NOT NULL,
    PRIMARY KEY (pair, side)
) WITHOUT ROWID;
-- Records that a side refused, when smtd retries (seconds since 1970), and why they were refused.
CREATE TABLE refused (
    pair INTEGER NOT NULL REFERENCES pair,
    side TEXT NOT NULL,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    digest BLOB NOT NULL,
    attempts INTEGER NOT NULL,
    until REAL NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (pair, side, project, label)
) WITHOUT ROWID;
-- The marks of the stores of a pair with its last baselines, which tell them from other stores in their place.
CREATE TABLE files (
    pair INTEGER PRIMARY KEY REFERENCES pair,
    left_file TEXT NOT NULL,
    right_file TEXT NOT NULL
);
-- The events, as JSON; no number is used twice.
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    text TEXT NOT NULL
);
-- How far the scrub of a pair has come: the last key that was verified (NULL: none yet), how many were since the
-- round began, and when the previous round began (NULL: there was none), in seconds since 1970.
CREATE TABLE proof (
    pair INTEGER PRIMARY KEY REFERENCES pair,
    began REAL NOT NULL,
    project TEXT,
    label TEXT,
    counted INTEGER NOT NULL,
    before REAL
);
-- Records that a store does not hold as in the baseline; they are read again after each cycle.
CREATE TABLE finding (
    pair INTEGER NOT NULL REFERENCES pair,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    PRIMARY KEY (pair, project, label)
) WITHOUT ROWID;
-- The content of the file `journal.witness` at its last write, its ctime (in nanoseconds), and the inode of the
-- journal then; `next` is the content that is about to be written, in case of a crash; `state` is the state of
-- the journal then.
CREATE TABLE witness (
    content TEXT NOT NULL,
    changed INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    next TEXT NOT NULL,
    state TEXT NOT NULL
);
-- The last cycle of each pair that the history has lost in whole or in part, and the time of its last lost entry.
CREATE TABLE forgotten (
    pair INTEGER PRIMARY KEY REFERENCES pair,
    cycle INTEGER NOT NULL,
    at TEXT NOT NULL
);
-- Numbers for charts, by hour since 1970, of the last 31 days: records that were written, cycles by the class of
-- their lag (JSON), and how many records each side and bytes the journal had at the end of the hour.
CREATE TABLE figures (
    pair INTEGER NOT NULL REFERENCES pair,
    hour INTEGER NOT NULL,
    changes INTEGER NOT NULL,
    lags TEXT NOT NULL,
    left_records INTEGER NOT NULL,
    right_records INTEGER NOT NULL,
    journal_bytes INTEGER NOT NULL,
    PRIMARY KEY (pair, hour)
) WITHOUT ROWID;
