-- What changes do to the CRM tables. Every one is a join: the same changes again, or in another order, end in the same
-- rows; stores/sql/sqlite/queries.sql has the same ones.
--
-- `p_rows` has an array of rows for each table; a row names the place of its event among those that are finished, and
-- with `who` which of that event's people it is about. `p_ids` has the id of the event at each place: rows of events
-- that have none, or 0, are passed over. `p_leads` has the lead of each person, at place + who.

create function public.wa_internal_write(p_rows jsonb, p_ids bigint[], p_leads bigint[])
returns void language plpgsql set search_path = '' as $$
begin
  if p_rows ? 'messages' then
    perform public.wa_internal_write_messages(p_rows -> 'messages', p_ids, p_leads);
  end if;
  if p_rows ? 'statuses' then
    perform public.wa_internal_write_statuses(p_rows -> 'statuses', p_ids, p_leads);
    perform public.wa_internal_join_statuses(p_rows -> 'statuses', p_ids, p_leads);
  end if;
  if p_rows ? 'calls' then
    perform public.wa_internal_write_calls(p_rows -> 'calls', p_ids, p_leads);
  end if;
  if p_rows ? 'lead_events' then
    perform public.wa_internal_write_lead_events(p_rows -> 'lead_events', p_ids, p_leads);
  end if;
  if p_rows ? 'account_events' then
    perform public.wa_internal_write_account_events(p_rows -> 'account_events', p_ids);
  end if;
  if p_rows ? 'actions' then
    insert into public.wa_actions (idempotency_key, event_id, lead_id, action, target, payload)
    select r.idempotency_key, p_ids[r.place], p_leads[r.place + r.who], r.action, r.target, r.payload
      from jsonb_to_recordset(p_rows -> 'actions') as r (
             place integer, who integer, idempotency_key text, action text, target text, payload text)
     where p_ids[r.place] > 0
     order by r.idempotency_key collate "C"
    on conflict (idempotency_key) do nothing;
  end if;
end $$;

-- A message is told in one row of each round. Of what it says, the better evidence stays; also on the same event again,
-- so that a newer version's mapping replaces an older one's.
create function public.wa_internal_write_messages(p_rows jsonb, p_ids bigint[], p_leads bigint[])
returns void language plpgsql set search_path = '' as $$
declare
  v_round integer;
begin
  for v_round in select distinct (r ->> 'round')::integer from jsonb_array_elements(p_rows) r order by 1 loop
    insert into public.wa_messages as m (phone_number_id, wamid, account_id, lead_id, lead_evidence, lead_event_id,
      direction, source, at, type, text, content, reply_to, reply_id, context, referral, group_id, told_rank, tag,
      error_code, error_text, content_evidence)
    select r.phone_number_id, r.wamid, r.account_id, p_leads[r.place + r.who], r.evidence,
           case when r.numbered then p_ids[r.place] end, r.direction, r.source, r.at, r.type, r.text, r.content::json,
           r.reply_to, r.reply_id, r.context::json, r.referral::json, r.group_id, r.told_rank, r.tag, r.error_code,
           r.error_text, r.content_evidence
      from jsonb_to_recordset(p_rows) as r (
             place integer, who integer, round integer, phone_number_id text, wamid text, account_id text,
             evidence text, numbered boolean, direction text, source text, at timestamptz, type text, text text,
             content text, reply_to text, reply_id text, context text, referral text, group_id text,
             told_rank integer, tag text, error_code bigint, error_text text, content_evidence text)
     where r.round = v_round and p_ids[r.place] > 0
     order by r.phone_number_id collate "C", r.wamid collate "C"
    on conflict (phone_number_id, wamid) do update
       set account_id = least(m.account_id, excluded.account_id),
           lead_id = case when excluded.lead_evidence > coalesce(m.lead_evidence, '')
                     then excluded.lead_id else m.lead_id end,
           lead_event_id = case when excluded.lead_evidence > coalesce(m.lead_evidence, '')
                           then excluded.lead_event_id else m.lead_event_id end,
           lead_evidence = greatest(m.lead_evidence, excluded.lead_evidence),
           direction = least(m.direction, excluded.direction),  -- inbound wins
           told_rank = greatest(m.told_rank, excluded.told_rank),
           tag = greatest(m.tag, excluded.tag),
           at = least(m.at, excluded.at),
           source = case when m.content_evidence is null or excluded.content_evidence >= m.content_evidence
             then excluded.source else m.source end,
           type = case when m.content_evidence is null or excluded.content_evidence >= m.content_evidence
             then excluded.type else m.type end,
           text = case when m.content_evidence is null or excluded.content_evidence >= m.content_evidence
             then excluded.text else m.text end,
           content = case when m.content_evidence is null or excluded.content_evidence >= m.content_evidence
             then excluded.content else m.content end,
           reply_to = case when m.content_evidence is null or excluded.content_evidence >= m.content_evidence
             then excluded.reply_to else m.reply_to end,
           reply_id = case when m.content_evidence is null or excluded.content_evidence >= m.content_evidence
             then excluded.reply_id else m.reply_id end,
           context = case when m.content_evidence is null or excluded.content_evidence >= m.content_evidence
             then excluded.context else m.context end,
           referral = case when m.content_evidence is null or excluded.content_evidence >= m.content_evidence
             then excluded.referral else m.referral end,
           group_id = case when m.content_evidence is null or excluded.content_evidence >= m.content_evidence
             then excluded.group_id else m.group_id end,
           error_code = case when m.content_evidence is null or excluded.content_evidence >= m.content_evidence
             then excluded.error_code else m.error_code end,
           error_text = case when m.content_evidence is null or excluded.content_evidence >= m.content_evidence
             then excluded.error_text else m.error_text end,
           content_evidence = case when m.content_evidence is null or excluded.content_evidence >= m.content_evidence
             then excluded.content_evidence else m.content_evidence end;
  end loop;
