-- The event log and the CRM tables. Times are text, RFC 3339 in UTC with microseconds, so that they sort as text.

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

CREATE TABLE wa_leads (
  id              INTEGER PRIMARY KEY,
  scope           TEXT NOT NULL,        -- the account (WABA) that knows this person
  wa_id           TEXT,                 -- the phone number last seen; null for a username user
  wa_id_at        TEXT,
  bsuid           TEXT,                 -- the business-scoped user id last seen
  bsuid_at        TEXT,
  name            TEXT,
  name_at         TEXT,
  username        TEXT,
  username_at     TEXT,
  first_event_at  TEXT NOT NULL,        -- Meta's times, not ours
  last_event_at   TEXT NOT NULL,
  last_inbound_at TEXT
);

CREATE TABLE wa_lead_identities (
  scope     TEXT NOT NULL,
  kind      TEXT NOT NULL CHECK (kind IN ('bsuid', 'parent_bsuid', 'wa_id')),
  value     TEXT NOT NULL,
  lead_id   INTEGER NOT NULL REFERENCES wa_leads (id),  -- of a phone number: whose it is now
  PRIMARY KEY (scope, kind, value)
) WITHOUT ROWID;
CREATE INDEX wa_lead_identities_by_value ON wa_lead_identities (value);
CREATE INDEX wa_lead_identities_by_lead ON wa_lead_identities (lead_id);

-- Whose a phone number was, and since when: the first time that it came together with a user id. An event that names
-- the number alone belongs to who had it last before, or to the first owner if nobody had it yet.
CREATE TABLE wa_phone_owners (
  scope TEXT NOT NULL,
  wa_id TEXT NOT NULL,
  kind  TEXT NOT NULL CHECK (kind IN ('bsuid', 'parent_bsuid')),
  ident TEXT NOT NULL,
  since TEXT NOT NULL,
  PRIMARY KEY (scope, wa_id, kind, ident)
) WITHOUT ROWID;

-- Every event that a person was seen in, and what it told of them. Leads are what these add up to.
CREATE TABLE wa_lead_sightings (
  event_id INTEGER NOT NULL REFERENCES wa_events (id),
  ident    TEXT NOT NULL,               -- the best of the ids that it names
  lead_id  INTEGER NOT NULL REFERENCES wa_leads (id),
  scope    TEXT NOT NULL,
  by_phone TEXT,                        -- the phone number, where it is known by that alone
  at       TEXT NOT NULL,
  wa_id    TEXT,
  bsuid    TEXT,
  name     TEXT,
  username TEXT,
  inbound  INTEGER NOT NULL,
  PRIMARY KEY (event_id, ident)
) WITHOUT ROWID;
CREATE INDEX wa_lead_sightings_by_lead ON wa_lead_sightings (lead_id);
CREATE INDEX wa_lead_sightings_by_phone ON wa_lead_sightings (scope, by_phone) WHERE by_phone IS NOT NULL;

CREATE TABLE wa_messages (
  id              INTEGER PRIMARY KEY,
  phone_number_id TEXT NOT NULL,
  wamid           TEXT NOT NULL,
  account_id      TEXT,
  lead_id         INTEGER REFERENCES wa_leads (id),
  lead_evidence   TEXT,                 -- how well the lead is known; the better evidence decides
  lead_event_id   INTEGER,              -- the event that it is known by, where that names a phone number alone
  direction       TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound')),
  at              TEXT NOT NULL,        -- Meta's time; of an outbound message, its earliest status
  type            TEXT,
  text            TEXT,                 -- what a person would read
  content         TEXT,                 -- JSON: the object that `type` names
  reply_to        TEXT,                 -- the wamid or wacid replied to
  reply_id        TEXT,                 -- what the tapped button or row carries
  context         TEXT,                 -- JSON: also what was forwarded, or the product asked about
  referral        TEXT,                 -- JSON: the ad or post it came from
  group_id        TEXT,
  error_code      INTEGER,              -- of an inbound message that Meta could not pass on
  error_text      TEXT,
  content_at      TEXT,
  content_digest  TEXT,
  sent_at         TEXT,
  delivered_at    TEXT,
  read_at         TEXT,
  played_at       TEXT,
  failed_at       TEXT,
  failed_code     INTEGER,
  failed_text     TEXT,
  tag             TEXT,                 -- biz_opaque_callback_data
  -- A rank, not a sequence: statuses come in any order, some never, and a failure yields to proof of delivery.
  status          TEXT NOT NULL GENERATED ALWAYS AS (
    CASE WHEN direction = 'inbound' THEN 'received'
         WHEN played_at IS NOT NULL THEN 'played'
         WHEN read_at IS NOT NULL THEN 'read'
         WHEN delivered_at IS NOT NULL THEN 'delivered'
         WHEN failed_at IS NOT NULL THEN 'failed'
         WHEN sent_at IS NOT NULL THEN 'sent'
         ELSE 'unknown' END) STORED,
  UNIQUE (phone_number_id, wamid)
);
CREATE INDEX wa_messages_by_wamid ON wa_messages (wamid);
CREATE INDEX wa_messages_by_lead_event ON wa_messages (lead_event_id) WHERE lead_event_id IS NOT NULL;
CREATE INDEX wa_messages_by_lead ON wa_messages (lead_id, at) WHERE lead_id IS NOT NULL;

