-- What the stored facts mean: views, so that nothing depends on the order in which the facts arrived. Ties in time are
-- broken by wamid or call id, never by an internal id. docs/meaning.md explains each.
--
-- "Within 24 hours" is from a time up to, not including, 24 hours later. Who reads a view needs rights on its tables.

-- What stands at a path in a JSON text: null where it is not there. In one that has what no text here can hold, that is
-- U+FFFD.
create function public.wa_internal_in_json(p_doc json, p_path text[])
returns text language plpgsql immutable parallel safe set search_path = '' as $$
begin
  if p_doc::text ~* '\\u(0000|d[89a-f])' then
    return regexp_replace(p_doc::text, '\\u(0000|d[89a-f]..)', '\\ufffd', 'gi')::json #>> p_path;
  end if;
  return p_doc #>> p_path;
end $$;

-- What a tag (biz_opaque_callback_data) says of the message: the longest prefix counts. Add your own.
create table public.wa_tag_meanings (
  prefix  text collate "C" not null primary key,
  meaning text collate "C" not null check (meaning in ('campaign', 'automatic'))
);
insert into public.wa_tag_meanings (prefix, meaning)
values ('camp:', 'campaign'), ('campaign:', 'campaign'), ('auto:', 'automatic');

-- Everything that happened with one lead; put it in order by `at`, which is Meta's time. Of the few events that Meta
-- gives no time, it is that of arrival.
create view public.wa_lead_timeline with (security_invoker = true) as
  select lead_id, at, 'message' as kind, direction, type as what, text as detail, wamid as ref, account_id
    from public.wa_messages where lead_id is not null and type is not null
  union all
  select lead_id, at, 'status', 'outbound', status, error_text, wamid, account_id
    from public.wa_message_statuses where lead_id is not null
  union all  -- a status that names nobody, as failures do, is known by its message
  select m.lead_id, s.at, 'status', 'outbound', s.status, s.error_text, s.wamid, coalesce(s.account_id, m.account_id)
    from public.wa_messages m
    join public.wa_message_statuses s on s.wamid = m.wamid and s.phone_number_id = m.phone_number_id
   where m.lead_id is not null and s.lead_id is null
  union all
  select lead_id, step_at, 'call',
         case direction when 'BUSINESS_INITIATED' then 'outbound' when 'USER_INITIATED' then 'inbound' end,
         step,
         case step when 'terminate' then outcome || coalesce(', ' || duration || ' s', '')
                                         || coalesce(', ' || error_text, '')
                   when 'recording' then recording_id
                   when 'transcript' then transcript_id end,
         call_id, account_id
    from (select c.*, s.step,
                 case s.step when 'created' then c.created_at when 'ringing' then c.ringing_at
                             when 'connect' then c.connect_at when 'accepted' then c.accepted_at
                             when 'rejected' then c.rejected_at when 'terminate' then c.terminate_at
                             when 'recording' then c.recording_at when 'transcript' then c.transcript_at
                 end as step_at
            from public.wa_calls c
           cross join (select 'created' as step union all select 'ringing' union all select 'connect'
                       union all select 'accepted' union all select 'rejected' union all select 'terminate'
                       union all select 'recording' union all select 'transcript') s) steps
   where lead_id is not null and step_at is not null
  union all
  select e.lead_id, coalesce(e.at, (select l.fecha_recepcion from public.wa_events l where l.id = e.event_id)), e.topic,
         case e.topic when 'preference' then 'inbound' end, e.what,
         case when e.topic in ('preference', 'handover') then e.ref end,
         case when e.topic in ('preference', 'handover') or e.ref is null then '' else e.ref end, e.account_id
    from public.wa_lead_events e where e.lead_id is not null
  union all  -- a conversion names the message alone
  select m.lead_id, coalesce(e.at, (select l.fecha_recepcion from public.wa_events l where l.id = e.event_id)), e.topic, null,
         e.what, null, e.ref, coalesce(e.account_id, m.account_id)
    from public.wa_messages m
   cross join public.wa_lead_events e  -- in this order: a lead has few messages
   where e.topic = 'conversion' and e.ref = m.wamid and m.lead_id is not null and e.lead_id is null
     and coalesce(e.phone_number_id, m.phone_number_id) = m.phone_number_id;