end $$;

-- The history: one row a status event, of the last that it tells.
create function public.wa_internal_write_statuses(p_rows jsonb, p_ids bigint[], p_leads bigint[])
returns void language plpgsql set search_path = '' as $$
begin
  insert into public.wa_message_statuses (event_id, phone_number_id, wamid, account_id, lead_id, status, at, tag,
    conversation_id, conversation_origin, pricing_model, pricing_type, pricing_category, billable, error_code,
    error_text, failure_class)
  select p_ids[r.place], r.phone_number_id, r.wamid, r.account_id, p_leads[r.place + r.who], r.status, r.at, r.tag,
         r.conversation_id, r.conversation_origin, r.pricing_model, r.pricing_type, r.pricing_category, r.billable,
         r.error_code, r.error_text, r.failure_class
    from jsonb_to_recordset(p_rows) as r (
           place integer, who integer, last boolean, phone_number_id text, wamid text, account_id text, status text,
           at timestamptz, tag text, conversation_id text, conversation_origin text, pricing_model text,
           pricing_type text, pricing_category text, billable boolean, error_code bigint, error_text text,
           failure_class text)
   where r.last and p_ids[r.place] > 0
  on conflict (event_id) do update
     set phone_number_id = excluded.phone_number_id,
         wamid = excluded.wamid,
         account_id = excluded.account_id,
         lead_id = excluded.lead_id,
         status = excluded.status,
         at = excluded.at,
         tag = excluded.tag,
         conversation_id = excluded.conversation_id,
         conversation_origin = excluded.conversation_origin,
         pricing_model = excluded.pricing_model,
         pricing_type = excluded.pricing_type,
         pricing_category = excluded.pricing_category,
         billable = excluded.billable,
         error_code = excluded.error_code,
         error_text = excluded.error_text,
         failure_class = excluded.failure_class;
end $$;

