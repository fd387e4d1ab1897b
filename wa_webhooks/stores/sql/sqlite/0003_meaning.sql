-- What the stored facts mean: views, so that nothing depends on the order in which the facts arrived. Ties in time are
-- broken by wamid or call id, never by an internal id. docs/meaning.md explains each.
--
-- "Within 24 hours" is from a time up to, not including, 24 hours later. strftime(..., '+24 hours') is that end, as
-- times are written here.

-- What a tag (biz_opaque_callback_data) says of the message: the longest prefix counts. Add your own.
CREATE TABLE wa_tag_meanings (
  prefix  TEXT NOT NULL PRIMARY KEY,
  meaning TEXT NOT NULL CHECK (meaning IN ('campaign', 'automatic'))
);
INSERT INTO wa_tag_meanings (prefix, meaning)
VALUES ('camp:', 'campaign'), ('campaign:', 'campaign'), ('auto:', 'automatic');

-- Who a refused marketing message was for, and all failures of one kind.
CREATE INDEX wa_messages_by_failure ON wa_messages (failed_code, lead_id) WHERE failed_code IS NOT NULL;

-- Everything that happened with one lead; put it in order by `at`, which is Meta's time. Of the few events that Meta
-- gives no time, it is that of arrival.
CREATE VIEW wa_lead_timeline AS
  SELECT lead_id, at, 'message' AS kind, direction, type AS what, text AS detail, wamid AS ref, account_id
    FROM wa_messages WHERE lead_id IS NOT NULL AND type IS NOT NULL
  UNION ALL
  SELECT lead_id, at, 'status', 'outbound', status, error_text, wamid, account_id
    FROM wa_message_statuses WHERE lead_id IS NOT NULL
  UNION ALL  -- a status that names nobody, as failures do, is known by its message
  SELECT m.lead_id, s.at, 'status', 'outbound', s.status, s.error_text, s.wamid, coalesce(s.account_id, m.account_id)
    FROM wa_messages m
    JOIN wa_message_statuses s ON s.wamid = m.wamid AND s.phone_number_id = m.phone_number_id
   WHERE m.lead_id IS NOT NULL AND s.lead_id IS NULL
  UNION ALL
  SELECT lead_id, step_at, 'call',
         CASE direction WHEN 'BUSINESS_INITIATED' THEN 'outbound' WHEN 'USER_INITIATED' THEN 'inbound' END,
         step,
         CASE step WHEN 'terminate' THEN outcome || coalesce(', ' || duration || ' s', '')
                                         || coalesce(', ' || error_text, '')
                   WHEN 'recording' THEN recording_id
                   WHEN 'transcript' THEN transcript_id END,
         call_id, account_id
    FROM (SELECT c.*, s.step,
                 CASE s.step WHEN 'created' THEN c.created_at WHEN 'ringing' THEN c.ringing_at
                             WHEN 'connect' THEN c.connect_at WHEN 'accepted' THEN c.accepted_at
                             WHEN 'rejected' THEN c.rejected_at WHEN 'terminate' THEN c.terminate_at
                             WHEN 'recording' THEN c.recording_at WHEN 'transcript' THEN c.transcript_at
                 END AS step_at
            FROM wa_calls c
           CROSS JOIN (SELECT 'created' AS step UNION ALL SELECT 'ringing' UNION ALL SELECT 'connect'
                       UNION ALL SELECT 'accepted' UNION ALL SELECT 'rejected' UNION ALL SELECT 'terminate'
                       UNION ALL SELECT 'recording' UNION ALL SELECT 'transcript') s) steps
   WHERE lead_id IS NOT NULL AND step_at IS NOT NULL
  UNION ALL
  SELECT e.lead_id, coalesce(e.at, (SELECT l.fecha_recepcion FROM wa_events l WHERE l.id = e.event_id)), e.topic,
         CASE e.topic WHEN 'preference' THEN 'inbound' END, e.what,
         CASE WHEN e.topic IN ('preference', 'handover') THEN e.ref END,
         CASE WHEN e.topic IN ('preference', 'handover') OR e.ref IS NULL THEN '' ELSE e.ref END, e.account_id
    FROM wa_lead_events e WHERE e.lead_id IS NOT NULL
  UNION ALL  -- a conversion names the message alone
  SELECT m.lead_id, coalesce(e.at, (SELECT l.fecha_recepcion FROM wa_events l WHERE l.id = e.event_id)), e.topic, NULL,
         e.what, NULL, e.ref, coalesce(e.account_id, m.account_id)
    FROM wa_messages m
   CROSS JOIN wa_lead_events e  -- in this order: a lead has few messages
   WHERE e.topic = 'conversion' AND e.ref = m.wamid AND m.lead_id IS NOT NULL AND e.lead_id IS NULL
     AND coalesce(e.phone_number_id, m.phone_number_id) = m.phone_number_id;

