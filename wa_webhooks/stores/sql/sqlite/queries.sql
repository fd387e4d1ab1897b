-- The statements of the SQLite store, each under a line "-- name: <name>". Parameters are named.

-- name: append_deliveries
-- The rows follow, as many as there are.
INSERT INTO wa_deliveries (headers, source, source_ip, received_at, signature_key, run_id, body) VALUES

-- name: adopt_deliveries
INSERT OR IGNORE INTO wa_delivery_work (delivery_id, run_id, not_before)
SELECT id, run_id, iif(run_id IS NULL, '', strftime('%Y-%m-%dT%H:%M:%f000Z', received_at, :grace))
  FROM wa_deliveries WHERE id > (SELECT up_to FROM wa_adopted) ORDER BY id LIMIT :limit

-- name: adopt_signature_keys
-- With `adopted`, which sets up_to: so each delivery is counted once, also one that a run adopted before.
INSERT INTO wa_signature_keys (label, deliveries, first_at, last_at)
SELECT signature_key, count(*), min(received_at), max(received_at)
  FROM (SELECT signature_key, received_at FROM wa_deliveries
         WHERE id > (SELECT up_to FROM wa_adopted) ORDER BY id LIMIT :limit)
 WHERE signature_key IS NOT NULL GROUP BY signature_key
ON CONFLICT (label) DO UPDATE
   SET deliveries = deliveries + excluded.deliveries, first_at = min(first_at, excluded.first_at),
       last_at = max(last_at, excluded.last_at)

-- name: adopted
UPDATE wa_adopted SET up_to = coalesce(
  (SELECT max(id) FROM (SELECT id FROM wa_deliveries WHERE id > up_to ORDER BY id LIMIT :limit)), up_to)

-- name: adopt_run
-- A run need not wait until all that was recorded before it is adopted.
INSERT OR IGNORE INTO wa_delivery_work (delivery_id, run_id, not_before)
SELECT id, run_id, strftime('%Y-%m-%dT%H:%M:%f000Z', received_at, :grace) FROM wa_deliveries
 WHERE run_id = :run_id AND id > (SELECT up_to FROM wa_adopted)

-- name: new_deliveries
SELECT 1 FROM wa_deliveries WHERE id > (SELECT up_to FROM wa_adopted) LIMIT 1

-- name: open_deliveries
SELECT w.delivery_id AS id, length(d.body) AS size
  FROM wa_delivery_work w JOIN wa_deliveries d ON d.id = w.delivery_id
 WHERE w.split_at IS NULL AND w.not_before <= :now AND (w.leased_until IS NULL OR w.leased_until <= :now)
 ORDER BY w.not_before, w.delivery_id LIMIT :limit

-- name: open_deliveries_of_run
SELECT w.delivery_id AS id, length(d.body) AS size
  FROM wa_delivery_work w JOIN wa_deliveries d ON d.id = w.delivery_id
 WHERE w.split_at IS NULL AND w.run_id = :run_id AND (w.leased_until IS NULL OR w.leased_until <= :now)
 ORDER BY w.delivery_id LIMIT :limit

-- name: lease_delivery
UPDATE wa_delivery_work SET lease_token = :token, leased_until = :until
 WHERE delivery_id = :id

-- name: leased_deliveries
SELECT d.id, d.body, d.received_at, d.run_id
  FROM wa_delivery_work w JOIN wa_deliveries d ON d.id = w.delivery_id
 WHERE w.split_at IS NULL AND w.lease_token = :token ORDER BY d.id

-- name: release_deliveries
UPDATE wa_delivery_work SET lease_token = NULL, leased_until = NULL WHERE split_at IS NULL AND lease_token = :token

-- name: release_events
UPDATE wa_events SET lease_token = NULL, leased_until = NULL
 WHERE leased_until IS NOT NULL AND lease_token = :token

-- name: held_deliveries
SELECT w.delivery_id AS id, w.lease_token AS token
  FROM json_each(:ids) d CROSS JOIN wa_delivery_work w ON w.delivery_id = d.value WHERE w.split_at IS NULL

-- name: split_delivery
UPDATE wa_delivery_work
   SET split_at = :now, events = :events, duplicates = :duplicates, leased_until = NULL
 WHERE delivery_id = :id

-- name: events_of_delivery
SELECT count(*) AS events FROM wa_events WHERE delivery_id = :id

-- name: due_events
-- Every pending or failed event has a time: a run's is its own until then.
SELECT id FROM wa_events
 WHERE state IN ('pending', 'failed') AND next_attempt_at <= :now AND (leased_until IS NULL OR leased_until <= :now)
 ORDER BY next_attempt_at, id LIMIT :limit

-- name: due_events_of_run
SELECT id FROM wa_events
 WHERE run_id = :run_id AND state = 'pending' AND (leased_until IS NULL OR leased_until <= :now)
 ORDER BY id LIMIT :limit

-- name: lease_event
UPDATE wa_events SET lease_token = :token, leased_until = :until WHERE id = :id

-- name: leased_events
SELECT id, event_key, payload_original, position, attempts, delivery_id, handled_by
  FROM wa_events WHERE lease_token = :token AND leased_until IS NOT NULL ORDER BY id

-- name: held_event
SELECT attempts FROM wa_events WHERE id = :id AND lease_token = :token AND leased_until IS NOT NULL

-- name: event_by_key
SELECT id, digest, state, attempts, leased_until, delivery_id, position FROM wa_events WHERE event_key = :key

-- name: insert_event
INSERT INTO wa_events (tipo_evento, payload_original, fecha_recepcion, error, event_key, digest, delivery_id,
  position, event_at, account_id, phone_number_id, message_id, call_id, state, attempts, next_attempt_at,
  error_class, handled_by, handler_version, run_id)
VALUES (:type, :payload, :received_at, NULL, :key, :digest, :delivery_id,
  :position, :at, :account_id, :phone_number_id, :message_id, :call_id, 'pending', 0, NULL,
  NULL, NULL, NULL, :run_id)

