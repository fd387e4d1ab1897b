-- Who is who: leads, as the sum of the events that people were seen in. The rules, and why, are in
-- stores/sqlite/leads.py; each function here is the one of that name there.
--
-- plpgsql, since its statements keep their plans. Who calls these holds the lock of the account (wa_internal_lock).

-- The last that happened with a number before a time: 3 somebody was seen with it, 2 changed to it, 1 gave it up. At
-- one time, in the order of giving up, changing and being seen.
create function public.wa_internal_entry_before(
  p_scope text, p_number text, p_before text,
  out at text, out rank integer, out ident text, out lead_id bigint, out from_number text
) language plpgsql set search_path = '' as $$
#variable_conflict use_column
begin
  select e.at, e.rank, e.ident, e.lead_id, e.from_number into at, rank, ident, lead_id, from_number from (
    (select s.at, 3 as rank, s.ident, s.lead_id, null::text collate "C" as from_number
       from public.wa_lead_sightings s
      where s.scope = p_scope and s.number = p_number and s.named and s.at < p_before collate "C"
      order by s.at desc, s.ident desc limit 1)
    union all
    (select c.at, 2, coalesce(c.ident, c.old_number), i.lead_id, c.old_number
       from public.wa_number_changes c
       left join public.wa_lead_identities i on i.scope = c.scope and i.kind = c.kind and i.value = c.ident
      where c.scope = p_scope and c.new_number = p_number and c.at < p_before collate "C"
      order by c.at desc, coalesce(c.ident, c.old_number) desc nulls last limit 1)
    union all
    (select c.at, 1, coalesce(c.ident, c.new_number), i.lead_id, null
       from public.wa_number_changes c
       left join public.wa_lead_identities i on i.scope = c.scope and i.kind = c.kind and i.value = c.ident
      where c.scope = p_scope and c.old_number = p_number and c.at < p_before collate "C"
      order by c.at desc, coalesce(c.ident, c.new_number) desc nulls last limit 1)) e
   order by e.at desc, e.rank desc, e.ident desc nulls last limit 1;
end $$;

-- The first that happens with a number from a time on; `to_number` is the one that it was left for.
create function public.wa_internal_entry_after(
  p_scope text, p_number text, p_seen_from text, p_others_from text,
  out at text, out rank integer, out lead_id bigint, out to_number text
) language plpgsql set search_path = '' as $$
#variable_conflict use_column
begin
  select e.at, e.rank, e.lead_id, e.to_number into at, rank, lead_id, to_number from (
    (select s.at, 3 as rank, s.ident, s.lead_id, null::text collate "C" as to_number
       from public.wa_lead_sightings s
      where s.scope = p_scope and s.number = p_number and s.named and s.at >= p_seen_from collate "C"
      order by s.at, s.ident limit 1)
    union all
    (select c.at, 2, coalesce(c.ident, c.old_number), i.lead_id, null
       from public.wa_number_changes c
       left join public.wa_lead_identities i on i.scope = c.scope and i.kind = c.kind and i.value = c.ident
      where c.scope = p_scope and c.new_number = p_number and c.at >= p_others_from collate "C"
      order by c.at, coalesce(c.ident, c.old_number) nulls first limit 1)
    union all
    (select c.at, 1, coalesce(c.ident, c.new_number), i.lead_id, c.new_number
       from public.wa_number_changes c
       left join public.wa_lead_identities i on i.scope = c.scope and i.kind = c.kind and i.value = c.ident
      where c.scope = p_scope and c.old_number = p_number and c.at >= p_others_from collate "C"
      order by c.at, coalesce(c.ident, c.new_number) nulls first limit 1)) e
   order by e.at, e.rank, e.ident nulls first limit 1;
end $$;

-- Whose a number without a known owner turns out to be: of who is seen with it next, if they had it.
create function public.wa_internal_healed(p_scope text, p_number text, p_seen_from text, p_others_from text)
returns bigint language plpgsql set search_path = '' as $$
declare
  entry record;
begin
  loop
    entry := public.wa_internal_entry_after(p_scope, p_number, p_seen_from, p_others_from);
    if entry.rank is null or entry.rank = 2 then
      return null;
    elsif entry.lead_id is not null or entry.to_number is null then
      return entry.lead_id;
    end if;
    -- They left it for another number: who is seen with that one next?
    p_number := entry.to_number;
    p_seen_from := entry.at;
    p_others_from := entry.at || '~';
  end loop;