-- Every start of a conversation of a lead with a business number: a message that came from an ad or a post, the chat
-- opened for the first time, or a contact without another in the 24 hours before. Messages, calls from the lead and
-- calls to the lead that were picked up are contacts. Old chats that were copied (history) are contacts that start
-- nothing.
CREATE VIEW wa_conversation_starts AS
WITH contacts AS (
  SELECT lead_id, account_id, phone_number_id, at, wamid AS ref, 'message' AS by, direction, source, type, referral,
         CASE WHEN type = 'request_welcome' THEN 0 WHEN referral IS NOT NULL THEN 1 ELSE 2 END AS place
    FROM wa_messages
   WHERE direction = 'inbound' AND lead_id IS NOT NULL AND group_id IS NULL
     AND coalesce(CASE type WHEN 'unsupported' THEN text ELSE type END, '') NOT IN ('system', 'edit', 'revoke')
     AND NOT (type = 'reaction' AND text IS NULL)  -- taken back
     -- What Meta answers in the lead's name because the lead called.
     AND coalesce(CASE WHEN type = 'interactive'
                       THEN json_extract(content, '$.call_permission_reply.response_source') END, '') <> 'automatic'
  UNION ALL
  SELECT lead_id, account_id, phone_number_id,
         CASE WHEN direction = 'BUSINESS_INITIATED' THEN coalesce(accepted_at, started_at, at)
              WHEN started_at < at THEN started_at
              ELSE at END,
         call_id, 'call', CASE direction WHEN 'BUSINESS_INITIATED' THEN 'outbound' ELSE 'inbound' END, 'live', NULL,
         NULL, 2
    FROM wa_calls
   WHERE lead_id IS NOT NULL AND (coalesce(direction, '') <> 'BUSINESS_INITIATED' OR outcome = 'answered')
), in_order AS (
  SELECT contacts.*, lag(at) OVER chat AS previous_at, lead(at) OVER chat AS next_at, lead(place) OVER chat AS next_place
    FROM contacts
  WINDOW chat AS (PARTITION BY lead_id, phone_number_id ORDER BY at, place, ref)
), starts AS (
  SELECT lead_id, account_id, phone_number_id, at, by, ref, direction, type, previous_at,
         CASE WHEN place = 1 THEN coalesce(json_extract(referral, '$.source_type'), 'ad')
              WHEN place = 0 THEN 'opened'
              WHEN by = 'call' THEN 'call'
              WHEN previous_at IS NULL THEN 'first contact'
              ELSE 'reopened' END AS cause,
         CASE WHEN place = 1 THEN json_extract(referral, '$.source_id') END AS source_id
    FROM in_order
   WHERE source <> 'history'
     AND (place < 2 OR previous_at IS NULL
          OR at >= strftime('%Y-%m-%dT%H:%M:%f000Z', previous_at, '+24 hours'))
     -- Who comes from an ad opens the chat first: that is one start.
     AND NOT (place = 0 AND coalesce(next_place = 1, FALSE)
              AND next_at < strftime('%Y-%m-%dT%H:%M:%f000Z', at, '+24 hours'))
)
SELECT lead_id, account_id, phone_number_id, at, cause, by, ref, direction, source_id, previous_at,
       CASE WHEN cause = 'first contact' OR type = 'reaction' THEN 'likely' ELSE 'certain' END AS certainty,
       CASE WHEN cause = 'opened' THEN 'Meta says that the lead opened the chat for the first time.'
            WHEN cause NOT IN ('call', 'first contact', 'reopened')
              THEN 'Meta says that the message came from ' || CASE cause WHEN 'ad' THEN 'an ad.' ELSE 'a ' || cause || '.' END
            ELSE CASE WHEN by = 'message' AND type = 'reaction' THEN 'The lead reacted to a message'
                      WHEN by = 'message' THEN 'The lead wrote'
                      WHEN direction = 'outbound' THEN 'The lead picked up a call of the business'
                      ELSE 'The lead called' END
              || CASE WHEN previous_at IS NULL THEN '; no earlier contact with this number is known.'
                      ELSE '; the last contact was 24 hours ago or longer.' END
       END AS why
  FROM starts;

