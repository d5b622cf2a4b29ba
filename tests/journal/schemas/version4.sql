-- Version 2. Digests are of the canonical form whose version the pair names; records are encoded
-- (records/record.py), and compressed with zlib in the history and if large. Times are ISO 8601 in UTC.
CREATE TABLE IF NOT EXISTS pair (
    id INTEGER PRIMARY KEY,
    left_location TEXT NOT NULL,
    right_location TEXT NOT NULL,
    canonical_version INTEGER NOT NULL,
    UNIQUE (left_location, right_location)
);
-- The digest that each side had when they last agreed on a key.
CREATE TABLE IF NOT EXISTS agreed (
    pair INTEGER NOT NULL REFERENCES pair,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    left_digest BLOB NOT NULL,
    right_digest BLOB NOT NULL,
    PRIMARY KEY (pair, project, label)
) WITHOUT ROWID;
-- The record that they agreed on: the ancestor of a later merge.
CREATE TABLE IF NOT EXISTS ancestor (
    pair INTEGER NOT NULL REFERENCES pair,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (pair, project, label)
);
-- Writes that have begun and are not known to have ended: the digest that the key had and that it is
-- to have (NULL: none). `before` and `wanted` are the records that go with them, where both are there;
-- `origin` is what the other side held, where that is not the result itself.
CREATE TABLE IF NOT EXISTS intent (
    pair INTEGER NOT NULL REFERENCES pair,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    side TEXT NOT NULL,
    expect BLOB,
    result BLOB,
    before BLOB,
    wanted BLOB,
    origin BLOB,
    PRIMARY KEY (pair, project, label, side)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cycle (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pair INTEGER NOT NULL REFERENCES pair,
    started TEXT NOT NULL
);
-- The before-image of everything that smtd overwrote or deleted.
CREATE TABLE IF NOT EXISTS history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    cycle INTEGER NOT NULL REFERENCES cycle,
    at TEXT NOT NULL,
    side TEXT NOT NULL,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    action TEXT NOT NULL,
    record BLOB NOT NULL
);
-- The last writes under each key of a store without a lock, to know a lost update when it is seen.
CREATE TABLE IF NOT EXISTS written (
    pair INTEGER NOT NULL REFERENCES pair,
    side TEXT NOT NULL,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    number INTEGER NOT NULL,
    before_digest BLOB,
    after_digest BLOB NOT NULL,
    restored INTEGER NOT NULL,
    PRIMARY KEY (pair, side, project, label, number)
) WITHOUT ROWID;
-- The end of the last cycle, if it left both stores as their tokens say.
CREATE TABLE IF NOT EXISTS quiet (
    pair INTEGER PRIMARY KEY REFERENCES pair,
    left_token BLOB NOT NULL,
    right_token BLOB NOT NULL,
    policy TEXT NOT NULL,
    report BLOB NOT NULL
);
-- How far the verification of a store that is dear to read has come: the last key that was read anew
-- (NULL: none yet), and when, in seconds since 1970.
CREATE TABLE IF NOT EXISTS rotation (
    pair INTEGER NOT NULL REFERENCES pair,
    side TEXT NOT NULL,
    project TEXT,
    label TEXT,
    at REAL NOT NULL,
    PRIMARY KEY (pair, side)
) WITHOUT ROWID;
-- Records that a side refused, until when they are not offered again (seconds since 1970), and why.
CREATE TABLE IF NOT EXISTS refused (
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
CREATE TABLE IF NOT EXISTS files (
    pair INTEGER PRIMARY KEY REFERENCES pair,
    left_file TEXT NOT NULL,
    right_file TEXT NOT NULL
);