-- What statuses say of their messages: added up for each message first.
create function public.wa_internal_join_statuses(p_rows jsonb, p_ids bigint[], p_leads bigint[])
returns void language plpgsql set search_path = '' as $$
begin
  insert into public.wa_messages as m (phone_number_id, wamid, account_id, lead_id, lead_evidence, lead_event_id,
    direction, source, at, tag, pricing_model, pricing_type, pricing_category, sent_at, delivered_at, read_at, played_at,
    failed_at, failed_code, failed_text, failed_class)
  with told as materialized (
    select r.*, p_leads[r.place + r.who] as lead_id, case when r.numbered then p_ids[r.place] end as lead_event_id
      from jsonb_to_recordset(p_rows) as r (
             place integer, who integer, phone_number_id text collate "C", wamid text collate "C",
             account_id text collate "C", evidence text collate "C", numbered boolean, status text, at timestamptz,
             tag text collate "C", pricing_model text collate "C", pricing_type text collate "C",
             pricing_category text collate "C", error_code bigint, error_text text collate "C", failure_class text)
     where p_ids[r.place] > 0
  ), best as (
    select distinct on (phone_number_id, wamid) phone_number_id, wamid, evidence, lead_id, lead_event_id
      from told where evidence is not null order by phone_number_id, wamid, evidence desc
  ), failure as (
    select distinct on (phone_number_id, wamid) phone_number_id, wamid, at, error_code, error_text, failure_class
      from told where status = 'failed'
     order by phone_number_id, wamid, at, coalesce(error_code, 0), coalesce(error_text, '')
  )
  select t.phone_number_id, t.wamid, t.account_id, b.lead_id, b.evidence, b.lead_event_id, 'outbound', 'status', t.at,
         t.tag, t.pricing_model, t.pricing_type, t.pricing_category, t.sent_at, t.delivered_at, t.read_at, t.played_at,
         f.at, f.error_code, f.error_text, f.failure_class
    from (select phone_number_id, wamid, min(account_id) as account_id, min(at) as at, max(tag) as tag,
                 max(pricing_model) as pricing_model, max(pricing_type) as pricing_type,
                 max(pricing_category) as pricing_category,
                 min(at) filter (where status = 'sent') as sent_at,
                 min(at) filter (where status = 'delivered') as delivered_at,
                 min(at) filter (where status = 'read') as read_at,
                 min(at) filter (where status = 'played') as played_at
            from told group by 1, 2) t
    left join best b on b.phone_number_id = t.phone_number_id and b.wamid = t.wamid
    left join failure f on f.phone_number_id = t.phone_number_id and f.wamid = t.wamid
   order by t.phone_number_id, t.wamid
  on conflict (phone_number_id, wamid) do update
     set account_id = least(m.account_id, excluded.account_id),
         lead_id = case when excluded.lead_evidence > coalesce(m.lead_evidence, '')
                   then excluded.lead_id else m.lead_id end,
         lead_event_id = case when excluded.lead_evidence > coalesce(m.lead_evidence, '')
                         then excluded.lead_event_id else m.lead_event_id end,
         lead_evidence = greatest(m.lead_evidence, excluded.lead_evidence),
         at = least(m.at, excluded.at),
         tag = greatest(m.tag, excluded.tag),
         pricing_model = greatest(m.pricing_model, excluded.pricing_model),
         pricing_type = greatest(m.pricing_type, excluded.pricing_type),
         pricing_category = greatest(m.pricing_category, excluded.pricing_category),
         sent_at = least(m.sent_at, excluded.sent_at),
         delivered_at = least(m.delivered_at, excluded.delivered_at),
         read_at = least(m.read_at, excluded.read_at),
         played_at = least(m.played_at, excluded.played_at),
         failed_at = least(m.failed_at, excluded.failed_at),
         failed_code = case when excluded.failed_at is not null and (m.failed_at is null or
             (excluded.failed_at, coalesce(excluded.failed_code, 0), coalesce(excluded.failed_text, ''))
             < (m.failed_at, coalesce(m.failed_code, 0), coalesce(m.failed_text, '')))
           then excluded.failed_code else m.failed_code end,
         failed_text = case when excluded.failed_at is not null and (m.failed_at is null or
             (excluded.failed_at, coalesce(excluded.failed_code, 0), coalesce(excluded.failed_text, ''))
             < (m.failed_at, coalesce(m.failed_code, 0), coalesce(m.failed_text, '')))
           then excluded.failed_text else m.failed_text end,
         failed_class = case when excluded.failed_at is not null and (m.failed_at is null or
             (excluded.failed_at, coalesce(excluded.failed_code, 0), coalesce(excluded.failed_text, ''))
             < (m.failed_at, coalesce(m.failed_code, 0), coalesce(m.failed_text, '')))
           then excluded.failed_class else m.failed_class end;
end $$;

-- A call is told in one row of each round.
create function public.wa_internal_write_calls(p_rows jsonb, p_ids bigint[], p_leads bigint[])
returns void language plpgsql set search_path = '' as $$
declare
  v_round integer;
