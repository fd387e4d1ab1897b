-- Rejections: the newest are kept, all are counted.

-- {rejections: [...], counts: [{hour, cause, rejected, last_at}], kept, nonce} -> {"kept": how many of these}
create function public.wa_reject(args jsonb) returns jsonb language plpgsql set search_path = '' as $$
declare
  before jsonb := public.wa_internal_answered(args->>'nonce');
  last_id bigint;
begin
  if before is not null then
    return before;
  end if;
  perform pg_advisory_xact_lock(22342, 0);  -- ids without gaps, in the order of the commits: they are a cursor
  select coalesce(max(r.id), 0) into last_id from public.wa_rejections r;
  insert into public.wa_rejections (id, at, status, cause, source_ip, size, body_sha256, request_id, detail)
  select last_id + r.ordinality, (r.value->>'at')::timestamptz, (r.value->>'status')::integer, r.value->>'cause',
         r.value->>'source_ip', (r.value->>'size')::bigint, r.value->>'body_sha256', r.value->>'request_id',
         r.value->>'detail'
    from jsonb_array_elements(args->'rejections') with ordinality r;
  delete from public.wa_rejections r
   where r.id <= last_id + jsonb_array_length(args->'rejections') - (args->>'kept')::bigint;
  insert into public.wa_rejection_counts as c (hour, cause, rejected, last_at)
  select n.value->>'hour', n.value->>'cause', (n.value->>'rejected')::bigint, (n.value->>'last_at')::timestamptz
    from jsonb_array_elements(args->'counts') n
      on conflict (hour, cause) do update
     set rejected = c.rejected + excluded.rejected, last_at = greatest(c.last_at, excluded.last_at);
  return public.wa_internal_remember(
    args->>'nonce', jsonb_build_object('kept', jsonb_array_length(args->'rejections')));
end $$;

-- {since, until, limit, after_id} -> {"rejections": [...]}
create function public.wa_rejections(args jsonb) returns json
  language plpgsql stable set search_path = '' set timezone = 'UTC' as $$
declare
  since timestamptz := coalesce((args->>'since')::timestamptz, '-infinity');
  before timestamptz := coalesce((args->>'until')::timestamptz, 'infinity');
  most integer := (args->>'limit')::integer;
begin
  if args->>'after_id' is null then
    return json_build_object('rejections', (
      select coalesce(json_agg(row_to_json(l) order by l.id), '[]')
        from (select * from public.wa_rejections r where r.at >= since and r.at < before
               order by r.id desc limit most) l));
  end if;
  return json_build_object('rejections', (
    select coalesce(json_agg(row_to_json(l) order by l.id), '[]')
      from (select * from public.wa_rejections r
             where r.id > (args->>'after_id')::bigint and r.at >= since and r.at < before
             order by r.id limit most) l));
end $$;

-- {hour} -> {"total", "last_at", "by_cause": [{cause, rejected}]}
create function public.wa_rejection_counts(args jsonb) returns json
  language plpgsql stable set search_path = '' set timezone = 'UTC' as $$
begin
  return json_build_object(
    'total', (select coalesce(sum(c.rejected), 0) from public.wa_rejection_counts c),
    'last_at', (select max(c.last_at) from public.wa_rejection_counts c),
    'by_cause', (
    select coalesce(json_agg(json_build_object('cause', n.cause, 'rejected', n.rejected)
                              order by n.rejected desc, n.cause), '[]')
      from (select c.cause, sum(c.rejected) as rejected from public.wa_rejection_counts c
             where c.hour >= args->>'hour' group by c.cause) n));
end $$;

insert into public.wa_migrations (name) values ('0004_rejections') on conflict do nothing;