-- name: insert_settled
INSERT INTO wa_events (id, tipo_evento, payload_original, fecha_recepcion, error, event_key, digest, delivery_id,
  position, event_at, account_id, phone_number_id, message_id, call_id, lead_id, state, attempts, next_attempt_at,
  error_class, handled_by, handler_version, run_id)
VALUES (:event_id, :type, :payload, :received_at, :error, :key, :digest, :delivery_id,
  :position, :at, :account_id, :phone_number_id, :message_id, :call_id, :lead_id, :state, :attempts, :next_attempt_at,
  :error_class, :handled_by, :handler_version, :run_id)

-- name: settle_event
UPDATE wa_events
   SET state = :state, attempts = :attempts, error = :error, error_class = :error_class,
       next_attempt_at = :next_attempt_at, handled_by = :handled_by, handler_version = :handler_version,
       lead_id = coalesce(:lead_id, lead_id), run_id = coalesce(:run_id, run_id), leased_until = NULL
 WHERE id = :id

-- name: insert_attempt
INSERT INTO wa_attempts (event_id, attempt, at, state, error, error_class, handler_version, run_id)
VALUES (:id, :attempts, :now, :state, :error, :error_class, :handler_version, :run_id)

-- name: insert_first_attempts
-- Of events that were inserted settled.
INSERT INTO wa_attempts (event_id, attempt, at, state, error, error_class, handler_version, run_id)
SELECT id, attempts, :now, state, error, error_class, handler_version, run_id
  FROM wa_events WHERE id BETWEEN :first AND :last ORDER BY id

-- name: begin_event
SAVEPOINT event

-- name: undo_event
ROLLBACK TO event

-- name: end_event
RELEASE event

-- name: last_ids
SELECT (SELECT coalesce(max(id), 0) FROM wa_events) AS event, (SELECT coalesce(max(id), 0) FROM wa_leads) AS lead

-- name: known_events
SELECT e.event_key AS key, e.digest, e.state, e.delivery_id, e.position
  FROM json_each(:keys) k CROSS JOIN wa_events e ON e.event_key = k.value

-- name: known_identities
SELECT i.scope, i.kind, i.value, i.lead_id FROM json_each(:ids) v CROSS JOIN wa_lead_identities i ON i.value = v.value

-- name: known_numbers
-- What there is of each number: who holds it from the first, entries of its history, and others who are known by it.
SELECT n.value AS number,
       (SELECT lead_id FROM wa_number_holders WHERE scope = :scope AND number = n.value AND since = '') AS holder,
       EXISTS (SELECT 1 FROM wa_lead_sightings WHERE scope = :scope AND number = n.value AND named = 1) AS named,
       EXISTS (SELECT 1 FROM wa_lead_sightings WHERE scope = :scope AND number = n.value AND named = 0) AS unnamed,
       EXISTS (SELECT 1 FROM wa_number_changes WHERE scope = :scope AND old_number = n.value)
         OR EXISTS (SELECT 1 FROM wa_number_changes WHERE scope = :scope AND new_number = n.value) AS changed,
       EXISTS (SELECT 1 FROM wa_number_holders WHERE scope = :scope AND number = n.value)
         OR EXISTS (SELECT 1 FROM wa_lead_identities WHERE number = n.value AND scope = :scope) AS known
  FROM json_each(:numbers) n

-- name: known_messages
SELECT m.wamid, m.id, m.lead_id, m.lead_event_id, m.at, m.tag
  FROM json_each(:wamids) w
 CROSS JOIN wa_messages m ON m.phone_number_id = :phone_number_id AND m.wamid = w.value

-- name: identity
SELECT lead_id FROM wa_lead_identities WHERE scope = :scope AND kind = :kind AND value = :value

-- name: put_identity
INSERT INTO wa_lead_identities (scope, kind, value, number, lead_id) VALUES (:scope, :kind, :value, :number, :lead_id)
ON CONFLICT (scope, kind, value) DO UPDATE SET lead_id = excluded.lead_id
 WHERE lead_id <> excluded.lead_id AND kind <> 'wa_id'  -- whose a number is, point_identities says

-- name: put_sighting
INSERT INTO wa_lead_sightings (event_id, ident, place, lead_id, scope, at, named, number, wa_id, wa_id_at, bsuid, name,
  username, inbound)
VALUES (:event_id, :ident, :place, :lead_id, :scope, :at, :named, :number, :wa_id, :wa_id_at, :bsuid, :name,
  :username, :inbound)
ON CONFLICT (event_id, ident) DO UPDATE
   SET place = excluded.place, lead_id = excluded.lead_id, at = excluded.at, named = excluded.named,
       number = excluded.number, wa_id = excluded.wa_id, wa_id_at = excluded.wa_id_at, bsuid = excluded.bsuid,
       name = excluded.name, username = excluded.username, inbound = excluded.inbound

-- name: insert_sighting
-- `put_sighting` of a new event, which has none yet; likewise `insert_status`.
INSERT INTO wa_lead_sightings (event_id, ident, place, lead_id, scope, at, named, number, wa_id, wa_id_at, bsuid, name,
  username, inbound)
VALUES (:event_id, :ident, :place, :lead_id, :scope, :at, :named, :number, :wa_id, :wa_id_at, :bsuid, :name,
  :username, :inbound)

-- name: point_identities
UPDATE wa_lead_identities SET lead_id = :lead_id
 WHERE number = :number AND scope = :scope AND kind = 'wa_id' AND lead_id <> :lead_id

-- name: put_number_change
REPLACE INTO wa_number_changes (event_id, scope, at, old_number, new_number, kind, ident)
VALUES (:event_id, :scope, :at, :old_number, :new_number, :kind, :ident)