end $$;

-- Who had a number just before a time: a lead that an entry tells, or else what names the holder (number, since).
create function public.wa_internal_holding(
  p_scope text, p_number text, p_before text, out lead_id bigint, out number text, out since text
) language plpgsql set search_path = '' as $$
declare
  entry record;
begin
  loop
    entry := public.wa_internal_entry_before(p_scope, p_number, p_before);
    lead_id := case when entry.rank <> 1 then entry.lead_id end;
    if lead_id is null then
      lead_id := public.wa_internal_healed(p_scope, p_number, p_before, p_before);
    end if;
    exit when lead_id is not null;
    if entry.rank is distinct from 2 then
      number := p_number;
      since := coalesce(entry.at, '');
      exit;
    end if;
    p_number := entry.from_number;
    p_before := entry.at;
  end loop;
end $$;

create function public.wa_internal_holder(p_scope text, p_number text, p_since text)
returns bigint language plpgsql set search_path = '' as $$
begin
  return (select h.lead_id from public.wa_number_holders h
           where h.scope = p_scope and h.number = p_number and h.since = p_since);
end $$;

-- The lead that had a number just before a time; made if nobody is known to.
create function public.wa_internal_whose(p_scope text, p_number text, p_before text, p_inbound boolean)
returns bigint language plpgsql set search_path = '' as $$
declare
  entry record;
  holding record;
  found_id bigint;
begin
  if not p_inbound then
    entry := public.wa_internal_entry_before(p_scope, p_number, p_before);
    if entry.rank = 1 then
      -- Sent too late to reach them there; still meant for them.
      if entry.lead_id is not null then
        return entry.lead_id;
      end if;
      p_before := entry.at;
    end if;
  end if;
  holding := public.wa_internal_holding(p_scope, p_number, p_before);
  if holding.lead_id is not null then
    return holding.lead_id;
  end if;
  found_id := public.wa_internal_holder(p_scope, holding.number, holding.since);
  if found_id is null then
    insert into public.wa_leads (scope) values (p_scope) returning id into found_id;
    insert into public.wa_number_holders (scope, number, since, lead_id)
    values (p_scope, holding.number, holding.since, found_id);
  end if;
  return found_id;
end $$;

-- Point the identities of a number at whoever has it now, or had it last.
create function public.wa_internal_say_whose(p_scope text, p_number text)
returns void language plpgsql set search_path = '' as $$
declare
  entry record;
  holding record;
  found_id bigint;
begin
  entry := public.wa_internal_entry_before(p_scope, p_number, '9999');
  holding := public.wa_internal_holding(p_scope, p_number, '9999');
  found_id := holding.lead_id;
  if found_id is null then
    found_id := public.wa_internal_holder(p_scope, holding.number, holding.since);
    if found_id is null and entry.rank = 1 then  -- nobody's since; but who left it is still found by it
      found_id := entry.lead_id;
      if found_id is null then
        holding := public.wa_internal_holding(p_scope, p_number, entry.at);
        found_id := coalesce(holding.lead_id, public.wa_internal_holder(p_scope, holding.number, holding.since));
      end if;
    end if;
    if found_id is null then
      -- Who is said to have changed from the number, where two are said to have changed to another at one time.
      select s.lead_id into found_id
        from public.wa_number_changes c join public.wa_lead_sightings s on s.event_id = c.event_id
       where c.scope = p_scope and c.old_number = p_number
       order by c.at desc, c.new_number desc nulls last, s.ident desc limit 1;
    end if;
  end if;
  update public.wa_lead_identities i set lead_id = found_id
   where i.number = p_number and i.scope = p_scope and i.kind = 'wa_id' and i.lead_id <> found_id;
end $$;

-- Add up leads anew from their sightings; one that has none is nobody.
create function public.wa_internal_recount(p_leads bigint[])
returns void language plpgsql set search_path = '' as $$
declare
  each bigint;
