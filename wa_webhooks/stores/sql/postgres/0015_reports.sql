-- Reports over the stored facts; as in 0014_meaning, none depends on the order in which the facts arrived.

-- How far the messages of one tag and category came. All that have a tag, and all templates. Each stage holds the later
-- ones: what was read was delivered. `replies` and `opt_outs` count messages that had one.
create view public.wa_campaign_funnel with (security_invoker = true) as
with answers as (
  select phone_number_id, wamid, max(known) as known
    from (select phone_number_id, campaign_wamid as wamid, case certainty when 'inferred' then 0 else 1 end as known
            from public.wa_campaign_replies where campaign_wamid is not null
          union all
          select phone_number_id, automatic_wamid, case certainty when 'inferred' then 0 else 1 end
            from public.wa_automatic_replies where automatic_wamid is not null) replies
   group by phone_number_id, wamid
), stops as (
  -- A lead's stop goes to the last such message in the seven days before it.
  select phone_number_id, wamid
    from (select m.phone_number_id, m.wamid,
                 row_number() over (partition by e.event_id, e.lead_id
                                    order by m.at desc, m.wamid desc, m.phone_number_id) as place
            from public.wa_lead_events e
            join public.wa_outbound_messages m
              on m.lead_id = e.lead_id and m.at <= e.at
             and m.at > e.at - interval '7 days'
           where e.topic = 'preference' and lower(e.what) = 'stop'
             and m.status <> 'failed' and (m.tag is not null or m.is_template = 1)) latest
   where place = 1
), messages as (
  -- A failed message has no price; its category is that of its tag, where that is but one.
  select m.*,
         case when category is null and tag is not null
                   and min(category) over same_tag = max(category) over same_tag then max(category) over same_tag
              else category end as told_category
    from public.wa_outbound_messages m
   where tag is not null or is_template = 1
  window same_tag as (partition by account_id, tag)
)
select account_id, tag, told_category as category, max(meaning) as meaning,
       count(*) as messages,
       count(*) filter (where status in ('sent', 'delivered', 'read', 'played') or sent_at is not null) as sent,
       count(*) filter (where status in ('delivered', 'read', 'played')) as delivered,
       count(*) filter (where status in ('read', 'played')) as read,
       count(*) filter (where status = 'played') as played,
       count(*) filter (where status = 'failed') as failed,
       count(*) filter (where (phone_number_id, wamid) in (select phone_number_id, wamid from answers where known = 1))
         as replies,
       count(*) filter (where (phone_number_id, wamid) in (select phone_number_id, wamid from answers where known = 0))
         as inferred_replies,
       count(*) filter (where (phone_number_id, wamid) in (select phone_number_id, wamid from stops)) as opt_outs,
       min(at) as first_at, max(at) as last_at
  from messages
 group by account_id, tag, told_category;

-- What each message of the business costs: charged, free, not charged because it failed, or unknown.
create view public.wa_message_costs with (security_invoker = true) as
select lead_id, account_id, phone_number_id, wamid, at, status, tag, pricing_model, pricing_type, pricing_category,
       case cost when 'failed' then 'not charged' when 'undelivered' then 'unknown'
                 when 'regular' then 'charged' when 'billable' then 'charged'
                 when 'unknown' then 'unknown' else 'free' end as cost_class,
       case cost
         when 'failed' then 'It failed; only what is delivered is charged.'
         when 'free_entry_point' then 'Within the 72 hours after the lead came from an ad or a post.'
         when 'free_customer_service'
           then case when at < '2026-10-01T00:00:00Z' then 'Within 24 hours after the lead''s last message or call; free until October 2026.'
                     else 'A service message within the number''s free tier, as since October 2026.' end
         when 'free_group_customer_service'
           then case when at < '2026-10-01T00:00:00Z' then 'Within 24 hours after the last message in the group; free until October 2026.'
                     else 'A service message to a group within the number''s free tier, as since October 2026.' end
         when 'undelivered' then 'Charged once it is delivered, which no status says yet.'
         when 'regular'
           then case when at < '2026-10-01T00:00:00Z' then 'Charged at the rate of its category.'
                     when pricing_category in ('service', 'group_service')
                       then 'A service message beyond the number''s free tier: charged since October 2026.'
                     when pricing_category in ('utility', 'group_utility')
                       then 'Charged at the rate of its category; since October 2026 also within 24 hours after the lead''s last message.'
                     else 'Charged at the rate of its category.' end
         when 'billable' then case pricing_model when 'CBP' then 'Charged with its conversation, as until July 2025.'
                                                 else 'Meta says that it is billable.' end
         when 'not billable' then 'Meta says that it is not billable.'
         when 'phone app' then 'Sent from the phone app, which is free.'
         when 'unknown' then case when pricing_type is null then 'No status has told a price.'
                                  else 'Of a price type that is not known here.' end
         else 'Meta says that it is free.' end as why
  from (select m.*,
               case when status = 'failed' then 'failed'
                    when substr(pricing_type, 1, 5) = 'free_' then pricing_type
                    when (pricing_type = 'regular' or pricing_type is null and billable)
                         and status not in ('delivered', 'read', 'played') then 'undelivered'
                    when pricing_type = 'regular' then 'regular'
                    when pricing_type is not null then 'unknown'
                    when billable then 'billable'
                    when not billable then 'not billable'
                    when source = 'echo' then 'phone app'
                    else 'unknown' end as cost
          from (select o.*,
                       -- Withdrawn by Meta, and the only word where there is no type.
                       case when o.pricing_type is null and o.pricing_model is not null
                            then (select bool_or(s.billable) from public.wa_message_statuses s
                                   where s.wamid = o.wamid and s.phone_number_id = o.phone_number_id) end as billable
                  from public.wa_messages o where o.direction = 'outbound') m) priced;