-- Every message of the business, with what it was for, as far as its tag, its price or its time tell: a campaign (any
-- template), or automatic. `described` completes the sentences of the views below.
CREATE VIEW wa_outbound_messages AS
SELECT lead_id, account_id, phone_number_id, wamid, at, source, status, sent_at, tag, category, is_template,
       CASE sign WHEN 'template' THEN 'campaign' WHEN 'phone app' THEN 'automatic' ELSE sign END AS meaning,
       CASE sign WHEN 'phone app' THEN 'likely' WHEN 'template' THEN 'certain' WHEN 'campaign' THEN 'certain'
                 WHEN 'automatic' THEN 'certain' END AS certainty,
       CASE sign WHEN 'template' THEN 'a template' || coalesce(' of the category ' || category, '')
                 WHEN 'phone app' THEN 'a message of the phone app that came too fast for a person'
                 WHEN 'campaign' THEN 'a message with the tag ' || tag
                 WHEN 'automatic' THEN 'a message with the tag ' || tag END AS described
  FROM (SELECT m.*,
               coalesce(
                 CASE WHEN m.tag IS NOT NULL
                      THEN (SELECT t.meaning FROM wa_tag_meanings t WHERE substr(m.tag, 1, length(t.prefix)) = t.prefix
                             ORDER BY length(t.prefix) DESC LIMIT 1) END,
                 CASE WHEN is_template = 1 THEN 'template'
                      -- A greeting or an away message: it comes at once, and not in the middle of a talk.
                      WHEN m.source = 'echo' AND coalesce(m.type, '') NOT IN ('reaction', 'edit', 'revoke') AND EXISTS (
                             SELECT 1 FROM wa_messages q
                              WHERE q.lead_id = m.lead_id AND q.phone_number_id = m.phone_number_id
                                AND q.direction = 'inbound' AND q.group_id IS NULL
                                AND coalesce(q.type, '') NOT IN ('reaction', 'system', 'edit', 'revoke')
                                AND q.at <= m.at
                                AND q.at >= strftime('%Y-%m-%dT%H:%M:%f000Z', m.at, '-10 seconds')
                                AND NOT EXISTS (
                                      SELECT 1 FROM wa_messages o
                                       WHERE o.lead_id = m.lead_id AND o.phone_number_id = m.phone_number_id
                                         AND o.source = 'echo' AND o.direction = 'outbound' AND o.at < q.at
                                         AND o.at > strftime('%Y-%m-%dT%H:%M:%f000Z', q.at, '-24 hours')))
                        THEN 'phone app' END) AS sign
          FROM (SELECT o.*, replace(o.pricing_category, '-', '_') AS category,
                       CASE WHEN o.type = 'template' OR replace(o.pricing_category, '-', '_') IN (
                                 'marketing', 'marketing_lite', 'utility', 'authentication',
                                 'authentication_international', 'group_marketing', 'group_utility',
                                 'business_initiated') THEN 1 ELSE 0 END AS is_template
                  FROM wa_messages o WHERE o.direction = 'outbound') m) signs;

-- What was said in a chat: every message but reactions, corrections, notices and failures, in the order in which the lead
-- had them. With each, what it replies to (`told_`) and what came before it (`previous_`), with their meaning if those are
-- messages of the business.
CREATE VIEW wa_chat_messages AS
SELECT lead_id, account_id, phone_number_id, wamid, at, reached_at, direction, source, type, text, content, reply_to,
       reply_id, referral, group_id, told_meaning, told_certainty, told_described, told_tag, told_category,
       lag(wamid) OVER chat AS previous_wamid, lag(reached_at) OVER chat AS previous_at,
       lag(meaning) OVER chat AS previous_meaning, lag(described) OVER chat AS previous_described,
       lag(tag) OVER chat AS previous_tag, lag(category) OVER chat AS previous_category
  FROM (SELECT m.*, coalesce(m.delivered_at, m.read_at, m.played_at, m.at) AS reached_at, o.meaning, o.described, o.category,
               t.meaning AS told_meaning, t.certainty AS told_certainty, t.described AS told_described, t.tag AS told_tag,
               t.category AS told_category
          FROM wa_messages m
          LEFT JOIN wa_outbound_messages o ON o.phone_number_id = m.phone_number_id AND o.wamid = m.wamid
          LEFT JOIN wa_outbound_messages t ON t.phone_number_id = m.phone_number_id AND t.wamid = m.reply_to
         WHERE m.status <> 'failed'
           AND coalesce(CASE m.type WHEN 'unsupported' THEN m.text ELSE m.type END, '')
               NOT IN ('reaction', 'system', 'edit', 'revoke', 'request_welcome')
           AND coalesce(CASE WHEN m.type = 'interactive'
                             THEN json_extract(m.content, '$.call_permission_reply.response_source') END, '')
               <> 'automatic') said
