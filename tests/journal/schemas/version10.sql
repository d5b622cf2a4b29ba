-- Digests are of the canonical form whose version the pair names; records are encoded
-- (records/record.py), and compressed with zlib in the history and if large. Times are ISO 8601 in UTC.
CREATE TABLE pair (
    id INTEGER PRIMARY KEY,
    left_location TEXT NOT NULL,
    right_location TEXT NOT NULL,
    canonical_version INTEGER NOT NULL,
    UNIQUE (left_location, right_location)
);
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
-- The record that they agreed on: the ancestor of a later merge.
CREATE TABLE ancestor (
    pair INTEGER NOT NULL REFERENCES pair,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (pair, project, label)
);
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
CREATE TABLE cycle (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pair INTEGER NOT NULL REFERENCES pair,
    started TEXT NOT NULL
);
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
-- The end of the last cycle, if it left both stores as their tokens say.
CREATE TABLE quiet (
    pair INTEGER PRIMARY KEY REFERENCES pair,
    left_token BLOB NOT NULL,
    right_token BLOB NOT NULL,
    policy TEXT NOT NULL,
    report BLOB NOT NULL
);
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
-- Which files the stores of a pair were in at the end of its last cycle.
CREATE TABLE files (
    pair INTEGER PRIMARY KEY REFERENCES pair,
    left_file TEXT NOT NULL,
    right_file TEXT NOT NULL
);
-- What happened, as JSON; the numbers are never used again.
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    text TEXT NOT NULL
);
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
