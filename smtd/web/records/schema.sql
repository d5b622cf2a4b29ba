-- The search index of the pages. It repeats what a store holds, and is made again whenever it is in doubt.
CREATE TABLE state (source TEXT NOT NULL, cursor TEXT NOT NULL);
-- The id of a record stays until it is deleted, and no later one gets it: new records have larger ones.
CREATE TABLE record (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL, label TEXT NOT NULL, digest TEXT NOT NULL, problem TEXT NOT NULL,
    at REAL NOT NULL, duration REAL, status TEXT NOT NULL, reason TEXT NOT NULL, outcome TEXT NOT NULL,
    tags TEXT NOT NULL, main_file TEXT NOT NULL, arguments TEXT NOT NULL, version TEXT NOT NULL,
    executable TEXT NOT NULL, user TEXT NOT NULL
);
CREATE UNIQUE INDEX record_key ON record (project, label);
CREATE INDEX record_at ON record (project, at, label);
-- How many records of a project have a value; people choose among these.
CREATE TABLE facet (
    project TEXT NOT NULL, kind TEXT NOT NULL, value TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (project, kind, value)
) WITHOUT ROWID;
CREATE TABLE tag (name TEXT NOT NULL, record INTEGER NOT NULL, PRIMARY KEY (name, record)) WITHOUT ROWID;
CREATE INDEX tag_record ON tag (record);
CREATE TABLE parameter (
    record INTEGER NOT NULL, place INTEGER NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL, number REAL,
    PRIMARY KEY (record, name)
) WITHOUT ROWID;
CREATE TABLE file (
    record INTEGER NOT NULL, role TEXT NOT NULL, path TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL
);
CREATE INDEX file_record ON file (record);
CREATE INDEX file_path ON file (path);
CREATE INDEX file_name ON file (name);
CREATE INDEX file_digest ON file (digest);
CREATE VIRTUAL TABLE words USING fts5 (
    label, reason, outcome, tags, main_file, parameters, tokenize = "unicode61 remove_diacritics 2"
);