begin
  for v_round in select distinct (r ->> 'round')::integer from jsonb_array_elements(p_rows) r order by 1 loop
    insert into public.wa_calls as c (phone_number_id, call_id, account_id, lead_id, lead_evidence, lead_event_id,
      direction, at, ringing_at, connect_at, accepted_at, rejected_at, terminate_at, created_at, recording_at,
      recording_id, transcript_at, transcript_id, result, started_at, ended_at, duration, tag, cta_payload,
      deeplink_payload, error_code, error_text, failure_class)
    select r.phone_number_id, r.call_id, r.account_id, p_leads[r.place + r.who], r.evidence,
           case when r.numbered then p_ids[r.place] end, r.direction, r.at,
           case r.step when 'ringing' then r.at end, case r.step when 'connect' then r.at end,
           case r.step when 'accepted' then r.at end, case r.step when 'rejected' then r.at end,
           case r.step when 'terminate' then r.at end, case r.step when 'call_created' then r.at end,
           case r.step when 'call_recording_available' then r.at end, r.recording_id,
           case r.step when 'call_transcription_available' then r.at end, r.transcript_id, r.result, r.started_at,
           r.ended_at, r.duration, r.tag, r.cta_payload, r.deeplink_payload, r.error_code, r.error_text,
           r.failure_class
      from jsonb_to_recordset(p_rows) as r (
             place integer, who integer, round integer, phone_number_id text, call_id text, account_id text,
             evidence text, numbered boolean, step text, at timestamptz, direction text, result text,
             started_at timestamptz, ended_at timestamptz, duration bigint, tag text, cta_payload text,
             deeplink_payload text, recording_id text, transcript_id text, error_code bigint, error_text text,
             failure_class text)
     where r.round = v_round and p_ids[r.place] > 0
     order by r.phone_number_id collate "C", r.call_id collate "C"
    on conflict (phone_number_id, call_id) do update
       set account_id = least(c.account_id, excluded.account_id),
           lead_id = case when excluded.lead_evidence > coalesce(c.lead_evidence, '')
                     then excluded.lead_id else c.lead_id end,
           lead_event_id = case when excluded.lead_evidence > coalesce(c.lead_evidence, '')
                           then excluded.lead_event_id else c.lead_event_id end,
           lead_evidence = greatest(c.lead_evidence, excluded.lead_evidence),
           at = least(c.at, excluded.at),
           ringing_at = least(c.ringing_at, excluded.ringing_at),
           connect_at = least(c.connect_at, excluded.connect_at),
           accepted_at = least(c.accepted_at, excluded.accepted_at),
           rejected_at = least(c.rejected_at, excluded.rejected_at),
           terminate_at = least(c.terminate_at, excluded.terminate_at),
           created_at = least(c.created_at, excluded.created_at),
           recording_at = least(c.recording_at, excluded.recording_at),
           transcript_at = least(c.transcript_at, excluded.transcript_at),
           started_at = least(c.started_at, excluded.started_at),
           direction = greatest(c.direction, excluded.direction),
           recording_id = greatest(c.recording_id, excluded.recording_id),
           transcript_id = greatest(c.transcript_id, excluded.transcript_id),
           result = greatest(c.result, excluded.result),
           ended_at = greatest(c.ended_at, excluded.ended_at),
           duration = greatest(c.duration, excluded.duration),
           tag = greatest(c.tag, excluded.tag),
           cta_payload = greatest(c.cta_payload, excluded.cta_payload),
           deeplink_payload = greatest(c.deeplink_payload, excluded.deeplink_payload),
           error_code = case when excluded.error_code is not null and (c.error_code is null or
               (excluded.error_code, coalesce(excluded.error_text, '')) > (c.error_code, coalesce(c.error_text, '')))
             then excluded.error_code else c.error_code end,
           error_text = case when excluded.error_code is not null and (c.error_code is null or
               (excluded.error_code, coalesce(excluded.error_text, '')) > (c.error_code, coalesce(c.error_text, '')))
             then excluded.error_text else c.error_text end,
           failure_class = case when excluded.error_code is not null and (c.error_code is null or
               (excluded.error_code, coalesce(excluded.error_text, '')) > (c.error_code, coalesce(c.error_text, '')))
             then excluded.failure_class else c.failure_class end;
  end loop;
end $$;

create function public.wa_internal_write_lead_events(p_rows jsonb, p_ids bigint[], p_leads bigint[])
returns void language plpgsql set search_path = '' as $$
begin
  insert into public.wa_lead_events (event_id, topic, ident, lead_id, account_id, phone_number_id, what, ref, at, detail)
  select p_ids[r.place], r.topic, r.ident, p_leads[r.place + r.who], r.account_id, r.phone_number_id, r.what, r.ref,
         r.at, r.detail::json
    from jsonb_to_recordset(p_rows) as r (
           place integer, who integer, last boolean, topic text, ident text, account_id text, phone_number_id text,
           what text, ref text, at timestamptz, detail text)
   where r.last and p_ids[r.place] > 0
  on conflict (event_id, topic, ident) do update
     set lead_id = excluded.lead_id, account_id = excluded.account_id, phone_number_id = excluded.phone_number_id,
         what = excluded.what, ref = excluded.ref, at = excluded.at, detail = excluded.detail;
end $$;

create function public.wa_internal_write_account_events(p_rows jsonb, p_ids bigint[])
returns void language plpgsql set search_path = '' as $$
begin
  insert into public.wa_account_events (event_id, account_id, phone_number_id, notice, severity, subject, what, reason,
    failure_class, at, detail)
  select p_ids[r.place], r.account_id, r.phone_number_id, r.notice, r.severity, r.subject, r.what, r.reason,
         r.failure_class, r.at, r.detail::json
    from jsonb_to_recordset(p_rows) as r (
           place integer, last boolean, account_id text, phone_number_id text, notice text, severity text, subject text,
           what text, reason text, failure_class text, at timestamptz, detail text)
   where r.last and p_ids[r.place] > 0
  on conflict (event_id) do update
     set account_id = excluded.account_id, phone_number_id = excluded.phone_number_id, notice = excluded.notice,
         severity = excluded.severity, subject = excluded.subject, what = excluded.what, reason = excluded.reason,
         failure_class = excluded.failure_class, at = excluded.at, detail = excluded.detail;
end $$;

insert into public.wa_migrations (name) values ('0011_joins') on conflict do nothing;