-- name: entry_before
-- The last that happened with a number before a time: 3 somebody was seen with it, 2 changed to it, 1 gave it up. At
-- one time, in the order of giving up, changing and being seen.
SELECT * FROM (
  SELECT * FROM (
    SELECT at, 3 AS rank, ident, lead_id, NULL AS from_number FROM wa_lead_sightings
     WHERE scope = :scope AND number = :number AND named = 1 AND at < :before
     ORDER BY at DESC, ident DESC LIMIT 1)
  UNION ALL
  SELECT * FROM (
    SELECT c.at, 2, coalesce(c.ident, c.old_number), i.lead_id, c.old_number
      FROM wa_number_changes c
      LEFT JOIN wa_lead_identities i ON i.scope = c.scope AND i.kind = c.kind AND i.value = c.ident
     WHERE c.scope = :scope AND c.new_number = :number AND c.at < :before
     ORDER BY c.at DESC, coalesce(c.ident, c.old_number) DESC LIMIT 1)
  UNION ALL
  SELECT * FROM (
    SELECT c.at, 1, coalesce(c.ident, c.new_number), i.lead_id, NULL
      FROM wa_number_changes c
      LEFT JOIN wa_lead_identities i ON i.scope = c.scope AND i.kind = c.kind AND i.value = c.ident
     WHERE c.scope = :scope AND c.old_number = :number AND c.at < :before
     ORDER BY c.at DESC, coalesce(c.ident, c.new_number) DESC LIMIT 1))
 ORDER BY at DESC, rank DESC, ident DESC LIMIT 1

-- name: entry_after
-- The first that happens with a number from a time on; `to_number` is the one that it was left for.
SELECT at, rank, lead_id, to_number FROM (
  SELECT * FROM (
    SELECT at, 3 AS rank, ident, lead_id, NULL AS to_number FROM wa_lead_sightings
     WHERE scope = :scope AND number = :number AND named = 1 AND at >= :seen_from
     ORDER BY at, ident LIMIT 1)
  UNION ALL
  SELECT * FROM (
    SELECT c.at, 2, coalesce(c.ident, c.old_number), i.lead_id, NULL
      FROM wa_number_changes c
      LEFT JOIN wa_lead_identities i ON i.scope = c.scope AND i.kind = c.kind AND i.value = c.ident
     WHERE c.scope = :scope AND c.new_number = :number AND c.at >= :others_from
     ORDER BY c.at, coalesce(c.ident, c.old_number) LIMIT 1)
  UNION ALL
  SELECT * FROM (
    SELECT c.at, 1, coalesce(c.ident, c.new_number), i.lead_id, c.new_number
      FROM wa_number_changes c
      LEFT JOIN wa_lead_identities i ON i.scope = c.scope AND i.kind = c.kind AND i.value = c.ident
     WHERE c.scope = :scope AND c.old_number = :number AND c.at >= :others_from
     ORDER BY c.at, coalesce(c.ident, c.new_number) LIMIT 1))
 ORDER BY at, rank, ident LIMIT 1

-- name: holder
SELECT lead_id FROM wa_number_holders WHERE scope = :scope AND number = :number AND since = :since

-- name: put_holder
INSERT INTO wa_number_holders (scope, number, since, lead_id) VALUES (:scope, :number, :since, :lead_id)

-- name: delete_held
DELETE FROM wa_number_holders WHERE lead_id = :lead_id

-- name: is_attributed
SELECT 1 FROM wa_lead_sightings WHERE scope = :scope AND number = :number AND named = 0
UNION ALL
SELECT 1 FROM wa_number_changes WHERE scope = :scope AND old_number = :number AND ident IS NULL
UNION ALL
SELECT 1 FROM wa_number_changes WHERE scope = :scope AND new_number = :number AND ident IS NULL
LIMIT 1

-- name: changed_with
-- The numbers that somebody, whom no user id tells, changed to or from this one.
SELECT new_number AS number FROM wa_number_changes
 WHERE scope = :scope AND old_number = :number AND new_number IS NOT NULL AND ident IS NULL
UNION
SELECT old_number FROM wa_number_changes
 WHERE scope = :scope AND new_number = :number AND old_number IS NOT NULL AND ident IS NULL

-- name: changer
-- Who is said to have changed from the number, where two are said to have changed to another at one time.
SELECT s.lead_id FROM wa_number_changes c JOIN wa_lead_sightings s ON s.event_id = c.event_id
 WHERE c.scope = :scope AND c.old_number = :number ORDER BY c.at DESC, c.new_number DESC, s.ident DESC LIMIT 1

-- name: facts_by_number
SELECT event_id, ident, place, at, inbound, lead_id FROM wa_lead_sightings
 WHERE scope = :scope AND number = :number AND named = 0

-- name: attribute_sighting
UPDATE wa_lead_sightings SET lead_id = :lead_id WHERE event_id = :event_id AND ident = :ident

-- name: attribute_event
UPDATE wa_events SET lead_id = :lead_id WHERE id = :event_id AND :place = 0

-- name: attribute_messages
UPDATE wa_messages SET lead_id = :lead_id WHERE lead_event_id = :event_id AND lead_id = :other_id

-- name: attribute_status
UPDATE wa_message_statuses SET lead_id = :lead_id WHERE event_id = :event_id AND lead_id = :other_id

-- name: attribute_calls
UPDATE wa_calls SET lead_id = :lead_id WHERE lead_event_id = :event_id AND lead_id = :other_id

-- name: attribute_lead_events
UPDATE wa_lead_events SET lead_id = :lead_id WHERE event_id = :event_id AND ident = :ident

-- name: attribute_actions
UPDATE wa_actions SET lead_id = :lead_id WHERE event_id = :event_id AND lead_id = :other_id AND :place = 0

-- name: sighted_lead
SELECT lead_id FROM wa_lead_sightings WHERE event_id = :event_id AND ident = :ident

