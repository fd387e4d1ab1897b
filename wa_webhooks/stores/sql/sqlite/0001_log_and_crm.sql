-- The event log, the ledger of runs and the outbox. The CRM tables are in 0002_crm. Times are text, RFC 3339 in UTC with microseconds, so that they sort as text.

-- What arrived, as it arrived. A row never changes: what workers keep about it is in wa_delivery_work.
CREATE TABLE wa_deliveries (
  id            INTEGER PRIMARY KEY,
  headers       TEXT NOT NULL,          -- JSON: those that matter later (signature, user agent, content type)
  source        TEXT NOT NULL CHECK (source IN ('serve', 'replay')),
  source_ip     TEXT,
  received_at   TEXT NOT NULL,
  signature_key TEXT,                   -- which app secret matched, by position; never its value
  run_id        TEXT,                   -- the replay that brought it
  body          BLOB NOT NULL           -- the exact bytes of the request; last, so that reading the rest skips it
);
CREATE INDEX wa_deliveries_by_run ON wa_deliveries (run_id) WHERE run_id IS NOT NULL;

-- Made when a worker adopts a delivery: the front appends one row and nothing else.
CREATE TABLE wa_delivery_work (
  delivery_id  INTEGER PRIMARY KEY REFERENCES wa_deliveries (id),
  run_id       TEXT,                    -- the delivery's
  not_before   TEXT NOT NULL,           -- from when on any worker may take it, empty for at once; before, its run
  lease_token  TEXT,
  leased_until TEXT,
  split_at     TEXT,                    -- set once: its events are in the log
  events       INTEGER,                 -- how many it holds
  duplicates   INTEGER                  -- how many of them the log had already
);
CREATE INDEX wa_delivery_work_open ON wa_delivery_work (not_before, delivery_id) WHERE split_at IS NULL;
CREATE INDEX wa_delivery_work_of_run ON wa_delivery_work (run_id, delivery_id)
  WHERE split_at IS NULL AND run_id IS NOT NULL;
CREATE INDEX wa_delivery_work_by_lease ON wa_delivery_work (lease_token) WHERE split_at IS NULL;

-- Up to which delivery all have been adopted. Commits are serial and ids grow: what is above is new.
CREATE TABLE wa_adopted (up_to INTEGER NOT NULL);
INSERT INTO wa_adopted VALUES (0);

-- The event log. The five columns of the specification, under its names, then what else is needed.
CREATE TABLE wa_events (
  id               INTEGER PRIMARY KEY,
  tipo_evento      TEXT NOT NULL,
  payload_original TEXT NOT NULL,       -- the envelope reduced to this event; escaped ASCII JSON
  fecha_recepcion  TEXT NOT NULL,
  procesado        INTEGER NOT NULL GENERATED ALWAYS AS (state = 'processed') STORED,
  error            TEXT,                -- of the last failure
  event_key        TEXT NOT NULL UNIQUE,
  digest           TEXT NOT NULL,       -- SHA-256 of the canonical payload
  delivery_id      INTEGER NOT NULL REFERENCES wa_deliveries (id),
  position         INTEGER NOT NULL,    -- among the events of its delivery
  event_at         TEXT,                -- Meta's time
  account_id       TEXT,
  phone_number_id  TEXT,
  message_id       TEXT,                -- the wamid it is about
  call_id          TEXT,                -- the call it is about
  lead_id          INTEGER REFERENCES wa_leads (id),
  state            TEXT NOT NULL CHECK (state IN ('pending', 'processed', 'failed', 'dead', 'refused')),
  attempts         INTEGER NOT NULL DEFAULT 0,
  next_attempt_at  TEXT,
  error_class      TEXT,
  handled_by       TEXT,                -- names of the handlers that ran; empty when no handler knows the type
  handler_version  TEXT,
  run_id           TEXT,                -- the last run that touched it
  lease_token      TEXT,
  leased_until     TEXT
);
CREATE INDEX wa_events_due ON wa_events (next_attempt_at, id) WHERE state IN ('pending', 'failed');
CREATE INDEX wa_events_by_lease ON wa_events (lease_token) WHERE leased_until IS NOT NULL;
CREATE INDEX wa_events_by_state ON wa_events (state, id) WHERE state <> 'processed';
CREATE INDEX wa_events_by_type ON wa_events (tipo_evento, id);
CREATE INDEX wa_events_by_arrival ON wa_events (fecha_recepcion);
CREATE INDEX wa_events_by_delivery ON wa_events (delivery_id);
CREATE INDEX wa_events_by_lead ON wa_events (lead_id, id) WHERE lead_id IS NOT NULL;
CREATE INDEX wa_events_by_message ON wa_events (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX wa_events_by_call ON wa_events (call_id) WHERE call_id IS NOT NULL;
CREATE INDEX wa_events_by_run ON wa_events (run_id, state) WHERE run_id IS NOT NULL;

-- Every try at handling an event.
CREATE TABLE wa_attempts (
  id              INTEGER PRIMARY KEY,
  event_id        INTEGER NOT NULL REFERENCES wa_events (id),
  attempt         INTEGER NOT NULL,
  at              TEXT NOT NULL,
  state           TEXT NOT NULL,        -- in which the event was left
  error           TEXT,
  error_class     TEXT,
  handler_version TEXT,
  run_id          TEXT
);
CREATE INDEX wa_attempts_by_event ON wa_attempts (event_id);
CREATE INDEX wa_attempts_by_run ON wa_attempts (run_id) WHERE run_id IS NOT NULL;

-- The ledger of replay and reprocess runs.
CREATE TABLE wa_runs (
  id          TEXT PRIMARY KEY,
  command     TEXT NOT NULL,
  scope       TEXT NOT NULL,            -- JSON
  started_by  TEXT,
  started_at  TEXT NOT NULL,
  finished_at TEXT,
  version     TEXT NOT NULL,
  counts      TEXT                      -- JSON
);

-- The outbox: what is to be done outside, each once.
CREATE TABLE wa_actions (
  id              INTEGER PRIMARY KEY,
  idempotency_key TEXT NOT NULL UNIQUE,
  event_id        INTEGER NOT NULL REFERENCES wa_events (id),
  lead_id         INTEGER REFERENCES wa_leads (id),
  action          TEXT NOT NULL,
  target          TEXT NOT NULL,
  payload         TEXT NOT NULL,        -- JSON
  state           TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'held', 'done', 'failed', 'dead')),
  attempts        INTEGER NOT NULL DEFAULT 0,
  next_attempt_at TEXT,
  error           TEXT
);
CREATE INDEX wa_actions_by_event ON wa_actions (event_id);
CREATE INDEX wa_actions_due ON wa_actions (next_attempt_at, id) WHERE state IN ('queued', 'failed');

