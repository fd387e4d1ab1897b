-- Plain events, many at a time: new ones that are about nobody, or about one person of whom there is no doubt, who is
-- known by all the ids that the event names, or by none of them. The rows that come of it are the same as one by one
-- (0010_leads), in a fraction of the time. See stores/sqlite/together.py.

-- Settle the events that have an id in `p_ids`, by place, as far as they are plain and can be stored; return the places
-- of the others. What cannot be stored is looked for by halves.
create function public.wa_internal_together(p_rows jsonb, p_ids bigint[], p_now timestamptz, p_version text)
returns integer[] language plpgsql set search_path = '' as $$
declare
  v_places integer[];
  v_half integer;
begin
  begin
    return public.wa_internal_settle_plain(p_rows, p_ids, p_now, p_version);
  exception when others then
    if not public.wa_internal_is_refusal(sqlstate) then
      raise;
    end if;
  end;
  v_places := array(select t.n from unnest(p_ids) with ordinality as t (id, n) where t.id > 0 order by 1);
  if cardinality(v_places) = 1 then
    return v_places;
  end if;
  v_half := v_places[(cardinality(v_places) + 1) / 2];
  return public.wa_internal_together(p_rows, public.wa_internal_between(p_ids, 0, v_half), p_now, p_version)
    || public.wa_internal_together(p_rows, public.wa_internal_between(p_ids, v_half, cardinality(p_ids)), p_now, p_version);
end $$;

-- The ids of the places after one and up to another; 0 for the others.
create function public.wa_internal_between(p_ids bigint[], p_after integer, p_last integer)
returns bigint[] language plpgsql immutable set search_path = '' as $$
begin
  return array(select case when t.n > p_after and t.n <= p_last then t.id else 0 end
                 from unnest(p_ids) with ordinality as t (id, n) order by t.n);
end $$;

create function public.wa_internal_settle_plain(p_rows jsonb, p_ids bigint[], p_now timestamptz, p_version text)
returns integer[] language plpgsql set search_path = '' as $$
declare
  v_ids bigint[] := p_ids;
  v_leads bigint[];
  v_new boolean[];
  v_left integer[] := '{}'::integer[];
begin
  if p_rows ? 'sightings' then
    select array_agg(coalesce(w.lead_id, 0) order by t.n), array_agg(coalesce(w.is_new, false) order by t.n),
           array_agg(case when w.is_doubtful then 0 else t.id end order by t.n),
           coalesce(array_agg(t.n::integer) filter (where w.is_doubtful), '{}')
      into v_leads, v_new, v_ids, v_left
      from unnest(p_ids) with ordinality as t (id, n)
      left join public.wa_internal_who(p_rows -> 'sightings', p_ids) w on w.place = t.n;
    perform public.wa_internal_join_leads(p_rows -> 'sightings', v_leads);
  end if;

  insert into public.wa_events (id, tipo_evento, payload_original, fecha_recepcion, error, event_key, digest,
    delivery_id, position, event_at, account_id, phone_number_id, message_id, call_id, lead_id, state, attempts,
    next_attempt_at, error_class, handled_by, handler_version, run_id)
  overriding system value
  select v_ids[r.place], r.type, r.payload::json, r.received_at, r.error, r.key, r.digest,
         r.delivery_id, r.position, r.at, r.account_id, r.phone_number_id, r.message_id, r.call_id,
         nullif(v_leads[r.place], 0), r.state, 1, r.next_attempt_at, r.error_class, r.handled_by, p_version, r.run_id
    from jsonb_to_recordset(p_rows -> 'events') as r (
           place integer, type text, payload text, received_at timestamptz, error text, key text, digest text,
           delivery_id bigint, "position" integer, at timestamptz, account_id text, phone_number_id text,
           message_id text, call_id text, state text, next_attempt_at timestamptz, error_class text, handled_by text,
           run_id text)
   where v_ids[r.place] > 0
   order by r.place;
  insert into public.wa_attempts (event_id, attempt, at, state, error, error_class, handler_version, run_id)
  select v_ids[r.place], 1, p_now, r.state, r.error, r.error_class, p_version, r.run_id
    from jsonb_to_recordset(p_rows -> 'events') as r (
           place integer, state text, error text, error_class text, run_id text)
   where v_ids[r.place] > 0
   order by r.place;
  if p_rows ? 'sightings' then
    perform public.wa_internal_sighted(p_rows -> 'sightings', v_ids, v_leads, v_new);
  end if;
  perform public.wa_internal_write(p_rows, v_ids, v_leads);
  return v_left;
end $$;

