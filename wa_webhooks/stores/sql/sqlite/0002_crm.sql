-- The CRM tables: what the events of the log add up to. A store that has older ones loses them here, and its events
-- become pending again: workers fill the new tables from the log, with what this version understands.
CREATE TABLE IF NOT EXISTS wa_leads (id INTEGER PRIMARY KEY);  -- for the reference in the next two statements
UPDATE wa_events SET lead_id = NULL WHERE lead_id IS NOT NULL;
UPDATE wa_actions SET lead_id = NULL WHERE lead_id IS NOT NULL;
UPDATE wa_events SET state = 'pending', attempts = 0, next_attempt_at = fecha_recepcion WHERE state = 'processed';
DROP VIEW IF EXISTS wa_lead_timeline;
DROP TABLE IF EXISTS wa_account_events;
DROP TABLE IF EXISTS wa_calls;
DROP TABLE IF EXISTS wa_message_statuses;
DROP TABLE IF EXISTS wa_messages;
DROP TABLE IF EXISTS wa_lead_sightings;
DROP TABLE IF EXISTS wa_phone_owners;
DROP TABLE IF EXISTS wa_lead_identities;
DROP TABLE wa_leads;

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
  first_event_at  TEXT,                 -- Meta's times, not ours; null where no event of theirs has one
  last_event_at   TEXT,
  last_inbound_at TEXT
);

CREATE TABLE wa_lead_identities (
  scope     TEXT NOT NULL,
  kind      TEXT NOT NULL CHECK (kind IN ('bsuid', 'parent_bsuid', 'wa_id')),
  value     TEXT NOT NULL,
  number    TEXT,                       -- of a phone number: what all its variants share
  lead_id   INTEGER NOT NULL REFERENCES wa_leads (id),  -- of a phone number: whose it is now, or was last
  PRIMARY KEY (scope, kind, value)
) WITHOUT ROWID;
CREATE INDEX wa_lead_identities_by_value ON wa_lead_identities (value);
CREATE INDEX wa_lead_identities_by_number ON wa_lead_identities (number) WHERE number IS NOT NULL;
CREATE INDEX wa_lead_identities_by_lead ON wa_lead_identities (lead_id);

-- Every event that a person was seen in, and what it told of them. Leads are what these add up to. One that names a
-- user id says whose its number is; one that names a number alone belongs to whoever had the number at that time.
CREATE TABLE wa_lead_sightings (
  event_id INTEGER NOT NULL REFERENCES wa_events (id),
  ident    TEXT NOT NULL,               -- the best of the ids that it names
  place    INTEGER NOT NULL,            -- among the people of the event: the event is about the first, 0
  lead_id  INTEGER NOT NULL REFERENCES wa_leads (id),
  scope    TEXT NOT NULL,
  at       TEXT NOT NULL,               -- empty where the event has no time: before everything else
  named    INTEGER NOT NULL,            -- whether it names a user id
  number   TEXT,                        -- what all variants of the phone number share
  wa_id    TEXT,                        -- empty: from then on the number is not known
  wa_id_at TEXT,                        -- when it was theirs; empty where something was only sent there
  bsuid    TEXT,
  name     TEXT,
  username TEXT,
  inbound  INTEGER NOT NULL,
  PRIMARY KEY (event_id, ident)
) WITHOUT ROWID;
CREATE INDEX wa_lead_sightings_by_lead ON wa_lead_sightings (lead_id);
CREATE INDEX wa_lead_sightings_by_number ON wa_lead_sightings (scope, number, named, at) WHERE number IS NOT NULL;

-- A lead's number changed: the old one is nobody's from then on, the new one theirs.
CREATE TABLE wa_number_changes (
  event_id   INTEGER PRIMARY KEY REFERENCES wa_events (id),
  scope      TEXT NOT NULL,
  at         TEXT NOT NULL,
  old_number TEXT,
  new_number TEXT,
  kind       TEXT,                      -- of the user id that the event names, if it does
  ident      TEXT
);
CREATE INDEX wa_number_changes_by_old ON wa_number_changes (scope, old_number, at) WHERE old_number IS NOT NULL;
CREATE INDEX wa_number_changes_by_new ON wa_number_changes (scope, new_number, at) WHERE new_number IS NOT NULL;

-- A lead known by a number alone, from when on: empty for the number's first, the time of the change for who had it
-- after somebody gave it up.
CREATE TABLE wa_number_holders (
  scope   TEXT NOT NULL,
  number  TEXT NOT NULL,
  since   TEXT NOT NULL,
  lead_id INTEGER NOT NULL REFERENCES wa_leads (id),
  PRIMARY KEY (scope, number, since)
) WITHOUT ROWID;
CREATE INDEX wa_number_holders_by_lead ON wa_number_holders (lead_id);