-- The log is for ever. The database itself refuses what would lose or change a record, also from a plain shell.
-- REPLACE deletes without firing DELETE triggers (recursive_triggers is off by default), so inserting over a row is
-- refused before it starts. No column list on UPDATE: `SET rowid = ...` would slip past one.
CREATE TRIGGER wa_deliveries_no_delete BEFORE DELETE ON wa_deliveries
BEGIN SELECT RAISE(ABORT, 'wa_deliveries is a log: rows are never deleted'); END;
CREATE TRIGGER wa_deliveries_no_update BEFORE UPDATE ON wa_deliveries
BEGIN SELECT RAISE(ABORT, 'wa_deliveries is a log: rows never change'); END;
CREATE TRIGGER wa_deliveries_no_replace BEFORE INSERT ON wa_deliveries
WHEN EXISTS (SELECT 1 FROM wa_deliveries WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'wa_deliveries is a log: rows are never replaced'); END;

CREATE TRIGGER wa_events_no_delete BEFORE DELETE ON wa_events
BEGIN SELECT RAISE(ABORT, 'wa_events is a log: rows are never deleted'); END;
CREATE TRIGGER wa_events_no_alteration BEFORE UPDATE ON wa_events
WHEN NEW.id IS NOT OLD.id
  OR NEW.event_key IS NOT OLD.event_key
  OR NEW.tipo_evento IS NOT OLD.tipo_evento
  OR NEW.fecha_recepcion IS NOT OLD.fecha_recepcion
  OR NEW.payload_original IS NOT OLD.payload_original
  OR NEW.digest IS NOT OLD.digest
  OR NEW.delivery_id IS NOT OLD.delivery_id
  OR NEW.position IS NOT OLD.position
  OR NEW.event_at IS NOT OLD.event_at
BEGIN SELECT RAISE(ABORT, 'wa_events is a log: what was recorded never changes'); END;
CREATE TRIGGER wa_events_no_replace BEFORE INSERT ON wa_events
WHEN EXISTS (SELECT 1 FROM wa_events WHERE id = NEW.id OR event_key = NEW.event_key)
BEGIN SELECT RAISE(ABORT, 'wa_events is a log: rows are never replaced'); END;

CREATE TRIGGER wa_attempts_no_delete BEFORE DELETE ON wa_attempts
BEGIN SELECT RAISE(ABORT, 'wa_attempts is a log: rows are never deleted'); END;
CREATE TRIGGER wa_attempts_no_update BEFORE UPDATE ON wa_attempts
BEGIN SELECT RAISE(ABORT, 'wa_attempts is a log: rows never change'); END;
CREATE TRIGGER wa_attempts_no_replace BEFORE INSERT ON wa_attempts
WHEN EXISTS (SELECT 1 FROM wa_attempts WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'wa_attempts is a log: rows are never replaced'); END;

CREATE TRIGGER wa_runs_no_delete BEFORE DELETE ON wa_runs
BEGIN SELECT RAISE(ABORT, 'wa_runs is a ledger: rows are never deleted'); END;
CREATE TRIGGER wa_runs_no_alteration BEFORE UPDATE ON wa_runs
WHEN NEW.rowid IS NOT OLD.rowid
  OR NEW.id IS NOT OLD.id
  OR NEW.command IS NOT OLD.command
  OR NEW.scope IS NOT OLD.scope
  OR NEW.started_by IS NOT OLD.started_by
  OR NEW.started_at IS NOT OLD.started_at
BEGIN SELECT RAISE(ABORT, 'wa_runs is a ledger: what was recorded never changes'); END;
CREATE TRIGGER wa_runs_no_replace BEFORE INSERT ON wa_runs
WHEN EXISTS (SELECT 1 FROM wa_runs WHERE id = NEW.id OR rowid = NEW.rowid)
BEGIN SELECT RAISE(ABORT, 'wa_runs is a ledger: rows are never replaced'); END;