-- Every call. `outcome` is answered, missed (by the business), unanswered or rejected (by the lead), failed, or ringing
-- as long as no end was told; an answered call can have failed later. Seconds are those until it was picked up or given
-- up, and those it lasted.
create view public.wa_call_log with (security_invoker = true) as
select lead_id, account_id, phone_number_id, call_id, at,
       case direction when 'BUSINESS_INITIATED' then 'outbound' when 'USER_INITIATED' then 'inbound' end as direction,
       outcome,
       case when ring_until >= ring_from
            then (floor(extract(epoch from ring_until)) - floor(extract(epoch from ring_from)))::bigint
       end as ring_seconds,
       coalesce(duration, (floor(extract(epoch from ended_at)) - floor(extract(epoch from started_at)))::bigint)
         as duration,
       started_at, ended_at, result, error_code, error_text, failure_class, tag, recording_id, transcript_id
  from (select c.*,
               -- A call of the business is connected only when it is picked up.
               case direction when 'BUSINESS_INITIATED' then ringing_at else coalesce(connect_at, ringing_at) end
                 as ring_from,
               coalesce(accepted_at, started_at, rejected_at, terminate_at) as ring_until
          from public.wa_calls c) calls;

-- Whatever failed: messages, inbound messages that Meta could not pass on, calls, and errors that Meta told of a number.
-- The class says whether trying again can help: permanent, retryable, deferred, account-wide. A message that was
-- delivered in spite of a failure is `overridden`.
create view public.wa_failures with (security_invoker = true) as
  select 'message' as what, wamid as ref, lead_id, account_id, phone_number_id, coalesce(failed_at, at) as at,
         failed_code as code, failed_text as text, failed_class as failure_class, tag,
         case when status = 'failed' then 0 else 1 end as overridden
    from public.wa_messages where direction = 'outbound' and (failed_at is not null or status = 'failed')
  union all  -- nobody but the lead can send it again
  select 'inbound message', wamid, lead_id, account_id, phone_number_id, at, error_code, error_text, 'permanent', null, 0
    from public.wa_messages where direction = 'inbound' and error_code is not null
  union all
  select 'call', call_id, lead_id, account_id, phone_number_id, coalesce(terminate_at, at), error_code, error_text,
         failure_class, tag, 0
    from public.wa_calls where error_code is not null or outcome = 'failed'
  union all
  select 'account', null, null, account_id, phone_number_id, at, code, text, failure_class, null, 0
    from (select a.account_id, a.phone_number_id, a.reason as text, a.failure_class,
                 -- Meta gives these no time: that of arrival then.
                 coalesce(a.at, (select l.fecha_recepcion from public.wa_events l where l.id = a.event_id)) as at,
                 case when a.what ~ '^[0-9]{1,18}$' then a.what::bigint end as code
            from public.wa_account_events a where substr(a.notice, 1, 6) = 'error.') errors
   -- The error of a call comes once more beside it.
   where (coalesce(phone_number_id, ''), coalesce(code, -1))
         not in (select phone_number_id, error_code from public.wa_calls where error_code is not null);