-- name: recount_lead
UPDATE wa_leads
   SET (wa_id, wa_id_at) = (SELECT nullif(wa_id, ''), wa_id_at FROM wa_lead_sightings
                             WHERE lead_id = :lead_id AND wa_id IS NOT NULL
                             ORDER BY wa_id_at DESC, wa_id DESC LIMIT 1),
       (bsuid, bsuid_at) = (SELECT bsuid, at FROM wa_lead_sightings WHERE lead_id = :lead_id AND bsuid IS NOT NULL
                             ORDER BY at DESC, bsuid DESC LIMIT 1),
       (name, name_at) = (SELECT name, at FROM wa_lead_sightings WHERE lead_id = :lead_id AND name IS NOT NULL
                           ORDER BY at DESC, name DESC LIMIT 1),
       (username, username_at) = (SELECT username, at FROM wa_lead_sightings
                                   WHERE lead_id = :lead_id AND username IS NOT NULL
                                   ORDER BY at DESC, username DESC LIMIT 1),
       first_event_at = (SELECT min(nullif(at, '')) FROM wa_lead_sightings WHERE lead_id = :lead_id),
       last_event_at = (SELECT max(nullif(at, '')) FROM wa_lead_sightings WHERE lead_id = :lead_id),
       last_inbound_at = (SELECT max(nullif(at, '')) FROM wa_lead_sightings WHERE lead_id = :lead_id AND inbound)
 WHERE id = :lead_id

-- name: is_seen
SELECT 1 FROM wa_lead_sightings WHERE lead_id = :lead_id LIMIT 1

-- name: insert_lead
INSERT INTO wa_leads (scope) VALUES (:scope)

-- name: join_lead
-- Newest values, by (time, value); widest span of times. An empty wa_id says that the number is not known any more: of
-- a lead that is there.
INSERT INTO wa_leads (id, scope, wa_id, wa_id_at, bsuid, bsuid_at, name, name_at, username, username_at, first_event_at,
  last_event_at, last_inbound_at)
VALUES (:lead_id, :scope, :wa_id, :wa_id_at, :bsuid, :bsuid_at, :name, :name_at, :username, :username_at, :first_event_at,
  :last_event_at, :last_inbound_at)
ON CONFLICT (id) DO UPDATE
   SET wa_id = CASE WHEN excluded.wa_id IS NOT NULL AND (wa_id_at IS NULL OR (excluded.wa_id_at, excluded.wa_id) > (wa_id_at, coalesce(wa_id, ''))) THEN nullif(excluded.wa_id, '') ELSE wa_id END,
       wa_id_at = CASE WHEN excluded.wa_id IS NOT NULL AND (wa_id_at IS NULL OR (excluded.wa_id_at, excluded.wa_id) > (wa_id_at, coalesce(wa_id, ''))) THEN excluded.wa_id_at ELSE wa_id_at END,
       bsuid = CASE WHEN excluded.bsuid IS NOT NULL AND (bsuid_at IS NULL OR (excluded.bsuid_at, excluded.bsuid) > (bsuid_at, bsuid)) THEN excluded.bsuid ELSE bsuid END,
       bsuid_at = CASE WHEN excluded.bsuid IS NOT NULL AND (bsuid_at IS NULL OR (excluded.bsuid_at, excluded.bsuid) > (bsuid_at, bsuid)) THEN excluded.bsuid_at ELSE bsuid_at END,
       name = CASE WHEN excluded.name IS NOT NULL AND (name_at IS NULL OR (excluded.name_at, excluded.name) > (name_at, name)) THEN excluded.name ELSE name END,
       name_at = CASE WHEN excluded.name IS NOT NULL AND (name_at IS NULL OR (excluded.name_at, excluded.name) > (name_at, name)) THEN excluded.name_at ELSE name_at END,
       username = CASE WHEN excluded.username IS NOT NULL AND (username_at IS NULL OR (excluded.username_at, excluded.username) > (username_at, username)) THEN excluded.username ELSE username END,
       username_at = CASE WHEN excluded.username IS NOT NULL AND (username_at IS NULL OR (excluded.username_at, excluded.username) > (username_at, username)) THEN excluded.username_at ELSE username_at END,
       first_event_at = coalesce(min(first_event_at, excluded.first_event_at), first_event_at, excluded.first_event_at),
       last_event_at = coalesce(max(last_event_at, excluded.last_event_at), last_event_at, excluded.last_event_at),
       last_inbound_at = coalesce(max(last_inbound_at, excluded.last_inbound_at), last_inbound_at, excluded.last_inbound_at)

-- name: move_identities
UPDATE wa_lead_identities SET lead_id = :lead_id WHERE lead_id = :other_id

-- name: move_sightings
UPDATE wa_lead_sightings SET lead_id = :lead_id WHERE lead_id = :other_id

-- name: move_events
UPDATE wa_events SET lead_id = :lead_id WHERE lead_id = :other_id

-- name: move_messages
UPDATE wa_messages SET lead_id = :lead_id WHERE lead_id = :other_id

-- name: move_statuses
UPDATE wa_message_statuses SET lead_id = :lead_id WHERE lead_id = :other_id

-- name: move_calls
UPDATE wa_calls SET lead_id = :lead_id WHERE lead_id = :other_id

-- name: move_lead_events
UPDATE wa_lead_events SET lead_id = :lead_id WHERE lead_id = :other_id

-- name: move_actions
UPDATE wa_actions SET lead_id = :lead_id WHERE lead_id = :other_id

-- name: delete_lead
DELETE FROM wa_leads WHERE id = :other_id

-- name: insert_message
INSERT INTO wa_messages (phone_number_id, wamid, account_id, lead_id, lead_evidence, lead_event_id, direction, source, at,
  type, text, content, reply_to, reply_id, context, referral, group_id, told_rank, tag, error_code,
  error_text, content_evidence)
VALUES (:phone_number_id, :wamid, :account_id, :lead_id, :lead_evidence, :lead_event_id, :direction, :source, :at,
  :type, :text, :content, :reply_to, :reply_id, :context, :referral, :group_id, :told_rank, :tag, :error_code,
  :error_text, :content_evidence)