-- In one second, the lead's message goes before the answer to it.
WINDOW chat AS (PARTITION BY lead_id, phone_number_id,
                             coalesce(group_id, CASE WHEN substr(pricing_category, 1, 6) = 'group_' THEN 'group' END)
                ORDER BY reached_at, direction, wamid);

-- Every message of a lead that answers a campaign, by the best evidence that there is.
CREATE VIEW wa_campaign_replies AS
SELECT lead_id, account_id, phone_number_id, wamid, at, how,
       CASE how WHEN 'after it' THEN 'inferred' WHEN 'post referral' THEN 'likely' ELSE 'certain' END AS certainty,
       CASE how WHEN 'quick reply' THEN 'A tap on a quick-reply button, which only templates have.'
                WHEN 'reply' THEN 'Replies to ' || told_described || '.'
                WHEN 'ad referral' THEN 'Meta says that it came from an ad.'
                WHEN 'post referral' THEN 'Meta says that it came from a post, which need not be an ad.'
                ELSE 'The first message within 24 hours after ' || previous_described || '.' END AS why,
       CASE how WHEN 'quick reply' THEN reply_to WHEN 'reply' THEN reply_to WHEN 'after it' THEN previous_wamid
       END AS campaign_wamid,
       CASE how WHEN 'quick reply' THEN told_tag WHEN 'reply' THEN told_tag WHEN 'after it' THEN previous_tag END AS tag,
       CASE how WHEN 'quick reply' THEN told_category WHEN 'reply' THEN told_category
                WHEN 'after it' THEN previous_category END AS category,
       reply_id,
       CASE WHEN how IN ('ad referral', 'post referral') THEN json_extract(referral, '$.source_id') END AS source_id
  FROM (SELECT c.*,
               CASE WHEN told_meaning = 'automatic' THEN NULL
                    WHEN type = 'button' THEN 'quick reply'
                    WHEN told_meaning = 'campaign' THEN 'reply'
                    WHEN referral IS NOT NULL
                      THEN CASE json_extract(referral, '$.source_type') WHEN 'post' THEN 'post referral'
                                                                        ELSE 'ad referral' END
                    WHEN reply_to IS NULL AND previous_meaning = 'campaign' AND lead_id IS NOT NULL
                         AND at < strftime('%Y-%m-%dT%H:%M:%f000Z', previous_at, '+24 hours') THEN 'after it' END AS how
          FROM wa_chat_messages c WHERE direction = 'inbound') answers
 WHERE how IS NOT NULL;

-- Every message of a lead that answers an automatic message, by the best evidence that there is.
CREATE VIEW wa_automatic_replies AS
SELECT lead_id, account_id, phone_number_id, wamid, at, how,
       CASE how WHEN 'reply' THEN told_certainty WHEN 'choice' THEN 'likely' ELSE 'inferred' END AS certainty,
       CASE how WHEN 'reply' THEN 'Replies to ' || told_described || '.'
                WHEN 'choice' THEN 'A choice from buttons, a list or a flow that was no campaign.'
                ELSE 'The first message within 24 hours after ' || previous_described || '.' END AS why,
       CASE how WHEN 'after it' THEN previous_wamid ELSE reply_to END AS automatic_wamid,
       CASE how WHEN 'after it' THEN previous_tag ELSE told_tag END AS tag,
       reply_id
  FROM (SELECT c.*,
               CASE WHEN told_meaning = 'automatic' THEN 'reply'
                    WHEN told_meaning = 'campaign' THEN NULL
                    WHEN CASE WHEN type = 'interactive' THEN json_extract(content, '$.type') END
                         IN ('button_reply', 'list_reply', 'nfm_reply') THEN 'choice'
                    WHEN reply_to IS NULL AND previous_meaning = 'automatic' AND lead_id IS NOT NULL
                         AND at < strftime('%Y-%m-%dT%H:%M:%f000Z', previous_at, '+24 hours') THEN 'after it' END AS how
          FROM wa_chat_messages c WHERE direction = 'inbound') answers
 WHERE how IS NOT NULL;