-- Every name and username that a lead was seen with, from when to when.
create view public.wa_lead_names with (security_invoker = true) as
select lead_id, kind, value, first_at, last_at, times,
       case when row_number() over (partition by lead_id, kind order by last_at desc nulls last, value desc) = 1
            then 1 else 0 end as is_current
  from (select lead_id, 'name' as kind, name as value, min(nullif(at, '')::timestamptz) as first_at, max(nullif(at, '')::timestamptz) as last_at,
               count(*) as times
          from public.wa_lead_sightings where name <> '' group by lead_id, name
        union all
        select lead_id, 'username', username, min(nullif(at, '')::timestamptz), max(nullif(at, '')::timestamptz), count(*)
          from public.wa_lead_sightings where username <> '' group by lead_id, username) names;

-- What a lead last said about a category of messages: stop, resume or signup. A marketing message that Meta refused
-- because the person had stopped them says so too.
create view public.wa_lead_optouts with (security_invoker = true) as
select lead_id, category, state, at, certainty,
       case certainty when 'certain' then 'The lead said so.'
                      else 'Meta refused a message because the lead had stopped them.' end as why, ref
  from (select told.*,
               row_number() over (partition by lead_id, category
                                  order by at desc, certainty, state desc, ref) as place
          from (select lead_id, coalesce(ref, 'marketing_messages') as category, lower(what) as state, at,
                       'certain' as certainty, '' as ref
                  from public.wa_lead_events
                 where topic = 'preference' and lead_id is not null and at is not null
                   and lower(what) in ('stop', 'resume', 'signup')
                union all
                select m.lead_id, 'marketing_messages', 'stop', m.failed_at, 'inferred', m.wamid
                  from public.wa_messages m
                 where m.failed_code = 131050 and m.status = 'failed' and m.lead_id is not null
                   -- Not where the lead had said it before: what is certain stays so.
                   and coalesce((select lower(e.what) from public.wa_lead_events e
                                  where e.lead_id = m.lead_id and e.topic = 'preference' and e.at <= m.failed_at
                                    and coalesce(e.ref, 'marketing_messages') = 'marketing_messages'
                                    and lower(e.what) in ('stop', 'resume', 'signup')
                                  order by e.at desc, lower(e.what) desc limit 1), '') <> 'stop') told) newest
 where place = 1;

-- Of every lead, whether marketing messages may be sent. `not_before` is set where Meta's limit of marketing messages to
-- one person refused the newest: earlier ones would be refused too.
create view public.wa_lead_marketing with (security_invoker = true) as
select l.id as lead_id, case o.state when 'stop' then 0 else 1 end as may_send, o.state, o.at, o.certainty,
       coalesce(o.why, 'The lead has said nothing about it.') as why,
       (select max(m.failed_at) + interval '24 hours' from public.wa_messages m
         where m.failed_code = 131049 and m.lead_id = l.id and m.status = 'failed') as not_before
  from public.wa_leads l
  left join public.wa_lead_optouts o on o.lead_id = l.id and o.category = 'marketing_messages';

-- Every message that was corrected or taken back; of the corrections the newest.
create view public.wa_message_edits with (security_invoker = true) as
select phone_number_id, wamid, account_id, lead_id, direction, text, edited_at, edits, revoked_at
  from (select phone_number_id, reply_to as wamid, account_id, lead_id, direction, row_number() over newest as place,
               case when type = 'edit' then text end as text,
               max(case type when 'edit' then at end) over same as edited_at,
               count(case type when 'edit' then 1 end) over same as edits,
               min(case type when 'revoke' then at end) over same as revoked_at
          from public.wa_messages
         where type in ('edit', 'revoke') and reply_to is not null
        window same as (partition by phone_number_id, reply_to),
               -- 'edit' before 'revoke'
               newest as (partition by phone_number_id, reply_to order by type, at desc, wamid desc)) changes
 where place = 1;

-- The reactions that stand: of each message and person the newest, unless it was taken back. `direction` says whether
-- the lead or the business reacted.
create view public.wa_message_reactions with (security_invoker = true) as
select phone_number_id, wamid, account_id, lead_id, direction, emoji, at, reaction_wamid
  from (select phone_number_id, reply_to as wamid, account_id, lead_id, direction, text as emoji, at,
               wamid as reaction_wamid,
               row_number() over (partition by phone_number_id, reply_to, direction, lead_id
                                  order by at desc, wamid desc) as place
          from public.wa_messages where type = 'reaction' and reply_to is not null) reactions
 where place = 1 and emoji is not null and emoji <> '';

insert into public.wa_migrations (name) values ('0015_reports') on conflict do nothing;