ON CONFLICT (phone_number_id, wamid) DO NOTHING

-- name: join_message
UPDATE wa_messages
   SET account_id = coalesce(min(account_id, :account_id), account_id, :account_id),
       lead_id = CASE WHEN :lead_evidence > coalesce(lead_evidence, '') THEN :lead_id ELSE lead_id END,
       lead_event_id = CASE WHEN :lead_evidence > coalesce(lead_evidence, '')
                            THEN :lead_event_id ELSE lead_event_id END,
       lead_evidence = coalesce(max(lead_evidence, :lead_evidence), lead_evidence, :lead_evidence),
       direction = min(direction, :direction),  -- inbound wins
       told_rank = coalesce(max(told_rank, :told_rank), told_rank, :told_rank),
       tag = coalesce(max(tag, :tag), tag, :tag),
       at = min(at, :at)
 WHERE phone_number_id = :phone_number_id AND wamid = :wamid

-- name: join_content
-- Also on the same event again, so that a newer version's mapping replaces an older one's.
UPDATE wa_messages
   SET source = :source, type = :type, text = :text, content = :content, reply_to = :reply_to, reply_id = :reply_id,
       context = :context, referral = :referral, group_id = :group_id, error_code = :error_code,
       error_text = :error_text, content_evidence = :content_evidence
 WHERE phone_number_id = :phone_number_id AND wamid = :wamid
   AND (content_evidence IS NULL OR :content_evidence >= content_evidence)

-- name: put_status
REPLACE INTO wa_message_statuses (event_id, phone_number_id, wamid, account_id, lead_id, status, at, tag,
  conversation_id, conversation_origin, pricing_model, pricing_type, pricing_category, billable, error_code, error_text,
  failure_class)
VALUES (:event_id, :phone_number_id, :wamid, :account_id, :lead_id, :status, :at, :tag,
  :conversation_id, :conversation_origin, :pricing_model, :pricing_type, :pricing_category, :billable, :error_code,
  :error_text, :failure_class)

-- name: insert_status
INSERT INTO wa_message_statuses (event_id, phone_number_id, wamid, account_id, lead_id, status, at, tag,
  conversation_id, conversation_origin, pricing_model, pricing_type, pricing_category, billable, error_code, error_text,
  failure_class)
VALUES (:event_id, :phone_number_id, :wamid, :account_id, :lead_id, :status, :at, :tag,
  :conversation_id, :conversation_origin, :pricing_model, :pricing_type, :pricing_category, :billable, :error_code,
  :error_text, :failure_class)

-- name: join_status
INSERT INTO wa_messages (phone_number_id, wamid, account_id, lead_id, lead_evidence, lead_event_id, direction, source, at,
  tag, pricing_model, pricing_type, pricing_category, sent_at, delivered_at, read_at, played_at, failed_at, failed_code,
  failed_text, failed_class)
VALUES (:phone_number_id, :wamid, :account_id, :lead_id, :lead_evidence, :lead_event_id, 'outbound', 'status', :at,
  :tag, :pricing_model, :pricing_type, :pricing_category,
  :sent_at, :delivered_at, :read_at, :played_at, :failed_at, :failed_code, :failed_text, :failed_class)
ON CONFLICT (phone_number_id, wamid) DO UPDATE
   SET account_id = coalesce(min(account_id, excluded.account_id), account_id, excluded.account_id),
       lead_id = CASE WHEN excluded.lead_evidence > coalesce(lead_evidence, '')
                      THEN excluded.lead_id ELSE lead_id END,
       lead_event_id = CASE WHEN excluded.lead_evidence > coalesce(lead_evidence, '')
                            THEN excluded.lead_event_id ELSE lead_event_id END,
       lead_evidence = coalesce(max(lead_evidence, excluded.lead_evidence), lead_evidence, excluded.lead_evidence),
       at = min(at, excluded.at),
       tag = coalesce(max(tag, excluded.tag), tag, excluded.tag),
       pricing_model = coalesce(max(pricing_model, excluded.pricing_model), pricing_model, excluded.pricing_model),
       pricing_type = coalesce(max(pricing_type, excluded.pricing_type), pricing_type, excluded.pricing_type),
       pricing_category = coalesce(max(pricing_category, excluded.pricing_category), pricing_category, excluded.pricing_category),
       sent_at = coalesce(min(sent_at, excluded.sent_at), sent_at, excluded.sent_at),
       delivered_at = coalesce(min(delivered_at, excluded.delivered_at), delivered_at, excluded.delivered_at),
       read_at = coalesce(min(read_at, excluded.read_at), read_at, excluded.read_at),
       played_at = coalesce(min(played_at, excluded.played_at), played_at, excluded.played_at),
       failed_at = coalesce(min(failed_at, excluded.failed_at), failed_at, excluded.failed_at),
       failed_code = CASE WHEN excluded.failed_at IS NOT NULL AND (failed_at IS NULL OR
           (excluded.failed_at, coalesce(excluded.failed_code, 0), coalesce(excluded.failed_text, ''))
           < (failed_at, coalesce(failed_code, 0), coalesce(failed_text, '')))
          THEN excluded.failed_code ELSE failed_code END,
       failed_text = CASE WHEN excluded.failed_at IS NOT NULL AND (failed_at IS NULL OR
           (excluded.failed_at, coalesce(excluded.failed_code, 0), coalesce(excluded.failed_text, ''))
           < (failed_at, coalesce(failed_code, 0), coalesce(failed_text, '')))
          THEN excluded.failed_text ELSE failed_text END,
       failed_class = CASE WHEN excluded.failed_at IS NOT NULL AND (failed_at IS NULL OR
           (excluded.failed_at, coalesce(excluded.failed_code, 0), coalesce(excluded.failed_text, ''))
           < (failed_at, coalesce(failed_code, 0), coalesce(failed_text, '')))
          THEN excluded.failed_class ELSE failed_class END

