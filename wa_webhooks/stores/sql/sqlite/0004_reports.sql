-- Reports over the stored facts; as in 0003_meaning, none depends on the order in which the facts arrived.

-- How far the messages of one tag and category came. All that have a tag, and all templates. Each stage holds the later
-- ones: what was read was delivered. `replies` and `opt_outs` count messages that had one.
CREATE VIEW wa_campaign_funnel AS
WITH answers AS (
  SELECT phone_number_id, wamid, max(known) AS known
    FROM (SELECT phone_number_id, campaign_wamid AS wamid, CASE certainty WHEN 'inferred' THEN 0 ELSE 1 END AS known
            FROM wa_campaign_replies WHERE campaign_wamid IS NOT NULL
          UNION ALL
          SELECT phone_number_id, automatic_wamid, CASE certainty WHEN 'inferred' THEN 0 ELSE 1 END
            FROM wa_automatic_replies WHERE automatic_wamid IS NOT NULL) replies
   GROUP BY phone_number_id, wamid
), stops AS (
  -- A lead's stop goes to the last such message in the seven days before it.
  SELECT phone_number_id, wamid
    FROM (SELECT m.phone_number_id, m.wamid,
                 row_number() OVER (PARTITION BY e.event_id, e.lead_id
                                    ORDER BY m.at DESC, m.wamid DESC, m.phone_number_id) AS place
            FROM wa_lead_events e
            JOIN wa_outbound_messages m
              ON m.lead_id = e.lead_id AND m.at <= e.at
             AND m.at > strftime('%Y-%m-%dT%H:%M:%f000Z', e.at, '-7 days')
           WHERE e.topic = 'preference' AND lower(e.what) = 'stop'
             AND m.status <> 'failed' AND (m.tag IS NOT NULL OR m.is_template = 1)) latest
   WHERE place = 1
), messages AS (
  -- A failed message has no price; its category is that of its tag, where that is but one.
  SELECT m.*,
         CASE WHEN category IS NULL AND tag IS NOT NULL
                   AND min(category) OVER same_tag = max(category) OVER same_tag THEN max(category) OVER same_tag
              ELSE category END AS told_category
    FROM wa_outbound_messages m
   WHERE tag IS NOT NULL OR is_template = 1
  WINDOW same_tag AS (PARTITION BY account_id, tag)
)
SELECT account_id, tag, told_category AS category, max(meaning) AS meaning,
       count(*) AS messages,
       count(*) FILTER (WHERE status IN ('sent', 'delivered', 'read', 'played') OR sent_at IS NOT NULL) AS sent,
       count(*) FILTER (WHERE status IN ('delivered', 'read', 'played')) AS delivered,
       count(*) FILTER (WHERE status IN ('read', 'played')) AS read,
       count(*) FILTER (WHERE status = 'played') AS played,
       count(*) FILTER (WHERE status = 'failed') AS failed,
       count(*) FILTER (WHERE (phone_number_id, wamid) IN (SELECT phone_number_id, wamid FROM answers WHERE known = 1))
         AS replies,
       count(*) FILTER (WHERE (phone_number_id, wamid) IN (SELECT phone_number_id, wamid FROM answers WHERE known = 0))
         AS inferred_replies,
       count(*) FILTER (WHERE (phone_number_id, wamid) IN (SELECT phone_number_id, wamid FROM stops)) AS opt_outs,
       min(at) AS first_at, max(at) AS last_at
  FROM messages
 GROUP BY account_id, tag, told_category;