-- What else happened with a lead: preferences, payments, groups, synced contacts, conversions, handovers.
CREATE TABLE wa_lead_events (
  event_id        INTEGER NOT NULL REFERENCES wa_events (id),
  topic           TEXT NOT NULL,
  ident           TEXT NOT NULL,        -- who; empty where nobody is named
  lead_id         INTEGER REFERENCES wa_leads (id),
  account_id      TEXT,
  phone_number_id TEXT,
  what            TEXT NOT NULL,
  ref             TEXT,
  at              TEXT,
  detail          TEXT NOT NULL,        -- JSON
  PRIMARY KEY (event_id, topic, ident)
) WITHOUT ROWID;
CREATE INDEX wa_lead_events_by_lead ON wa_lead_events (lead_id, at) WHERE lead_id IS NOT NULL;
CREATE INDEX wa_lead_events_by_ref ON wa_lead_events (topic, ref);

CREATE TABLE wa_messages (
  id              INTEGER PRIMARY KEY,
  phone_number_id TEXT NOT NULL,
  wamid           TEXT NOT NULL,
  account_id      TEXT,
  lead_id         INTEGER REFERENCES wa_leads (id),
  lead_evidence   TEXT,                 -- how well the lead is known; the better evidence decides
  lead_event_id   INTEGER,              -- the event that it is known by, where that names a phone number alone
  direction       TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound')),
  source          TEXT NOT NULL CHECK (source IN ('live', 'echo', 'standby', 'history', 'status')),
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
  content_evidence TEXT,                -- how good the content is; the better one stays
  sent_at         TEXT,
  delivered_at    TEXT,
  read_at         TEXT,
  played_at       TEXT,
  failed_at       TEXT,
  failed_code     INTEGER,
  failed_text     TEXT,
  failed_class    TEXT,                 -- permanent, retryable, deferred or account-wide
  told_rank       INTEGER,              -- of a message of an old chat, how far it had come: 0 pending to 5 played
  tag             TEXT,                 -- biz_opaque_callback_data
  pricing_model   TEXT,
  pricing_type    TEXT,
  pricing_category TEXT,
  -- A rank, not a sequence: statuses come in any order, some never, and a failure yields to proof of delivery.
  status          TEXT NOT NULL GENERATED ALWAYS AS (
    CASE WHEN direction = 'inbound' THEN 'received'
         WHEN played_at IS NOT NULL OR told_rank = 5 THEN 'played'
         WHEN read_at IS NOT NULL OR told_rank = 4 THEN 'read'
         WHEN delivered_at IS NOT NULL OR told_rank = 3 THEN 'delivered'
         WHEN failed_at IS NOT NULL OR told_rank = 1 THEN 'failed'
         WHEN sent_at IS NOT NULL OR told_rank = 2 THEN 'sent'
         WHEN told_rank = 0 THEN 'pending'
         ELSE 'unknown' END) STORED,
  UNIQUE (phone_number_id, wamid)
);
CREATE INDEX wa_messages_by_wamid ON wa_messages (wamid);
CREATE INDEX wa_messages_by_lead_event ON wa_messages (lead_event_id) WHERE lead_event_id IS NOT NULL;
CREATE INDEX wa_messages_by_lead ON wa_messages (lead_id, at) WHERE lead_id IS NOT NULL;
CREATE INDEX wa_messages_by_reply ON wa_messages (reply_to) WHERE reply_to IS NOT NULL;
CREATE INDEX wa_messages_by_tag ON wa_messages (tag) WHERE tag IS NOT NULL;

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
  conversation_origin TEXT,
  pricing_model    TEXT,
  pricing_type     TEXT,
  pricing_category TEXT,
  billable         INTEGER,
  error_code       INTEGER,
  error_text       TEXT,
  failure_class    TEXT
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
  created_at      TEXT,                 -- with SIP
  recording_at    TEXT,                 -- with recording_id: the file can be fetched, for some days
  recording_id    TEXT,
  transcript_at   TEXT,
  transcript_id   TEXT,
  result          TEXT,                 -- Meta's word at the end: COMPLETED or FAILED
  started_at      TEXT,                 -- with ended_at and duration: only if it was picked up
  ended_at        TEXT,
  duration        INTEGER,              -- seconds
  tag             TEXT,
  cta_payload     TEXT,
  deeplink_payload TEXT,
  error_code      INTEGER,
  error_text      TEXT,
  failure_class   TEXT,
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
  severity        TEXT NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
  subject         TEXT,                 -- a template's name, a number, a flow
  what            TEXT,                 -- Meta's word
  reason          TEXT,
  failure_class   TEXT,                 -- of an error
  at              TEXT,
  detail          TEXT NOT NULL         -- JSON
);
CREATE INDEX wa_account_events_by_severity ON wa_account_events (severity, at) WHERE severity <> 'info';

-- What the models do not know, in new events: how one learns that Meta changed something. Not part of the CRM.
CREATE TABLE wa_drift (
  kind     TEXT NOT NULL CHECK (kind IN ('key', 'value', 'shape')),
  path     TEXT NOT NULL,
  detail   TEXT NOT NULL,
  events   INTEGER NOT NULL,            -- in how many
  first_at TEXT NOT NULL,               -- of arrival
  last_at  TEXT NOT NULL,
  event_id INTEGER NOT NULL REFERENCES wa_events (id),  -- the first of them
  PRIMARY KEY (kind, path, detail)
) WITHOUT ROWID;
CREATE INDEX wa_actions_by_lead ON wa_actions (lead_id) WHERE lead_id IS NOT NULL;