-- name: add_status
-- `join_status` of a message that is there, where its lead, tag and time stay as they are and nothing failed: none of
-- what it sets is in an index.
UPDATE wa_messages
   SET account_id = coalesce(min(account_id, :account_id), account_id, :account_id),
       lead_evidence = coalesce(max(lead_evidence, :lead_evidence), lead_evidence, :lead_evidence),
       pricing_model = coalesce(max(pricing_model, :pricing_model), pricing_model, :pricing_model),
       pricing_type = coalesce(max(pricing_type, :pricing_type), pricing_type, :pricing_type),
       pricing_category = coalesce(max(pricing_category, :pricing_category), pricing_category, :pricing_category),
       sent_at = coalesce(min(sent_at, :sent_at), sent_at, :sent_at),
       delivered_at = coalesce(min(delivered_at, :delivered_at), delivered_at, :delivered_at),
       read_at = coalesce(min(read_at, :read_at), read_at, :read_at),
       played_at = coalesce(min(played_at, :played_at), played_at, :played_at)
 WHERE id = :message_row

-- name: join_call
INSERT INTO wa_calls (phone_number_id, call_id, account_id, lead_id, lead_evidence, lead_event_id, direction, at, ringing_at,
  connect_at, accepted_at, rejected_at, terminate_at, created_at, recording_at, recording_id, transcript_at,
  transcript_id, result, started_at, ended_at, duration, tag, cta_payload, deeplink_payload, error_code, error_text,
  failure_class)
VALUES (:phone_number_id, :call_id, :account_id, :lead_id, :lead_evidence, :lead_event_id, :direction, :at,
  iif(:step = 'ringing', :at, NULL), iif(:step = 'connect', :at, NULL), iif(:step = 'accepted', :at, NULL),
  iif(:step = 'rejected', :at, NULL), iif(:step = 'terminate', :at, NULL),
  iif(:step = 'call_created', :at, NULL), iif(:step = 'call_recording_available', :at, NULL), :recording_id,
  iif(:step = 'call_transcription_available', :at, NULL), :transcript_id, :result, :started_at, :ended_at,
  :duration, :tag, :cta_payload, :deeplink_payload, :error_code, :error_text, :failure_class)
ON CONFLICT (phone_number_id, call_id) DO UPDATE
   SET account_id = coalesce(min(account_id, excluded.account_id), account_id, excluded.account_id),
       lead_id = CASE WHEN excluded.lead_evidence > coalesce(lead_evidence, '')
                      THEN excluded.lead_id ELSE lead_id END,
       lead_event_id = CASE WHEN excluded.lead_evidence > coalesce(lead_evidence, '')
                            THEN excluded.lead_event_id ELSE lead_event_id END,
       lead_evidence = coalesce(max(lead_evidence, excluded.lead_evidence), lead_evidence, excluded.lead_evidence),
       direction = coalesce(max(direction, excluded.direction), direction, excluded.direction),
       at = min(at, excluded.at),
       ringing_at = coalesce(min(ringing_at, excluded.ringing_at), ringing_at, excluded.ringing_at),
       connect_at = coalesce(min(connect_at, excluded.connect_at), connect_at, excluded.connect_at),
       accepted_at = coalesce(min(accepted_at, excluded.accepted_at), accepted_at, excluded.accepted_at),
       rejected_at = coalesce(min(rejected_at, excluded.rejected_at), rejected_at, excluded.rejected_at),
       terminate_at = coalesce(min(terminate_at, excluded.terminate_at), terminate_at, excluded.terminate_at),
       created_at = coalesce(min(created_at, excluded.created_at), created_at, excluded.created_at),
       recording_at = coalesce(min(recording_at, excluded.recording_at), recording_at, excluded.recording_at),
       recording_id = coalesce(max(recording_id, excluded.recording_id), recording_id, excluded.recording_id),
       transcript_at = coalesce(min(transcript_at, excluded.transcript_at), transcript_at, excluded.transcript_at),
       transcript_id = coalesce(max(transcript_id, excluded.transcript_id), transcript_id, excluded.transcript_id),
       result = coalesce(max(result, excluded.result), result, excluded.result),
       cta_payload = coalesce(max(cta_payload, excluded.cta_payload), cta_payload, excluded.cta_payload),
       deeplink_payload = coalesce(max(deeplink_payload, excluded.deeplink_payload), deeplink_payload, excluded.deeplink_payload),
       started_at = coalesce(min(started_at, excluded.started_at), started_at, excluded.started_at),
       ended_at = coalesce(max(ended_at, excluded.ended_at), ended_at, excluded.ended_at),
       duration = coalesce(max(duration, excluded.duration), duration, excluded.duration),
       tag = coalesce(max(tag, excluded.tag), tag, excluded.tag),
       error_code = CASE WHEN excluded.error_code IS NOT NULL AND (error_code IS NULL OR
           (excluded.error_code, coalesce(excluded.error_text, '')) > (error_code, coalesce(error_text, '')))
          THEN excluded.error_code ELSE error_code END,
       error_text = CASE WHEN excluded.error_code IS NOT NULL AND (error_code IS NULL OR
           (excluded.error_code, coalesce(excluded.error_text, '')) > (error_code, coalesce(error_text, '')))
          THEN excluded.error_text ELSE error_text END,
       failure_class = CASE WHEN excluded.error_code IS NOT NULL AND (error_code IS NULL OR
           (excluded.error_code, coalesce(excluded.error_text, '')) > (error_code, coalesce(error_text, '')))
          THEN excluded.failure_class ELSE failure_class END

-- name: put_account_event
REPLACE INTO wa_account_events (event_id, account_id, phone_number_id, notice, severity, subject, what, reason,
  failure_class, at, detail)
VALUES (:event_id, :account_id, :phone_number_id, :notice, :severity, :subject, :what, :reason,
  :failure_class, :at, :detail)