begin
  foreach each in array p_leads loop
    if not exists (select from public.wa_lead_sightings s where s.lead_id = each) then
      delete from public.wa_number_holders h where h.lead_id = each;
      delete from public.wa_leads l where l.id = each;
      continue;
    end if;
    update public.wa_leads l
       set (wa_id, wa_id_at) = (select nullif(s.wa_id, ''), s.wa_id_at from public.wa_lead_sightings s
                                 where s.lead_id = each and s.wa_id is not null
                                 order by s.wa_id_at desc, s.wa_id desc limit 1),
           (bsuid, bsuid_at) = (select s.bsuid, s.at from public.wa_lead_sightings s
                                 where s.lead_id = each and s.bsuid is not null
                                 order by s.at desc, s.bsuid desc limit 1),
           (name, name_at) = (select s.name, s.at from public.wa_lead_sightings s
                               where s.lead_id = each and s.name is not null
                               order by s.at desc, s.name desc limit 1),
           (username, username_at) = (select s.username, s.at from public.wa_lead_sightings s
                                       where s.lead_id = each and s.username is not null
                                       order by s.at desc, s.username desc limit 1),
           (first_event_at, last_event_at, last_inbound_at) =
             (select min(nullif(s.at, ''))::timestamptz, max(nullif(s.at, ''))::timestamptz,
                     max(nullif(s.at, '')) filter (where s.inbound)::timestamptz
                from public.wa_lead_sightings s where s.lead_id = each)
     where l.id = each;
  end loop;
end $$;

-- Attribute anew the events that name a number alone, and those of numbers that were changed to or from it.
create function public.wa_internal_look_again(p_scope text, p_number text)
returns void language plpgsql set search_path = '' as $$
declare
  found_numbers text[] := array[p_number];
  waiting text[] := array[p_number];
  touched bigint[] := '{}'::bigint[];
  each text;
  linked text;
  fact record;
  whose_id bigint;
begin
  while cardinality(waiting) > 0 loop
    each := waiting[cardinality(waiting)];
    waiting := trim_array(waiting, 1);
    for fact in select s.event_id, s.ident, s.place, s.at, s.inbound, s.lead_id from public.wa_lead_sightings s
                 where s.scope = p_scope and s.number = each and not s.named loop
      whose_id := public.wa_internal_whose(p_scope, each, fact.at || '~', fact.inbound);
      if whose_id is distinct from fact.lead_id then
        touched := touched || whose_id || fact.lead_id;
        perform public.wa_internal_attribute(fact.event_id, fact.ident, fact.place, fact.lead_id, whose_id);
      end if;
    end loop;
    -- The numbers that somebody, whom no user id tells, changed to or from this one.
    for linked in
      select c.new_number from public.wa_number_changes c
       where c.scope = p_scope and c.old_number = each and c.new_number is not null and c.ident is null
      union
      select c.old_number from public.wa_number_changes c
       where c.scope = p_scope and c.new_number = each and c.old_number is not null and c.ident is null
    loop
      if linked <> all (found_numbers) then
        waiting := waiting || linked;
        found_numbers := found_numbers || linked;
      end if;
    end loop;
  end loop;
  foreach each in array found_numbers loop
    perform public.wa_internal_say_whose(p_scope, each);
  end loop;
  perform public.wa_internal_recount(array(select distinct t from unnest(touched) t order by t));
end $$;

-- Give what one sighting tells to another lead.
create function public.wa_internal_attribute(
  p_event_id bigint, p_ident text, p_place integer, p_other_id bigint, p_lead_id bigint
) returns void language plpgsql set search_path = '' as $$
begin
  update public.wa_lead_sightings s set lead_id = p_lead_id where s.event_id = p_event_id and s.ident = p_ident;
  update public.wa_messages m set lead_id = p_lead_id where m.lead_event_id = p_event_id and m.lead_id = p_other_id;
  update public.wa_message_statuses t set lead_id = p_lead_id
   where t.event_id = p_event_id and t.lead_id = p_other_id;
  update public.wa_calls c set lead_id = p_lead_id where c.lead_event_id = p_event_id and c.lead_id = p_other_id;
  update public.wa_lead_events n set lead_id = p_lead_id where n.event_id = p_event_id and n.ident = p_ident;
  if p_place = 0 then
    update public.wa_events e set lead_id = p_lead_id where e.id = p_event_id;
    update public.wa_actions a set lead_id = p_lead_id where a.event_id = p_event_id and a.lead_id = p_other_id;
  end if;
end $$;

