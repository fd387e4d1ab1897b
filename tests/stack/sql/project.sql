-- What the database of a Supabase project holds before the first migration.
alter schema public owner to postgres;
create schema extensions authorization postgres;
create extension pgcrypto with schema extensions;
grant usage on schema public, extensions to anon, authenticated, service_role;

-- Until 2026-10-30, whatever was made in public was open to all three roles at once.
alter default privileges for role postgres in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges for role postgres in schema public grant all on sequences to anon, authenticated, service_role;
alter default privileges for role postgres in schema public grant all on functions to anon, authenticated, service_role;

-- PostgREST learns of new functions by itself.
create function extensions.announce_ddl() returns event_trigger language plpgsql as $$
begin
  notify pgrst, 'reload schema';
end $$;
create event trigger announce_ddl on ddl_command_end execute function extensions.announce_ddl();
create event trigger announce_drop on sql_drop execute function extensions.announce_ddl();