-- What each message of the business costs: charged, free, not charged because it failed, or unknown.
CREATE VIEW wa_message_costs AS
SELECT lead_id, account_id, phone_number_id, wamid, at, status, tag, pricing_model, pricing_type, pricing_category,
       CASE cost WHEN 'failed' THEN 'not charged' WHEN 'undelivered' THEN 'unknown'
                 WHEN 'regular' THEN 'charged' WHEN 'billable' THEN 'charged'
                 WHEN 'unknown' THEN 'unknown' ELSE 'free' END AS cost_class,
       CASE cost
         WHEN 'failed' THEN 'It failed; only what is delivered is charged.'
         WHEN 'free_entry_point' THEN 'Within the 72 hours after the lead came from an ad or a post.'
         WHEN 'free_customer_service'
           THEN CASE WHEN at < '2026-10-01' THEN 'Within 24 hours after the lead''s last message or call; free until October 2026.'
                     ELSE 'A service message within the number''s free tier, as since October 2026.' END
         WHEN 'free_group_customer_service'
           THEN CASE WHEN at < '2026-10-01' THEN 'Within 24 hours after the last message in the group; free until October 2026.'
                     ELSE 'A service message to a group within the number''s free tier, as since October 2026.' END
         WHEN 'undelivered' THEN 'Charged once it is delivered, which no status says yet.'
         WHEN 'regular'
           THEN CASE WHEN at < '2026-10-01' THEN 'Charged at the rate of its category.'
                     WHEN pricing_category IN ('service', 'group_service')
                       THEN 'A service message beyond the number''s free tier: charged since October 2026.'
                     WHEN pricing_category IN ('utility', 'group_utility')
                       THEN 'Charged at the rate of its category; since October 2026 also within 24 hours after the lead''s last message.'
                     ELSE 'Charged at the rate of its category.' END
         WHEN 'billable' THEN CASE pricing_model WHEN 'CBP' THEN 'Charged with its conversation, as until July 2025.'
                                                 ELSE 'Meta says that it is billable.' END
         WHEN 'not billable' THEN 'Meta says that it is not billable.'
         WHEN 'phone app' THEN 'Sent from the phone app, which is free.'
         WHEN 'unknown' THEN CASE WHEN pricing_type IS NULL THEN 'No status has told a price.'
                                  ELSE 'Of a price type that is not known here.' END
         ELSE 'Meta says that it is free.' END AS why
  FROM (SELECT m.*,
               CASE WHEN status = 'failed' THEN 'failed'
                    WHEN substr(pricing_type, 1, 5) = 'free_' THEN pricing_type
                    WHEN (pricing_type = 'regular' OR pricing_type IS NULL AND billable = 1)
                         AND status NOT IN ('delivered', 'read', 'played') THEN 'undelivered'
                    WHEN pricing_type = 'regular' THEN 'regular'
                    WHEN pricing_type IS NOT NULL THEN 'unknown'
                    WHEN billable = 1 THEN 'billable'
                    WHEN billable = 0 THEN 'not billable'
                    WHEN source = 'echo' THEN 'phone app'
                    ELSE 'unknown' END AS cost
          FROM (SELECT o.*,
                       -- Withdrawn by Meta, and the only word where there is no type.
                       CASE WHEN o.pricing_type IS NULL AND o.pricing_model IS NOT NULL
                            THEN (SELECT max(s.billable) FROM wa_message_statuses s
                                   WHERE s.wamid = o.wamid AND s.phone_number_id = o.phone_number_id) END AS billable
                  FROM wa_messages o WHERE o.direction = 'outbound') m) priced;

-- Every call. `outcome` is answered, missed (by the business), unanswered or rejected (by the lead), failed, or ringing
-- as long as no end was told; an answered call can have failed later. Seconds are those until it was picked up or given
-- up, and those it lasted.
CREATE VIEW wa_call_log AS
SELECT lead_id, account_id, phone_number_id, call_id, at,
       CASE direction WHEN 'BUSINESS_INITIATED' THEN 'outbound' WHEN 'USER_INITIATED' THEN 'inbound' END AS direction,
       outcome,
       CASE WHEN ring_until >= ring_from
            THEN CAST(strftime('%s', ring_until) AS INTEGER) - CAST(strftime('%s', ring_from) AS INTEGER)
       END AS ring_seconds,
       coalesce(duration, CAST(strftime('%s', ended_at) AS INTEGER) - CAST(strftime('%s', started_at) AS INTEGER))
         AS duration,
       started_at, ended_at, result, error_code, error_text, failure_class, tag, recording_id, transcript_id
  FROM (SELECT c.*,
               -- A call of the business is connected only when it is picked up.
               CASE direction WHEN 'BUSINESS_INITIATED' THEN ringing_at ELSE coalesce(connect_at, ringing_at) END
                 AS ring_from,
               coalesce(accepted_at, started_at, rejected_at, terminate_at) AS ring_until
          FROM wa_calls c) calls;