-- Make two leads one, the older id staying; return it.
create function public.wa_internal_merge(p_one bigint, p_other bigint)
returns bigint language plpgsql set search_path = '' as $$
declare
  kept bigint := least(p_one, p_other);
  gone bigint := greatest(p_one, p_other);
begin
  update public.wa_lead_identities t set lead_id = kept where t.lead_id = gone;
  update public.wa_lead_sightings t set lead_id = kept where t.lead_id = gone;
  update public.wa_events t set lead_id = kept where t.lead_id = gone;
  update public.wa_messages t set lead_id = kept where t.lead_id = gone;
  update public.wa_message_statuses t set lead_id = kept where t.lead_id = gone;
  update public.wa_calls t set lead_id = kept where t.lead_id = gone;
  update public.wa_lead_events t set lead_id = kept where t.lead_id = gone;
  update public.wa_actions t set lead_id = kept where t.lead_id = gone;
  perform public.wa_internal_recount(array[kept]);
  delete from public.wa_leads l where l.id = gone;
  return kept;
end $$;

create function public.wa_internal_identified(p_scope text, p_kind text, p_value text)
returns bigint language plpgsql set search_path = '' as $$
begin
  return (select i.lead_id from public.wa_lead_identities i
           where i.scope = p_scope and i.kind = p_kind and i.value = p_value);
end $$;

create function public.wa_internal_identify(p_scope text, p_kind text, p_value text, p_number text, p_lead_id bigint)
returns void language plpgsql set search_path = '' as $$
begin
  insert into public.wa_lead_identities as i (scope, kind, value, number, lead_id)
  values (p_scope, p_kind, p_value, p_number, p_lead_id)
  on conflict (scope, kind, value) do update set lead_id = excluded.lead_id
   where i.lead_id <> excluded.lead_id and i.kind <> 'wa_id';  -- whose a number is, say_whose says
end $$;

-- The lead of somebody with user ids, `p_named` (kind and value each, best first), who are one; made if it is new. Who
-- was known so far by one of the numbers alone keeps that lead as they get a user id.
create function public.wa_internal_lead_of_user(p_scope text, p_at text, p_named jsonb, p_numbers jsonb)
returns bigint language plpgsql set search_path = '' as $$
declare
  found_id bigint;
  other bigint;
  each jsonb;
  holding record;
begin
  for each in select * from jsonb_array_elements(p_named) loop
    -- Asked for at first, as a merge moves what was asked.
    other := public.wa_internal_identified(p_scope, each ->> 0, each ->> 1);
    if found_id is null then
      found_id := other;
    elsif other is not null and other <> found_id then
      found_id := public.wa_internal_merge(found_id, other);
    end if;
  end loop;
  if found_id is null then
    for each in select * from jsonb_array_elements(p_numbers) loop
      holding := public.wa_internal_holding(each ->> 0, each ->> 1, p_at || '~');
      if holding.lead_id is null then
        found_id := public.wa_internal_holder(each ->> 0, holding.number, holding.since);
      end if;
      if found_id is not null then
        delete from public.wa_number_holders h where h.lead_id = found_id;
        exit;
      end if;
    end loop;
  end if;
  if found_id is null then
    insert into public.wa_leads (scope) values (p_scope) returning id into found_id;
  end if;
  for each in select * from jsonb_array_elements(p_named) loop
    perform public.wa_internal_identify(p_scope, each ->> 0, each ->> 1, null, found_id);
  end loop;
  return found_id;
end $$;

-- Whether a sighting may change whose events those are that name the number alone.
create function public.wa_internal_is_news(
  p_scope text, p_number text, p_at text, p_changed boolean, p_lead_id bigint
) returns boolean language plpgsql set search_path = '' as $$
declare
  entry record;
begin
  if not exists (select from public.wa_lead_sightings s
                  where s.scope = p_scope and s.number = p_number and not s.named)
     and not exists (select from public.wa_number_changes c
                      where c.scope = p_scope and c.old_number = p_number and c.ident is null)
     and not exists (select from public.wa_number_changes c
                      where c.scope = p_scope and c.new_number = p_number and c.ident is null) then
    return false;
  elsif p_changed then
    return true;
  end if;
  entry := public.wa_internal_entry_before(p_scope, p_number, p_at || '~');
  return entry.rank is null or entry.rank = 1 or entry.lead_id is distinct from p_lead_id;
end $$;