-- Every start of a conversation of a lead with a business number: a message that came from an ad or a post, the chat
-- opened for the first time, or a contact without another in the 24 hours before. Messages, calls from the lead and
-- calls to the lead that were picked up are contacts. Old chats that were copied (history) are contacts that start
-- nothing.
create view public.wa_conversation_starts with (security_invoker = true) as
with contacts as (
  select lead_id, account_id, phone_number_id, at, wamid as ref, 'message' as by, direction, source, type, referral,
         case when type = 'request_welcome' then 0 when referral is not null then 1 else 2 end as place
    from public.wa_messages
   where direction = 'inbound' and lead_id is not null and group_id is null
     and coalesce(case type when 'unsupported' then text else type end, '') not in ('system', 'edit', 'revoke')
     and not (type = 'reaction' and text is null)  -- taken back
     -- What Meta answers in the lead's name because the lead called.
     and coalesce(case when type = 'interactive'
                       then public.wa_internal_in_json(content, '{call_permission_reply,response_source}') end, '') <> 'automatic'
  union all
  select lead_id, account_id, phone_number_id,
         case when direction = 'BUSINESS_INITIATED' then coalesce(accepted_at, started_at, at)
              when started_at < at then started_at
              else at end,
         call_id, 'call', case direction when 'BUSINESS_INITIATED' then 'outbound' else 'inbound' end, 'live', null,
         null, 2
    from public.wa_calls
   where lead_id is not null and (coalesce(direction, '') <> 'BUSINESS_INITIATED' or outcome = 'answered')
), in_order as (
  select contacts.*, lag(at) over chat as previous_at, lead(at) over chat as next_at, lead(place) over chat as next_place
    from contacts
  window chat as (partition by lead_id, phone_number_id order by at, place, ref)
), starts as (
  select lead_id, account_id, phone_number_id, at, by, ref, direction, type, previous_at,
         case when place = 1 then coalesce(public.wa_internal_in_json(referral, '{source_type}'), 'ad')
              when place = 0 then 'opened'
              when by = 'call' then 'call'
              when previous_at is null then 'first contact'
              else 'reopened' end as cause,
         case when place = 1 then public.wa_internal_in_json(referral, '{source_id}') end as source_id
    from in_order
   where source <> 'history'
     and (place < 2 or previous_at is null
          or at >= previous_at + interval '24 hours')
     -- Who comes from an ad opens the chat first: that is one start.
     and not (place = 0 and coalesce(next_place = 1, false)
              and next_at < at + interval '24 hours')
)
select lead_id, account_id, phone_number_id, at, cause, by, ref, direction, source_id, previous_at,
       case when cause = 'first contact' or type = 'reaction' then 'likely' else 'certain' end as certainty,
       case when cause = 'opened' then 'Meta says that the lead opened the chat for the first time.'
            when cause not in ('call', 'first contact', 'reopened')
              then 'Meta says that the message came from ' || case cause when 'ad' then 'an ad.' else 'a ' || cause || '.' end
            else case when by = 'message' and type = 'reaction' then 'The lead reacted to a message'
                      when by = 'message' then 'The lead wrote'
                      when direction = 'outbound' then 'The lead picked up a call of the business'
                      else 'The lead called' end
              || case when previous_at is null then '; no earlier contact with this number is known.'
                      else '; the last contact was 24 hours ago or longer.' end
       end as why
  from starts;

-- Every message of the business, with what it was for, as far as its tag, its price or its time tell: a campaign (any
-- template), or automatic. `described` completes the sentences of the views below.
create view public.wa_outbound_messages with (security_invoker = true) as
select lead_id, account_id, phone_number_id, wamid, at, source, status, sent_at, tag, category, is_template,
       case sign when 'template' then 'campaign' when 'phone app' then 'automatic' else sign end as meaning,
       case sign when 'phone app' then 'likely' when 'template' then 'certain' when 'campaign' then 'certain'
                 when 'automatic' then 'certain' end as certainty,
       case sign when 'template' then 'a template' || coalesce(' of the category ' || category, '')
                 when 'phone app' then 'a message of the phone app that came too fast for a person'
                 when 'campaign' then 'a message with the tag ' || tag
                 when 'automatic' then 'a message with the tag ' || tag end as described
  from (select m.*,
               coalesce(
                 case when m.tag is not null
                      then (select t.meaning from public.wa_tag_meanings t where substr(m.tag, 1, length(t.prefix)) = t.prefix
                             order by length(t.prefix) desc limit 1) end,
                 case when is_template = 1 then 'template'
                      -- A greeting or an away message: it comes at once, and not in the middle of a talk.
                      when m.source = 'echo' and coalesce(m.type, '') not in ('reaction', 'edit', 'revoke') and exists (
                             select 1 from public.wa_messages q
                              where q.lead_id = m.lead_id and q.phone_number_id = m.phone_number_id
                                and q.direction = 'inbound' and q.group_id is null
                                and coalesce(q.type, '') not in ('reaction', 'system', 'edit', 'revoke')
                                and q.at <= m.at
                                and q.at >= m.at - interval '10 seconds'
                                and not exists (
                                      select 1 from public.wa_messages o
                                       where o.lead_id = m.lead_id and o.phone_number_id = m.phone_number_id
                                         and o.source = 'echo' and o.direction = 'outbound' and o.at < q.at
                                         and o.at > q.at - interval '24 hours'))
                        then 'phone app' end) as sign
          from (select o.*, replace(o.pricing_category, '-', '_') as category,
                       case when o.type = 'template' or replace(o.pricing_category, '-', '_') in (
                                 'marketing', 'marketing_lite', 'utility', 'authentication',
                                 'authentication_international', 'group_marketing', 'group_utility',
                                 'business_initiated') then 1 else 0 end as is_template
                  from public.wa_messages o where o.direction = 'outbound') m) signs;