-- Whatever failed: messages, inbound messages that Meta could not pass on, calls, and errors that Meta told of a number.
-- The class says whether trying again can help: permanent, retryable, deferred, account-wide. A message that was
-- delivered in spite of a failure is `overridden`.
CREATE VIEW wa_failures AS
  SELECT 'message' AS what, wamid AS ref, lead_id, account_id, phone_number_id, coalesce(failed_at, at) AS at,
         failed_code AS code, failed_text AS text, failed_class AS failure_class, tag,
         CASE WHEN status = 'failed' THEN 0 ELSE 1 END AS overridden
    FROM wa_messages WHERE direction = 'outbound' AND (failed_at IS NOT NULL OR status = 'failed')
  UNION ALL  -- nobody but the lead can send it again
  SELECT 'inbound message', wamid, lead_id, account_id, phone_number_id, at, error_code, error_text, 'permanent', NULL, 0
    FROM wa_messages WHERE direction = 'inbound' AND error_code IS NOT NULL
  UNION ALL
  SELECT 'call', call_id, lead_id, account_id, phone_number_id, coalesce(terminate_at, at), error_code, error_text,
         failure_class, tag, 0
    FROM wa_calls WHERE error_code IS NOT NULL OR outcome = 'failed'
  UNION ALL
  SELECT 'account', NULL, NULL, account_id, phone_number_id, at, code, text, failure_class, NULL, 0
    FROM (SELECT a.account_id, a.phone_number_id, a.reason AS text, a.failure_class,
                 -- Meta gives these no time: that of arrival then.
                 coalesce(a.at, (SELECT l.fecha_recepcion FROM wa_events l WHERE l.id = a.event_id)) AS at,
                 CASE WHEN a.what <> '' AND a.what NOT GLOB '*[^0-9]*' THEN CAST(a.what AS INTEGER) END AS code
            FROM wa_account_events a WHERE substr(a.notice, 1, 6) = 'error.') errors
   -- The error of a call comes once more beside it.
   WHERE (coalesce(phone_number_id, ''), coalesce(code, -1))
         NOT IN (SELECT phone_number_id, error_code FROM wa_calls WHERE error_code IS NOT NULL);

-- Every name and username that a lead was seen with, from when to when.
CREATE VIEW wa_lead_names AS
SELECT lead_id, kind, value, first_at, last_at, times,
       CASE WHEN row_number() OVER (PARTITION BY lead_id, kind ORDER BY coalesce(last_at, '') DESC, value DESC) = 1
            THEN 1 ELSE 0 END AS is_current
  FROM (SELECT lead_id, 'name' AS kind, name AS value, min(nullif(at, '')) AS first_at, max(nullif(at, '')) AS last_at,
               count(*) AS times
          FROM wa_lead_sightings WHERE name <> '' GROUP BY lead_id, name
        UNION ALL
        SELECT lead_id, 'username', username, min(nullif(at, '')), max(nullif(at, '')), count(*)
          FROM wa_lead_sightings WHERE username <> '' GROUP BY lead_id, username) names;