-- name: put_lead_event
REPLACE INTO wa_lead_events (event_id, topic, ident, lead_id, account_id, phone_number_id, what, ref, at, detail)
VALUES (:event_id, :topic, :ident, :lead_id, :account_id, :phone_number_id, :what, :ref, :at, :detail)

-- name: count_drift
INSERT INTO wa_drift (kind, path, detail, events, first_at, last_at, event_id)
VALUES (:kind, :path, :detail, 1, :at, :at, :event_id)
ON CONFLICT (kind, path, detail) DO UPDATE
   SET events = events + 1, first_at = min(first_at, excluded.first_at), last_at = max(last_at, excluded.last_at)

-- name: get_drift
SELECT d.kind, d.path, d.detail, d.events, d.first_at, d.last_at, d.event_id, e.tipo_evento, e.payload_original
  FROM wa_drift d JOIN wa_events e ON e.id = d.event_id ORDER BY d.last_at DESC, d.path, d.kind, d.detail

-- name: queue_action
INSERT INTO wa_actions (idempotency_key, event_id, lead_id, action, target, payload)
VALUES (:idempotency_key, :event_id, :lead_id, :action, :target, :payload)
ON CONFLICT (idempotency_key) DO NOTHING

-- name: requeue_chunk
SELECT max(id) AS last FROM (SELECT e.id FROM wa_events e WHERE SCOPE AND e.id > :after ORDER BY e.id LIMIT :limit)

-- name: requeue_events
-- The lease goes too: a worker that comes late must not settle, with older handlers, what a run has taken.
UPDATE wa_events
   SET state = 'pending', attempts = 0, next_attempt_at = :abandoned_at, run_id = :run_id,
       lease_token = NULL, leased_until = NULL
 WHERE id IN (SELECT e.id FROM wa_events e WHERE SCOPE AND e.id > :after AND e.id <= :last)
   AND (leased_until IS NULL OR leased_until <= :now)

-- name: insert_run
INSERT INTO wa_runs (id, command, scope, started_by, started_at, version)
SELECT :id, :command, :scope, :started_by, :started_at, :version
 WHERE NOT EXISTS (SELECT 1 FROM wa_runs WHERE id = :id)

-- name: finish_run
UPDATE wa_runs SET finished_at = :finished_at, counts = :counts WHERE id = :id

-- name: run_deliveries
SELECT count(*) AS deliveries, count(*) - count(w.split_at) AS open,
       coalesce(sum(w.events), 0) AS events, coalesce(sum(w.duplicates), 0) AS duplicates
  FROM wa_deliveries d LEFT JOIN wa_delivery_work w ON w.delivery_id = d.id
 WHERE d.run_id = :run_id

-- name: run_events
SELECT state, count(*) AS events FROM wa_events WHERE run_id = :run_id GROUP BY state

-- name: count_deliveries
SELECT (SELECT count(*) FROM wa_deliveries) AS total,
       (SELECT count(*) FROM wa_delivery_work WHERE split_at IS NOT NULL) AS split

-- name: count_states
SELECT state, count(*) AS events FROM wa_events GROUP BY state

-- name: count_types
SELECT tipo_evento, count(*) AS events FROM wa_events GROUP BY tipo_evento ORDER BY tipo_evento

-- name: count_rows
SELECT (SELECT count(*) FROM wa_leads) AS leads, (SELECT count(*) FROM wa_messages) AS messages,
       (SELECT count(*) FROM wa_message_statuses) AS message_statuses, (SELECT count(*) FROM wa_calls) AS calls,
       (SELECT count(*) FROM wa_account_events) AS account_events

-- name: count_waiting
SELECT (SELECT min(next_attempt_at) FROM wa_events WHERE state = 'failed') AS next_attempt_at,
       (SELECT count(*) FROM wa_actions WHERE state = 'queued') AS actions_queued

-- name: count_signature_keys
-- What workers have counted, and what is still to be adopted.
SELECT label, sum(deliveries) AS deliveries, min(first_at) AS first_at, max(last_at) AS last_at
  FROM (SELECT * FROM wa_signature_keys
        UNION ALL
        SELECT signature_key, count(*), min(received_at), max(received_at) FROM wa_deliveries
         WHERE id > (SELECT up_to FROM wa_adopted) AND signature_key IS NOT NULL GROUP BY signature_key)
 GROUP BY label ORDER BY last_at DESC, label

-- name: get_run
SELECT * FROM wa_runs WHERE id = :id

-- name: oldest_open
SELECT min(received_at) AS received_at
  FROM (SELECT * FROM (SELECT d.received_at FROM wa_delivery_work w JOIN wa_deliveries d ON d.id = w.delivery_id
                        WHERE w.split_at IS NULL ORDER BY w.delivery_id LIMIT 1)
        UNION ALL
        SELECT * FROM (SELECT received_at FROM wa_deliveries
                        WHERE id > (SELECT coalesce(max(delivery_id), 0) FROM wa_delivery_work) ORDER BY id LIMIT 1))

-- name: get_delivery
SELECT d.id, d.received_at, d.source, d.source_ip, d.signature_key, d.run_id, d.headers, d.body,
       w.split_at, w.events, w.duplicates
  FROM wa_deliveries d LEFT JOIN wa_delivery_work w ON w.delivery_id = d.id WHERE d.id = :id

-- name: get_attempts
SELECT attempt, at, state, error, error_class, handler_version, run_id
  FROM wa_attempts WHERE event_id = :id ORDER BY id

-- name: get_messages
SELECT * FROM wa_messages WHERE wamid = :id ORDER BY phone_number_id

-- name: get_statuses
SELECT status, at, event_id, tag, pricing_category, pricing_type, error_code, error_text
  FROM wa_message_statuses WHERE wamid = :id ORDER BY at, event_id

-- name: get_calls
SELECT * FROM wa_calls WHERE call_id = :id ORDER BY phone_number_id

-- name: get_lead
SELECT * FROM wa_leads WHERE id = :id