-- History: one row a status event.
CREATE TABLE wa_message_statuses (
  event_id         INTEGER PRIMARY KEY REFERENCES wa_events (id),
  phone_number_id  TEXT NOT NULL,
  wamid            TEXT NOT NULL,
  account_id       TEXT,
  lead_id          INTEGER REFERENCES wa_leads (id),
  status           TEXT NOT NULL,
  at               TEXT NOT NULL,
  tag              TEXT,
  conversation_id  TEXT,
  pricing_model    TEXT,
  pricing_type     TEXT,
  pricing_category TEXT,
  billable         INTEGER,
  error_code       INTEGER,
  error_text       TEXT
);
CREATE INDEX wa_message_statuses_by_wamid ON wa_message_statuses (wamid, at);
CREATE INDEX wa_message_statuses_by_lead ON wa_message_statuses (lead_id, at) WHERE lead_id IS NOT NULL;

CREATE TABLE wa_calls (
  id              INTEGER PRIMARY KEY,
  phone_number_id TEXT NOT NULL,
  call_id         TEXT NOT NULL,
  account_id      TEXT,
  lead_id         INTEGER REFERENCES wa_leads (id),
  lead_evidence   TEXT,
  lead_event_id   INTEGER,
  direction       TEXT,                 -- USER_INITIATED or BUSINESS_INITIATED
  at              TEXT NOT NULL,        -- of its earliest step
  ringing_at      TEXT,
  connect_at      TEXT,
  accepted_at     TEXT,
  rejected_at     TEXT,
  terminate_at    TEXT,
  result          TEXT,                 -- Meta's word at the end: COMPLETED or FAILED
  started_at      TEXT,                 -- with ended_at and duration: only if it was picked up
  ended_at        TEXT,
  duration        INTEGER,              -- seconds
  tag             TEXT,
  error_code      INTEGER,
  error_text      TEXT,
  -- Meta's FAILED does not mean unanswered: an answered call can fail later. Picked up is what has a start.
  outcome         TEXT NOT NULL GENERATED ALWAYS AS (
    CASE WHEN started_at IS NOT NULL OR duration IS NOT NULL OR accepted_at IS NOT NULL THEN 'answered'
         WHEN rejected_at IS NOT NULL THEN 'rejected'
         WHEN terminate_at IS NOT NULL AND error_code IS NOT NULL THEN 'failed'
         WHEN terminate_at IS NOT NULL AND direction = 'BUSINESS_INITIATED' THEN 'unanswered'
         WHEN terminate_at IS NOT NULL THEN 'missed'
         ELSE 'ringing' END) STORED,
  UNIQUE (phone_number_id, call_id)
);
CREATE INDEX wa_calls_by_call ON wa_calls (call_id);
CREATE INDEX wa_calls_by_lead_event ON wa_calls (lead_event_id) WHERE lead_event_id IS NOT NULL;
CREATE INDEX wa_calls_by_lead ON wa_calls (lead_id, at) WHERE lead_id IS NOT NULL;

CREATE TABLE wa_account_events (
  event_id        INTEGER PRIMARY KEY REFERENCES wa_events (id),
  account_id      TEXT,
  phone_number_id TEXT,
  notice          TEXT NOT NULL,
  at              TEXT,
  detail          TEXT NOT NULL         -- JSON
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

-- Everything that happened with one lead, in order of Meta's time.
CREATE VIEW wa_lead_timeline AS
  SELECT lead_id, at, 'message' AS kind, direction, type AS what, text AS detail, wamid AS ref, account_id
    FROM wa_messages WHERE lead_id IS NOT NULL AND type IS NOT NULL
  UNION ALL
  SELECT lead_id, at, 'status', 'outbound', status, error_text, wamid, account_id
    FROM wa_message_statuses WHERE lead_id IS NOT NULL
  UNION ALL
  SELECT c.lead_id, s.at, 'call',
         CASE c.direction WHEN 'BUSINESS_INITIATED' THEN 'outbound' WHEN 'USER_INITIATED' THEN 'inbound' END,
         s.step,
         CASE s.step WHEN 'terminate' THEN c.outcome || coalesce(', ' || c.duration || ' s', '')
                                          || coalesce(', ' || c.error_text, '') END,
         c.call_id, c.account_id
    FROM wa_calls c
    JOIN (SELECT id, 'ringing' AS step, ringing_at AS at FROM wa_calls
          UNION ALL SELECT id, 'connect', connect_at FROM wa_calls
          UNION ALL SELECT id, 'accepted', accepted_at FROM wa_calls
          UNION ALL SELECT id, 'rejected', rejected_at FROM wa_calls
          UNION ALL SELECT id, 'terminate', terminate_at FROM wa_calls) s ON s.id = c.id
   WHERE c.lead_id IS NOT NULL AND s.at IS NOT NULL;

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