-- What a lead last said about a category of messages: stop, resume or signup. A marketing message that Meta refused
-- because the person had stopped them says so too.
CREATE VIEW wa_lead_optouts AS
SELECT lead_id, category, state, at, certainty,
       CASE certainty WHEN 'certain' THEN 'The lead said so.'
                      ELSE 'Meta refused a message because the lead had stopped them.' END AS why, ref
  FROM (SELECT told.*,
               row_number() OVER (PARTITION BY lead_id, category
                                  ORDER BY at DESC, certainty, state DESC, ref) AS place
          FROM (SELECT lead_id, coalesce(ref, 'marketing_messages') AS category, lower(what) AS state, at,
                       'certain' AS certainty, '' AS ref
                  FROM wa_lead_events
                 WHERE topic = 'preference' AND lead_id IS NOT NULL AND at IS NOT NULL
                   AND lower(what) IN ('stop', 'resume', 'signup')
                UNION ALL
                SELECT m.lead_id, 'marketing_messages', 'stop', m.failed_at, 'inferred', m.wamid
                  FROM wa_messages m
                 WHERE m.failed_code = 131050 AND m.status = 'failed' AND m.lead_id IS NOT NULL
                   -- Not where the lead had said it before: what is certain stays so.
                   AND coalesce((SELECT lower(e.what) FROM wa_lead_events e
                                  WHERE e.lead_id = m.lead_id AND e.topic = 'preference' AND e.at <= m.failed_at
                                    AND coalesce(e.ref, 'marketing_messages') = 'marketing_messages'
                                    AND lower(e.what) IN ('stop', 'resume', 'signup')
                                  ORDER BY e.at DESC, lower(e.what) DESC LIMIT 1), '') <> 'stop') told) newest
 WHERE place = 1;

-- Of every lead, whether marketing messages may be sent. `not_before` is set where Meta's limit of marketing messages to
-- one person refused the newest: earlier ones would be refused too.
CREATE VIEW wa_lead_marketing AS
SELECT l.id AS lead_id, CASE o.state WHEN 'stop' THEN 0 ELSE 1 END AS may_send, o.state, o.at, o.certainty,
       coalesce(o.why, 'The lead has said nothing about it.') AS why,
       (SELECT strftime('%Y-%m-%dT%H:%M:%f000Z', max(m.failed_at), '+24 hours') FROM wa_messages m
         WHERE m.failed_code = 131049 AND m.lead_id = l.id AND m.status = 'failed') AS not_before
  FROM wa_leads l
  LEFT JOIN wa_lead_optouts o ON o.lead_id = l.id AND o.category = 'marketing_messages';

-- Every message that was corrected or taken back; of the corrections the newest.
CREATE VIEW wa_message_edits AS
SELECT phone_number_id, wamid, account_id, lead_id, direction, text, edited_at, edits, revoked_at
  FROM (SELECT phone_number_id, reply_to AS wamid, account_id, lead_id, direction, row_number() OVER newest AS place,
               CASE WHEN type = 'edit' THEN text END AS text,
               max(CASE type WHEN 'edit' THEN at END) OVER same AS edited_at,
               count(CASE type WHEN 'edit' THEN 1 END) OVER same AS edits,
               min(CASE type WHEN 'revoke' THEN at END) OVER same AS revoked_at
          FROM wa_messages
         WHERE type IN ('edit', 'revoke') AND reply_to IS NOT NULL
        WINDOW same AS (PARTITION BY phone_number_id, reply_to),
               -- 'edit' before 'revoke'
               newest AS (PARTITION BY phone_number_id, reply_to ORDER BY type, at DESC, wamid DESC)) changes
 WHERE place = 1;

-- The reactions that stand: of each message and person the newest, unless it was taken back. `direction` says whether
-- the lead or the business reacted.
CREATE VIEW wa_message_reactions AS
SELECT phone_number_id, wamid, account_id, lead_id, direction, emoji, at, reaction_wamid
  FROM (SELECT phone_number_id, reply_to AS wamid, account_id, lead_id, direction, text AS emoji, at,
               wamid AS reaction_wamid,
               row_number() OVER (PARTITION BY phone_number_id, reply_to, direction, lead_id
                                  ORDER BY at DESC, wamid DESC) AS place
          FROM wa_messages WHERE type = 'reaction' AND reply_to IS NOT NULL) reactions
 WHERE place = 1 AND emoji IS NOT NULL AND emoji <> '';