-- Enter one sighting, a row of `sightings` as `wa_finish` takes it.
create function public.wa_internal_see(p_event_id bigint, p_seen jsonb)
returns void language plpgsql set search_path = '' as $$
declare
  s record;
  news jsonb;
  each jsonb;
  user_id jsonb;
  found_id bigint;
begin
  -- `names` are user ids: kind and value; `numbers` scope and number; `phones` scope, number and as it is written. They
  -- are told of who changed; of others they are the ids of the one person.
  select * into s from jsonb_to_record(p_seen) as t (
    ident text, person integer, scope text, at text, named boolean, number text, wa_id text, wa_id_at text, bsuid text,
    parent text, name text, username text, inbound boolean, changed boolean, old_number text, new_number text,
    names jsonb, numbers jsonb, phones jsonb);
  if not s.changed then
    s.names := case when s.bsuid <> '' then jsonb_build_array(jsonb_build_array('bsuid', s.bsuid)) else '[]' end
      || case when s.parent <> '' then jsonb_build_array(jsonb_build_array('parent_bsuid', s.parent)) else '[]' end;
    s.numbers := '[]';
    s.phones := '[]';
    if s.number is not null then
      s.numbers := jsonb_build_array(jsonb_build_array(s.scope, s.number));
      s.phones := jsonb_build_array(jsonb_build_array(s.scope, s.number, s.wa_id));
    end if;
  end if;
  if s.named then
    user_id := s.names -> 0;
    found_id := public.wa_internal_lead_of_user(s.scope, s.at, s.names, s.numbers);
    select coalesce(jsonb_agg(n), '[]') into news from jsonb_array_elements(s.numbers) n
     where public.wa_internal_is_news(n ->> 0, n ->> 1, s.at, s.changed, found_id);
    perform public.wa_internal_change_number(p_event_id, s.scope, s.at, s.changed, s.old_number, s.new_number, user_id);
  else
    perform public.wa_internal_change_number(p_event_id, s.scope, s.at, s.changed, s.old_number, s.new_number, null);
    news := case when s.changed then s.numbers else '[]' end;
    found_id := public.wa_internal_whose(s.numbers -> 0 ->> 0, s.numbers -> 0 ->> 1, s.at || '~', s.inbound);
  end if;
  insert into public.wa_lead_sightings (event_id, ident, place, lead_id, scope, at, named, number, wa_id, wa_id_at,
    bsuid, name, username, inbound)
  values (p_event_id, s.ident, s.person, found_id, s.scope, s.at, s.named, s.number, s.wa_id, s.wa_id_at,
    s.bsuid, s.name, s.username, s.inbound)
  on conflict (event_id, ident) do update
     set place = excluded.place, lead_id = excluded.lead_id, at = excluded.at, named = excluded.named,
         number = excluded.number, wa_id = excluded.wa_id, wa_id_at = excluded.wa_id_at, bsuid = excluded.bsuid,
         name = excluded.name, username = excluded.username, inbound = excluded.inbound;
  perform public.wa_internal_join_leads(jsonb_build_array(p_seen || '{"place": 1}'), array[found_id]);
  for each in select * from jsonb_array_elements(news) loop
    perform public.wa_internal_look_again(each ->> 0, each ->> 1);
  end loop;
  for each in select * from jsonb_array_elements(s.phones) loop
    if public.wa_internal_identified(each ->> 0, 'wa_id', each ->> 2) is distinct from found_id then
      perform public.wa_internal_identify(each ->> 0, 'wa_id', each ->> 2, each ->> 1, found_id);
      perform public.wa_internal_say_whose(each ->> 0, each ->> 1);
    end if;
  end loop;
end $$;

-- Note that the person of a sighting gave up one number for another, if the event says so.
create function public.wa_internal_change_number(
  p_event_id bigint, p_scope text, p_at text, p_changed boolean, p_old text, p_new text, p_user jsonb
) returns void language plpgsql set search_path = '' as $$
begin
  if not p_changed or (p_old is null and p_new is null) then
    return;
  end if;
  insert into public.wa_number_changes (event_id, scope, at, old_number, new_number, kind, ident)
  values (p_event_id, p_scope, p_at, p_old, p_new, p_user ->> 0, p_user ->> 1)
  on conflict (event_id) do update
     set scope = excluded.scope, at = excluded.at, old_number = excluded.old_number,
         new_number = excluded.new_number, kind = excluded.kind, ident = excluded.ident;