-- What was said in a chat: every message but reactions, corrections, notices and failures, in the order in which the lead
-- had them. With each, what it replies to (`told_`) and what came before it (`previous_`), with their meaning if those are
-- messages of the business.
create view public.wa_chat_messages with (security_invoker = true) as
select lead_id, account_id, phone_number_id, wamid, at, reached_at, direction, source, type, text, content, reply_to,
       reply_id, referral, group_id, told_meaning, told_certainty, told_described, told_tag, told_category,
       lag(wamid) over chat as previous_wamid, lag(reached_at) over chat as previous_at,
       lag(meaning) over chat as previous_meaning, lag(described) over chat as previous_described,
       lag(tag) over chat as previous_tag, lag(category) over chat as previous_category
  from (select m.*, coalesce(m.delivered_at, m.read_at, m.played_at, m.at) as reached_at, o.meaning, o.described, o.category,
               t.meaning as told_meaning, t.certainty as told_certainty, t.described as told_described, t.tag as told_tag,
               t.category as told_category
          from public.wa_messages m
          left join public.wa_outbound_messages o on o.phone_number_id = m.phone_number_id and o.wamid = m.wamid
          left join public.wa_outbound_messages t on t.phone_number_id = m.phone_number_id and t.wamid = m.reply_to
         where m.status <> 'failed'
           and coalesce(case m.type when 'unsupported' then m.text else m.type end, '')
               not in ('reaction', 'system', 'edit', 'revoke', 'request_welcome')
           and coalesce(case when m.type = 'interactive'
                             then public.wa_internal_in_json(m.content, '{call_permission_reply,response_source}') end, '')
               <> 'automatic') said
-- In one second, the lead's message goes before the answer to it.
window chat as (partition by lead_id, phone_number_id,
                             coalesce(group_id, case when substr(pricing_category, 1, 6) = 'group_' then 'group' end)
                order by reached_at, direction, wamid);

-- Every message of a lead that answers a campaign, by the best evidence that there is.
create view public.wa_campaign_replies with (security_invoker = true) as
select lead_id, account_id, phone_number_id, wamid, at, how,
       case how when 'after it' then 'inferred' when 'post referral' then 'likely' else 'certain' end as certainty,
       case how when 'quick reply' then 'A tap on a quick-reply button, which only templates have.'
                when 'reply' then 'Replies to ' || told_described || '.'
                when 'ad referral' then 'Meta says that it came from an ad.'
                when 'post referral' then 'Meta says that it came from a post, which need not be an ad.'
                else 'The first message within 24 hours after ' || previous_described || '.' end as why,
       case how when 'quick reply' then reply_to when 'reply' then reply_to when 'after it' then previous_wamid
       end as campaign_wamid,
       case how when 'quick reply' then told_tag when 'reply' then told_tag when 'after it' then previous_tag end as tag,
       case how when 'quick reply' then told_category when 'reply' then told_category
                when 'after it' then previous_category end as category,
       reply_id,
       case when how in ('ad referral', 'post referral') then public.wa_internal_in_json(referral, '{source_id}') end as source_id
  from (select c.*,
               case when told_meaning = 'automatic' then null
                    when type = 'button' then 'quick reply'
                    when told_meaning = 'campaign' then 'reply'
                    when referral is not null
                      then case public.wa_internal_in_json(referral, '{source_type}') when 'post' then 'post referral'
                                                                        else 'ad referral' end
                    when reply_to is null and previous_meaning = 'campaign' and lead_id is not null
                         and at < previous_at + interval '24 hours' then 'after it' end as how
          from public.wa_chat_messages c where direction = 'inbound') answers
 where how is not null;

-- Every message of a lead that answers an automatic message, by the best evidence that there is.
create view public.wa_automatic_replies with (security_invoker = true) as
select lead_id, account_id, phone_number_id, wamid, at, how,
       case how when 'reply' then told_certainty when 'choice' then 'likely' else 'inferred' end as certainty,
       case how when 'reply' then 'Replies to ' || told_described || '.'
                when 'choice' then 'A choice from buttons, a list or a flow that was no campaign.'
                else 'The first message within 24 hours after ' || previous_described || '.' end as why,
       case how when 'after it' then previous_wamid else reply_to end as automatic_wamid,
       case how when 'after it' then previous_tag else told_tag end as tag,
       reply_id
  from (select c.*,
               case when told_meaning = 'automatic' then 'reply'
                    when told_meaning = 'campaign' then null
                    when case when type = 'interactive' then public.wa_internal_in_json(content, '{type}') end
                         in ('button_reply', 'list_reply', 'nfm_reply') then 'choice'
                    when reply_to is null and previous_meaning = 'automatic' and lead_id is not null
                         and at < previous_at + interval '24 hours' then 'after it' end as how
          from public.wa_chat_messages c where direction = 'inbound') answers
 where how is not null;

insert into public.wa_migrations (name) values ('0014_meaning') on conflict do nothing;
