-- What a receiver has acknowledged and a store over a network does not have yet. Rows go once it has them.

CREATE TABLE spool_deliveries (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,  -- in order of arrival, and never given out again
  nonce         TEXT NOT NULL,                      -- by which the store knows it again
  headers       TEXT NOT NULL,                      -- JSON
  source        TEXT NOT NULL,
  source_ip     TEXT,
  received_at   TEXT NOT NULL,
  signature_key TEXT,
  body          BLOB NOT NULL                       -- the exact bytes
);

-- Deliveries that the store refuses while it takes others.
CREATE TABLE spool_held (
  id            INTEGER PRIMARY KEY,
  nonce         TEXT NOT NULL,
  headers       TEXT NOT NULL,
  source        TEXT NOT NULL,
  source_ip     TEXT,
  received_at   TEXT NOT NULL,
  signature_key TEXT,
  body          BLOB NOT NULL,
  held_at       TEXT NOT NULL,
  error         TEXT NOT NULL
);

-- Rejected requests, as many as were written at once in a row.
CREATE TABLE spool_rejections (
  id   INTEGER PRIMARY KEY AUTOINCREMENT,
  at   TEXT NOT NULL,
  kept INTEGER NOT NULL,                            -- how many are told one by one
  told TEXT NOT NULL,                               -- JSON: those
  more TEXT NOT NULL                                -- JSON: how many more, by cause
);

-- One row: for which store this is, and how sending to it goes.
CREATE TABLE spool_state (
  target        TEXT NOT NULL,
  failing_since TEXT,                               -- set while the store takes nothing
  error         TEXT,
  sent_at       TEXT                                -- when it took something last
);
INSERT INTO spool_state VALUES ('', NULL, NULL, NULL);
