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
