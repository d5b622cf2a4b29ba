--- from 8 to 13
-- Digests are of the canonical form whose version the pair names; records are encoded
-- (records/record.py), and compressed with zlib in the history and if large. Times are ISO 8601 in UTC.
CREATE TABLE pair (
    id INTEGER PRIMARY KEY,
    left_location TEXT NOT NULL,
    right_location TEXT NOT NULL,
    canonical_version INTEGER NOT NULL,
    UNIQUE (left_location, right_location)
);
--- from 8 to 13
-- The digest that each side had when they last agreed on a key, and the cycle in which they did.
CREATE TABLE agreed (
    pair INTEGER NOT NULL REFERENCES pair,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    left_digest BLOB NOT NULL,
    right_digest BLOB NOT NULL,
    cycle INTEGER,
    PRIMARY KEY (pair, project, label)
) WITHOUT ROWID;
--- from 8 to 13
-- The record that they agreed on: the ancestor of a later merge.
CREATE TABLE ancestor (
    pair INTEGER NOT NULL REFERENCES pair,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (pair, project, label)
);
--- from 8 to 13
-- Writes that have begun and are not known to have ended: the digest that the key had and that it is
-- to have (NULL: none). `before` and `wanted` are the records that go with them, where both are there;
-- `origin` is what the other side held, where that is not the result itself; `history` is its entry there.
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
--- from 8 to 13
CREATE TABLE cycle (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pair INTEGER NOT NULL REFERENCES pair,
    started TEXT NOT NULL
);
--- from 8 to 13
-- Everything that smtd wrote: what was there before (NULL: nothing), the digests before and after (NULL:
-- absent), why, and whether it is known to have landed. All else is sealed.
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
-- A hash over the entries after the seal before, up to the entry `last`; the first one is the anchor.
CREATE TABLE seal (
    last INTEGER PRIMARY KEY,
    hash BLOB NOT NULL
);
INSERT INTO seal VALUES (0, x'');
-- What a person decided of single records, and what waits for one: void once a side holds something else.
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
--- from 8 to 8
-- The last writes under each key of a store without a lock, to know a lost update when it is seen. `undone`:
-- by somebody who had not seen it, before whatever was written since; `merged`: with such an edit; `record`:
-- what was written, if both sides did not agree on that then.
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
    PRIMARY KEY (pair, side, project, label, number)
) WITHOUT ROWID;
--- from 9 to 13
-- The last writes under each key of a store without a lock, to know a lost update when it is seen. `undone`:
-- by somebody who had not seen it, before whatever was written since; `merged`: with such an edit; `record`:
-- what was written, if both sides did not agree on that then. `seen` is 0 if the store said that it was done, and
-- still showed what was there before. `at` is when (seconds since 1970), `due` when it is looked at again;
-- `confirmed`: it was there then.
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
--- from 8 to 10
-- The end of the last cycle, if it left both stores as their tokens say.
CREATE TABLE quiet (
    pair INTEGER PRIMARY KEY REFERENCES pair,
    left_token BLOB NOT NULL,
    right_token BLOB NOT NULL,
    policy TEXT NOT NULL,
    report BLOB NOT NULL
);
--- from 11 to 11
-- A store that was looked at. `seq` numbers the changes that were seen there; `epoch` is another one whenever its
-- entries were forgotten, and `reader` the version of the canonical form that their digests are of. `blocks` says
-- how large the blocks of `fingerprint` are (JSON; NULL: nobody knows what the rows look like).
CREATE TABLE store (
    id INTEGER PRIMARY KEY,
    location TEXT NOT NULL UNIQUE,
    reader TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    blocks TEXT
);
-- What a store held under a key when that was last read, and the change that it came with. `state` is one of
-- `State` in stores/index.py. A name that is not Unicode is a BLOB. `row` is the row of a table that bears the
-- key, and `unlisted` says that smtd wrote it since the blocks were looked at.
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
    PRIMARY KEY (store, project, label)
) WITHOUT ROWID;
--- from 12 to 13
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
CREATE INDEX entry_changed ON entry (store) WHERE changed IS NOT NULL;
--- from 11 to 13
CREATE INDEX entry_seq ON entry (store, seq);
CREATE INDEX entry_row ON entry (store, row) WHERE row IS NOT NULL;
CREATE INDEX entry_unlisted ON entry (store) WHERE unlisted;
-- Further rows that bear the same key as another one.
CREATE TABLE extra_row (
    store INTEGER NOT NULL REFERENCES store,
    id INTEGER NOT NULL,
    project NOT NULL,
    label NOT NULL,
    PRIMARY KEY (store, id)
) WITHOUT ROWID;
-- What some rows of a table looked like when their records were read, and the records that own them.
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
-- What a store looked like when it held what the entries of these projects say (JSON; empty: of all).
CREATE TABLE head (
    store INTEGER NOT NULL REFERENCES store,
    projects TEXT NOT NULL,
    head BLOB NOT NULL,
    PRIMARY KEY (store, projects)
) WITHOUT ROWID;
-- How far a pair has come: the cursors of its sides, of which projects (JSON; NULL: of all), and the report of
-- the last cycle under that policy (NULL: another one has begun since).
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
-- The keys that were not in sync then.
CREATE TABLE out_of_sync (
    pair INTEGER NOT NULL REFERENCES pair,
    project NOT NULL,
    label NOT NULL,
    PRIMARY KEY (pair, project, label)
) WITHOUT ROWID;
--- from 8 to 13
-- How far the verification of a store that is dear to read has come: the last key that was read anew
-- (NULL: none yet), and when, in seconds since 1970.
CREATE TABLE rotation (
    pair INTEGER NOT NULL REFERENCES pair,
    side TEXT NOT NULL,
    project TEXT,
    label TEXT,
    at REAL NOT NULL,
    PRIMARY KEY (pair, side)
) WITHOUT ROWID;
--- from 8 to 13
-- Records that a side refused, until when they are not offered again (seconds since 1970), and why.
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
--- from 8 to 13
-- Which files the stores of a pair were in at the end of its last cycle.
CREATE TABLE files (
    pair INTEGER PRIMARY KEY REFERENCES pair,
    left_file TEXT NOT NULL,
    right_file TEXT NOT NULL
);
--- from 8 to 13
-- What happened, as JSON; the numbers are never used again.
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    text TEXT NOT NULL
);
--- from 8 to 13
-- How far the proof of a pair has come: the last key that was proven (NULL: none yet), how many were since
-- the round began, and when the round before began (NULL: there was none), in seconds since 1970.
CREATE TABLE proof (
    pair INTEGER PRIMARY KEY REFERENCES pair,
    began REAL NOT NULL,
    project TEXT,
    label TEXT,
    counted INTEGER NOT NULL,
    before REAL
);
-- Records that a store does not hold as was agreed; looked at again after each cycle.
CREATE TABLE finding (
    pair INTEGER NOT NULL REFERENCES pair,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    PRIMARY KEY (pair, project, label)
) WITHOUT ROWID;
--- from 10 to 13
-- What the file `journal.witness` held when it was last written, when that was (its ctime, in nanoseconds), and
-- the inode of the journal then; `next` is what it is about to hold, as a crash may leave it, and `state` tells
-- how far the journal had come.
CREATE TABLE witness (
    content TEXT NOT NULL,
    changed INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    next TEXT NOT NULL,
    state TEXT NOT NULL
);
-- The last cycle of each pair of which the history has forgotten something, and when that was written.
CREATE TABLE forgotten (
    pair INTEGER PRIMARY KEY REFERENCES pair,
    cycle INTEGER NOT NULL,
    at TEXT NOT NULL
);
--- from 13 to 13
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