-- name: get_lead_by_identity
-- As it is written, else any variant of a phone number.
SELECT lead_id FROM wa_lead_identities WHERE value = :id OR number = :number
 GROUP BY lead_id ORDER BY max(value = :id) DESC, lead_id

-- name: get_identities
SELECT kind, value FROM wa_lead_identities WHERE lead_id = :id ORDER BY kind, value

-- name: get_timeline
SELECT at, kind, direction, what, detail, ref FROM wa_lead_timeline WHERE lead_id = :id ORDER BY at, ref, kind, what

-- name: rebuild_delivery
-- Into the scratch file, which is `main` where a rebuild runs: what its events refer to.
INSERT INTO main.wa_deliveries (id, headers, source, received_at, body) VALUES (0, '', 'serve', '', x'')

-- name: rebuild_last_attempt
SELECT coalesce(max(id), 0) FROM live.wa_attempts

-- name: rebuild_events
-- What was applied once stays applied while it is reprocessed, and where that fails; not what was refused since.
SELECT id, payload_original, event_key, digest, position, handled_by
  FROM live.wa_events
 WHERE id IN (SELECT event_id FROM live.wa_attempts WHERE id > :seen AND state = 'processed') AND state <> 'refused'
 ORDER BY id

-- name: rebuild_settled_again
SELECT 1 FROM live.wa_attempts a JOIN main.wa_events e ON e.id = a.event_id WHERE a.id > :seen LIMIT 1

-- name: rebuild_event
INSERT INTO main.wa_events (id, tipo_evento, payload_original, fecha_recepcion, event_key, digest, delivery_id, position,
  state)
VALUES (:id, '', '', '', :id, '', 0, 0, 'processed')

-- name: rebuild_lead_of_event
UPDATE main.wa_events SET lead_id = :lead_id WHERE id = :id

-- name: rebuild_shared
-- How much a rebuilt lead and one of the store have in common, the most first: events that both were seen in, ids,
-- numbers, and events that are about both. A lead whose row is lost is known by what is left of it.
SELECT rebuilt, live
  FROM (SELECT r.lead_id AS rebuilt, l.lead_id AS live
          FROM main.wa_lead_sightings r
          JOIN live.wa_lead_sightings l ON l.event_id = r.event_id AND l.ident = r.ident
        UNION ALL
        SELECT r.lead_id, l.lead_id
          FROM main.wa_lead_identities r
          JOIN live.wa_lead_identities l ON l.scope = r.scope AND l.kind = r.kind AND l.value = r.value
        UNION ALL
        SELECT r.lead_id, l.lead_id
          FROM main.wa_number_holders r
          JOIN live.wa_number_holders l ON l.scope = r.scope AND l.number = r.number AND l.since = r.since
        UNION ALL
        SELECT r.lead_id, l.lead_id FROM main.wa_events r JOIN live.wa_events l ON l.id = r.id
         WHERE r.lead_id IS NOT NULL AND l.lead_id IS NOT NULL)
  LEFT JOIN live.wa_leads known ON known.id = live
 GROUP BY rebuilt, live ORDER BY known.id IS NULL, count(*) DESC, live, rebuilt

-- name: rebuild_leads_of_events
-- What is not applied is about nobody yet.
SELECT l.id, r.lead_id, 1 AS cells FROM live.wa_events l LEFT JOIN main.wa_events r ON r.id = l.id
 WHERE l.lead_id IS NOT r.lead_id

-- name: rebuild_leads_of_actions
-- An action that would not be queued any more stays with its lead; if that is gone, it is for whom its event is about.
SELECT * FROM (
  SELECT l.id, CASE WHEN r.id IS NOT NULL THEN r.lead_id
                    WHEN l.lead_id IN (SELECT id FROM main.wa_leads) THEN l.lead_id
                    ELSE e.lead_id END AS lead_id, 1 AS cells
    FROM live.wa_actions l
    LEFT JOIN main.wa_actions r ON r.idempotency_key = l.idempotency_key AND r.event_id = l.event_id
    LEFT JOIN main.wa_events e ON e.id = l.event_id) d
 WHERE d.lead_id IS NOT (SELECT l.lead_id FROM live.wa_actions l WHERE l.id = d.id)

-- name: rebuild_run
INSERT INTO live.wa_runs (id, command, scope, started_by, started_at, version, finished_at, counts)
VALUES (:id, :command, :scope, :started_by, :started_at, :version, :finished_at, :counts)

-- name: insert_rejection
INSERT INTO wa_rejections (at, status, cause, source_ip, size, body_sha256, request_id, detail)
VALUES (:at, :status, :cause, :source_ip, :size, :body_sha256, :request_id, :detail)

-- name: forget_rejections
-- Ids have no gaps: only the oldest rows are ever deleted.
DELETE FROM wa_rejections WHERE id <= (SELECT max(id) FROM wa_rejections) - :kept

-- name: count_rejections
INSERT INTO wa_rejection_counts (hour, cause, rejected, last_at) VALUES (:hour, :cause, :rejected, :last_at)
ON CONFLICT (hour, cause) DO UPDATE
   SET rejected = rejected + excluded.rejected, last_at = max(last_at, excluded.last_at)

-- name: last_rejections
SELECT * FROM (
  SELECT * FROM wa_rejections WHERE (:since IS NULL OR at >= :since) AND (:until IS NULL OR at < :until)
   ORDER BY id DESC LIMIT :limit)
 ORDER BY id

-- name: next_rejections
SELECT * FROM wa_rejections
 WHERE id > :after_id AND (:since IS NULL OR at >= :since) AND (:until IS NULL OR at < :until)
 ORDER BY id LIMIT :limit

-- name: rejections_ever
SELECT coalesce(sum(rejected), 0) AS total, max(last_at) AS last_at FROM wa_rejection_counts

-- name: rejections_by_cause
SELECT cause, sum(rejected) AS rejected FROM wa_rejection_counts WHERE hour >= :hour
 GROUP BY cause ORDER BY rejected DESC, cause
