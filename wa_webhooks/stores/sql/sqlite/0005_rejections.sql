-- What the receiver refused, and which app secrets are in use.

-- The newest rejections; older ones are deleted as new ones come, so it is no log. Never a body: it is unsigned.
CREATE TABLE wa_rejections (
  id          INTEGER PRIMARY KEY,
  at          TEXT NOT NULL,
  status      INTEGER NOT NULL,         -- what was answered
  cause       TEXT NOT NULL,            -- a slug; docs/operations.md lists them
  source_ip   TEXT,
  size        INTEGER,                  -- of the body in bytes: what was read of it, or else what it was said to be
  body_sha256 TEXT,                     -- where the body was read
  request_id  TEXT,
  detail      TEXT                      -- the sentence that was answered
);

-- All rejections that ever were, also those of a flood, which are counted alone.
CREATE TABLE wa_rejection_counts (
  hour     TEXT NOT NULL,               -- 2026-11-24T12, in UTC
  cause    TEXT NOT NULL,
  rejected INTEGER NOT NULL,
  last_at  TEXT NOT NULL,
  PRIMARY KEY (hour, cause)
) WITHOUT ROWID;

-- Which app secrets signed the deliveries up to wa_adopted.up_to: a worker that adopts deliveries counts them here.
CREATE TABLE wa_signature_keys (
  label      TEXT PRIMARY KEY,          -- 8 hex digits that tell nothing of the secret; first versions gave a position
  deliveries INTEGER NOT NULL,
  first_at   TEXT NOT NULL,             -- times of arrival
  last_at    TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO wa_signature_keys
SELECT signature_key, count(*), min(received_at), max(received_at)
  FROM wa_deliveries
 WHERE signature_key IS NOT NULL AND id <= (SELECT up_to FROM wa_adopted)
 GROUP BY signature_key;