end $$;

-- Add to leads what sightings tell: newest values, by (time, value); widest span of times. `p_leads` has the lead of
-- each row's `place`; nothing is added for one that is 0. An empty wa_id says that the number is not known any more.
create function public.wa_internal_join_leads(p_seen jsonb, p_leads bigint[])
returns void language plpgsql set search_path = '' as $$
begin
  insert into public.wa_leads as l (id, scope, wa_id, wa_id_at, bsuid, bsuid_at, name, name_at, username, username_at,
    first_event_at, last_event_at, last_inbound_at)
  select j.id, j.scope, nullif(substr(j.wa_id, strpos(j.wa_id, ' ') + 1), ''), split_part(j.wa_id, ' ', 1),
         substr(j.bsuid, strpos(j.bsuid, ' ') + 1), split_part(j.bsuid, ' ', 1),
         substr(j.name, strpos(j.name, ' ') + 1), split_part(j.name, ' ', 1),
         substr(j.username, strpos(j.username, ' ') + 1), split_part(j.username, ' ', 1),
         nullif(j.first_at, '')::timestamptz, nullif(j.last_at, '')::timestamptz, nullif(j.inbound_at, '')::timestamptz
    from (select p_leads[s.place] as id, min(s.scope) as scope,
                 -- Neither a time nor an empty one has a space in it, and a space is less than any digit.
                 max(s.wa_id_at || ' ' || s.wa_id) as wa_id, max(s.at || ' ' || s.bsuid) as bsuid,
                 max(s.at || ' ' || s.name) as name, max(s.at || ' ' || s.username) as username,
                 min(nullif(s.at, '')) as first_at, max(s.at) as last_at, max(s.at) filter (where s.inbound) as inbound_at
            from jsonb_to_recordset(p_seen) as s (
                   place integer, scope text collate "C", at text collate "C", wa_id text collate "C",
                   wa_id_at text collate "C", bsuid text collate "C", name text collate "C",
                   username text collate "C", inbound boolean)
           where p_leads[s.place] > 0
           group by 1) j
   order by j.id
  on conflict (id) do update
     set wa_id = case when excluded.wa_id_at is not null and (l.wa_id_at is null
                   or (excluded.wa_id_at, coalesce(excluded.wa_id, '')) > (l.wa_id_at, coalesce(l.wa_id, '')))
                 then excluded.wa_id else l.wa_id end,
         wa_id_at = case when excluded.wa_id_at is not null and (l.wa_id_at is null
                      or (excluded.wa_id_at, coalesce(excluded.wa_id, '')) > (l.wa_id_at, coalesce(l.wa_id, '')))
                    then excluded.wa_id_at else l.wa_id_at end,
         bsuid = case when excluded.bsuid is not null and (l.bsuid_at is null
                   or (excluded.bsuid_at, excluded.bsuid) > (l.bsuid_at, l.bsuid)) then excluded.bsuid else l.bsuid end,
         bsuid_at = case when excluded.bsuid is not null and (l.bsuid_at is null
                      or (excluded.bsuid_at, excluded.bsuid) > (l.bsuid_at, l.bsuid))
                    then excluded.bsuid_at else l.bsuid_at end,
         name = case when excluded.name is not null and (l.name_at is null
                  or (excluded.name_at, excluded.name) > (l.name_at, l.name)) then excluded.name else l.name end,
         name_at = case when excluded.name is not null and (l.name_at is null
                     or (excluded.name_at, excluded.name) > (l.name_at, l.name))
                   then excluded.name_at else l.name_at end,
         username = case when excluded.username is not null and (l.username_at is null
                      or (excluded.username_at, excluded.username) > (l.username_at, l.username))
                    then excluded.username else l.username end,
         username_at = case when excluded.username is not null and (l.username_at is null
                         or (excluded.username_at, excluded.username) > (l.username_at, l.username))
                       then excluded.username_at else l.username_at end,
         first_event_at = least(l.first_event_at, excluded.first_event_at),
         last_event_at = greatest(l.last_event_at, excluded.last_event_at),
         last_inbound_at = greatest(l.last_inbound_at, excluded.last_inbound_at);
end $$;

insert into public.wa_migrations (name) values ('0010_leads') on conflict do nothing;
