-- The statements of the spool, each under a line "-- name: <name>". Parameters are named.

-- name: spool_deliveries
-- The rows follow, as many as there are.
INSERT INTO spool_deliveries (nonce, headers, source, source_ip, received_at, signature_key, body) VALUES

-- name: read_deliveries
SELECT id, nonce, headers, source, source_ip, received_at, signature_key, body
  FROM spool_deliveries WHERE id > :after AND id <= :up_to ORDER BY id LIMIT :limit

-- name: first_delivery
SELECT id, received_at FROM spool_deliveries ORDER BY id LIMIT 1

-- name: last_delivery
SELECT max(id) AS id FROM spool_deliveries

-- name: count_from
SELECT count(*) AS deliveries FROM spool_deliveries WHERE id BETWEEN :first AND :last

-- name: forget_deliveries
DELETE FROM spool_deliveries WHERE id IN (SELECT value FROM json_each(:ids))

-- name: hold_delivery
INSERT OR REPLACE INTO spool_held
SELECT id, nonce, headers, source, source_ip, received_at, signature_key, body, :now, :error
  FROM spool_deliveries WHERE id = :id

-- name: read_held
SELECT id, nonce, headers, source, source_ip, received_at, signature_key, body
  FROM spool_held ORDER BY id LIMIT :limit

-- name: forget_held
DELETE FROM spool_held WHERE id = :id

-- name: count_held
SELECT count(*) AS held FROM spool_held

-- name: spool_rejections
INSERT INTO spool_rejections (at, kept, told, more) VALUES (:at, :kept, :told, :more)

-- name: rejections_to_count
-- Beyond the newest ones, which are told one by one.
SELECT id, told, more FROM spool_rejections WHERE kept > 0 ORDER BY id DESC LIMIT -1 OFFSET :kept

-- name: count_alone
UPDATE spool_rejections SET kept = 0, told = '[]', more = :more WHERE id = :id

-- name: read_rejections
SELECT id, at, told, more FROM spool_rejections ORDER BY id LIMIT :limit

-- name: forget_rejections
DELETE FROM spool_rejections WHERE id BETWEEN :first AND :last

-- name: state
SELECT target, failing_since, error, sent_at FROM spool_state

-- name: set_target
UPDATE spool_state SET target = :target

-- name: failing
UPDATE spool_state SET failing_since = coalesce(failing_since, :now), error = :error

-- name: sending
UPDATE spool_state SET failing_since = NULL, error = NULL, sent_at = :now