-- Who the one person of each event is: a lead that is known, or one that is to be made (its id is taken then). Where
-- 0010_leads has to find out, it is doubtful.
create function public.wa_internal_who(p_seen jsonb, p_ids bigint[])
returns table (place integer, lead_id bigint, is_new boolean, is_doubtful boolean)
language plpgsql set search_path = '' as $$
#variable_conflict use_column
begin
  return query
  with seen as materialized (
    select r.place, r.scope, r.number, r.wa_id, nullif(r.bsuid, '') as bsuid, nullif(r.parent, '') as parent,
           case when r.bsuid <> '' then 'bsuid' when r.parent <> '' then 'parent_bsuid' else 'number' end as kind,
           coalesce(nullif(r.bsuid, ''), nullif(r.parent, ''), r.number) as value
      from jsonb_to_recordset(p_seen) as r (
             place integer, scope text collate "C", number text collate "C", wa_id text collate "C",
             bsuid text collate "C", parent text collate "C")
     where p_ids[r.place] > 0
  ), numbers as (
    -- What there is of each number: who holds it from the first, entries of its history, others who are known by it;
    -- and who names it here.
    select n.*,
           (select h.lead_id from public.wa_number_holders h
             where h.scope = n.scope and h.number = n.number and h.since = '') as holder,
           exists (select from public.wa_lead_sightings s
                    where s.scope = n.scope and s.number = n.number and s.named) as named,
           exists (select from public.wa_lead_sightings s
                    where s.scope = n.scope and s.number = n.number and not s.named) as unnamed,
           exists (select from public.wa_number_changes c where c.scope = n.scope and c.old_number = n.number)
             or exists (select from public.wa_number_changes c
                         where c.scope = n.scope and c.new_number = n.number) as changed,
           exists (select from public.wa_number_holders h where h.scope = n.scope and h.number = n.number)
             or exists (select from public.wa_lead_identities i
                         where i.number = n.number and i.scope = n.scope) as known
      from (select scope, number, count(distinct kind || value) filter (where kind <> 'number') as users
              from seen where number is not null group by 1, 2) n
  ), parents as (
    select scope, parent, count(distinct coalesce(bsuid, '')) as users from seen where parent is not null group by 1, 2
  ), known as (
    select s.*, i.lead_id as of_user, j.lead_id as of_parent, k.lead_id as of_phone, n.holder, n.named, n.unnamed,
           n.changed, coalesce(not (n.named or n.unnamed or n.changed or n.known), true) as is_news,
           coalesce(n.users, 0) as users, coalesce(p.users, 0) as children
      from seen s
      left join public.wa_lead_identities i on i.scope = s.scope and i.kind = s.kind and i.value = s.value
      left join public.wa_lead_identities j
        on j.scope = s.scope and j.kind = 'parent_bsuid' and j.value = s.parent and s.kind = 'bsuid'
      left join public.wa_lead_identities k on k.scope = s.scope and k.kind = 'wa_id' and k.value = s.wa_id
      left join numbers n on n.scope = s.scope and n.number = s.number
      left join parents p on p.scope = s.scope and p.parent = s.parent
  ), decided as (
    select s.place, s.scope, s.kind, s.value,
           case when s.kind <> 'number' then s.of_user else s.holder end as lead_id,
           case when s.kind = 'number' then
                  -- Its history tells whose it was when, or somebody else here tells more.
                  case when s.number is null or s.wa_id is null or s.named or s.changed or s.users > 0 then true
                       when s.holder is not null then s.of_phone is distinct from s.holder
                       else not s.is_news end
                -- Somebody else's events may turn out to be theirs.
                when s.unnamed or s.changed then true
                when s.of_user is not null then
                  -- Two who may be one, or a number that may be somebody else's.
                  (s.parent is not null and s.kind = 'bsuid' and s.of_parent is distinct from s.of_user)
                  or (s.wa_id <> '' and s.of_phone is distinct from s.of_user)
                else s.of_parent is not null or s.children > 1 or s.users > 1 or not s.is_news
           end as is_doubtful
      from known s
  ), made as materialized (
    select m.scope, m.kind, m.value, nextval('public.wa_leads_id_seq') as id
      from (select d.scope, d.kind, d.value from decided d
             where d.lead_id is null and not coalesce(d.is_doubtful, false)
             group by 1, 2, 3 order by min(d.place)) m
  )
  select d.place, case when not coalesce(d.is_doubtful, false) then coalesce(d.lead_id, m.id) end,
         m.id is not null and not coalesce(d.is_doubtful, false), coalesce(d.is_doubtful, false)
    from decided d
    left join made m on m.scope = d.scope and m.kind = d.kind and m.value = d.value and d.lead_id is null;
end $$;

-- Enter the sightings, and what the new ones among the leads are known by.
create function public.wa_internal_sighted(p_seen jsonb, p_ids bigint[], p_leads bigint[], p_new boolean[])
returns void language plpgsql set search_path = '' as $$
begin
  insert into public.wa_lead_sightings (event_id, ident, place, lead_id, scope, at, named, number, wa_id, wa_id_at,
    bsuid, name, username, inbound)
  select p_ids[r.place], r.ident, r.person, p_leads[r.place], r.scope, r.at, r.named, r.number, r.wa_id, r.wa_id_at,
         r.bsuid, r.name, r.username, r.inbound
    from jsonb_to_recordset(p_seen) as r (
           place integer, ident text, person integer, scope text, at text, named boolean, number text, wa_id text,
           wa_id_at text, bsuid text, name text, username text, inbound boolean)
   where p_ids[r.place] > 0
   order by r.place;
  if true = any (p_new) then
    insert into public.wa_number_holders (scope, number, since, lead_id)
    select distinct r.scope, r.number, '', p_leads[r.place]
      from jsonb_to_recordset(p_seen) as r (place integer, scope text, number text, named boolean)
     where p_new[r.place] and p_ids[r.place] > 0 and not r.named;
    insert into public.wa_lead_identities (scope, kind, value, number, lead_id)
    select distinct r.scope, i.kind, i.value, i.number, p_leads[r.place]
      from jsonb_to_recordset(p_seen) as r (
             place integer, scope text, number text, wa_id text, bsuid text, parent text)
     cross join lateral (values ('bsuid', r.bsuid, null), ('parent_bsuid', r.parent, null),
                                ('wa_id', r.wa_id, r.number)) as i (kind, value, number)
     where p_new[r.place] and p_ids[r.place] > 0 and i.value <> '';
  end if;
end $$;

insert into public.wa_migrations (name) values ('0013_together') on conflict do nothing;
