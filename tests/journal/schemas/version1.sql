-- Version 1. Digests are of the canonical form whose version the pair names; records are encoded
-- (records/record.py), and compressed with zlib in the history and if large. Times are ISO 8601 in UTC.
CREATE TABLE pair (
    id INTEGER PRIMARY KEY,
    left_location TEXT NOT NULL,
    right_location TEXT NOT NULL,
    canonical_version INTEGER NOT NULL,
    UNIQUE (left_location, right_location)
);
-- The digest that each side had when they last agreed on a key.
CREATE TABLE agreed (
    pair INTEGER NOT NULL REFERENCES pair,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    left_digest BLOB NOT NULL,
    right_digest BLOB NOT NULL,
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
-- `origin` is what the other side held, where that is not the result itself.
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
    PRIMARY KEY (pair, project, label, side)
) WITHOUT ROWID;
CREATE TABLE cycle (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pair INTEGER NOT NULL REFERENCES pair,
    started TEXT NOT NULL
);
-- The before-image of everything that smtd overwrote or deleted.
CREATE TABLE history (
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
CREATE TABLE written (
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
CREATE TABLE quiet (
    pair INTEGER PRIMARY KEY REFERENCES pair,
    left_token BLOB NOT NULL,
    right_token BLOB NOT NULL,
    policy TEXT NOT NULL,
    report BLOB NOT NULL
);
