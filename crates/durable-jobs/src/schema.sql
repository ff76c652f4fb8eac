-- Our own tables, beside the engine's. Idempotent: it runs again whenever a table or a column is missing.
create schema if not exists abaci;

-- One row per worker: who works here, since when, and whether it still does.
-- A worker also holds a session lock on its executor id; the row alone is not proof of life.
create table if not exists abaci.presence (
    executor_id         text primary key,
    incarnation         text not null,
    host                text not null,
    pid                 integer not null,
    application_version text not null,
    queue               text not null,
    concurrency         integer not null,
    draining            boolean not null default false,
    started_at          timestamptz not null default now(),
    heartbeat_at        timestamptz not null default now()
);

-- One row per job whose computing processes died: how often, and of what last. Gone when the job is resumed.
create table if not exists abaci.deaths (
    workflow_uuid text primary key,
    deaths        integer not null,
    last_reason   text not null,
    at            timestamptz not null default now()
);

-- What somebody granted a job beyond the limits of the workers.
create table if not exists abaci.allowances (
    workflow_uuid text primary key,
    memory_bytes  bigint not null,
    at            timestamptz not null default now()
);

-- What each worker's longer jobs are at, as it said with its last heartbeat: an array of objects, at most a hundred.
alter table abaci.presence add column if not exists running jsonb not null default '[]';

-- What this database is called among all others: its artifacts are kept under that name.
-- A copy of it has another oid, and so another name: what either refers to is no garbage of the other.
create table if not exists abaci.names (
    database oid primary key,
    name     uuid not null default gen_random_uuid()
);

-- The queue of each job that has left it: the engine clears a job's queue when somebody cancels it, whatever the client, and
-- moves one that another client resumes to a queue of its own. Gone when the job is resumed.
create table if not exists abaci.former_queues (
    workflow_uuid text primary key,
    queue_name    text not null
);

-- With the rights of whoever made the tables: the client that cancels may have none here.
create or replace function abaci.remember_queue() returns trigger language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into abaci.former_queues (workflow_uuid, queue_name) values (old.workflow_uuid, old.queue_name)
        on conflict (workflow_uuid) do update set queue_name = excluded.queue_name;
    return null;
end $$;

-- The one place that every cancellation passes; of other updates it costs a comparison.
do $$
begin
    if not exists (select from pg_trigger
        where tgrelid = 'dbos.workflow_status'::regclass and tgname = 'abaci_remember_queue')
    then
        create trigger abaci_remember_queue after update of queue_name on dbos.workflow_status for each row
            when (old.queue_name is distinct from new.queue_name
                and old.queue_name not in ('', '_dbos_internal_queue'))
            execute function abaci.remember_queue();
    end if;
end $$;

-- How far each worker's clock is ahead of this server's, as it was at the last heartbeat.
alter table abaci.presence add column if not exists clock_offset_ms bigint;

-- What a newer DBOS keeps beside a row: from its schema 109 on, the input of a job that it enqueues. Nothing where there is
-- no such table, at whatever moment it comes.
create or replace function abaci.input_of(job text) returns text language plpgsql stable as $$
begin
    if to_regclass('dbos.workflow_input') is null then
        return null;
    end if;
    return (select inputs from dbos.workflow_input where workflow_uuid = job);
end $$;

-- Removes the same of jobs that are deleted.
create or replace function abaci.forget_payloads(jobs text[]) returns void language plpgsql as $$
begin
    if to_regclass('dbos.workflow_input') is not null then
        delete from dbos.workflow_input where workflow_uuid = any(jobs);
        delete from dbos.workflow_output where workflow_uuid = any(jobs);
    end if;
end $$;

-- Where the worker's process is to be looked for: boot and namespaces, its number, its start. Absent where nobody can.
alter table abaci.presence add column if not exists pid_space text;

-- The types of jobs that the worker runs, by their workflows. Absent where it is of a program that does not say.
alter table abaci.presence add column if not exists workflows text[];

-- Keeps a job that another tool of DBOS resumes on its own queue, where workers count their slots and a pause holds; the
-- engine's internal one, where the tool puts it, knows neither. A delay that it had is over: somebody wants it now. Rows that
-- say to be of another application stay as they are.
create or replace function abaci.keep_resumed() returns trigger language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
begin
    new.queue_name := coalesce(nullif(nullif(old.queue_name, ''), '_dbos_internal_queue'),
        (select queue_name from abaci.former_queues where workflow_uuid = new.workflow_uuid), new.queue_name);
    new.delay_until_epoch_ms := null;
    return new;
end $$;

-- Gives a fork, whoever makes it, what the engine does not copy of its origin: the queue, the rank, the timeout, and an input
-- that a newer DBOS keeps beside the row.
create or replace function abaci.keep_forked() returns trigger language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
declare
    origin dbos.workflow_status;
begin
    select * into origin from dbos.workflow_status where workflow_uuid = new.forked_from;
    if coalesce(origin.application_name, 'abaci') <> 'abaci' then
        return new;
    end if;
    if new.queue_name = '_dbos_internal_queue' then
        new.queue_name := coalesce(nullif(nullif(origin.queue_name, ''), '_dbos_internal_queue'),
            (select queue_name from abaci.former_queues where workflow_uuid = origin.workflow_uuid), new.queue_name);
    end if;
    new.priority := coalesce(origin.priority, new.priority);
    new.workflow_timeout_ms := coalesce(new.workflow_timeout_ms, origin.workflow_timeout_ms);
    new.inputs := coalesce(new.inputs, abaci.input_of(origin.workflow_uuid));
    return new;
end $$;

do $$
begin
    if not exists (select from pg_trigger
        where tgrelid = 'dbos.workflow_status'::regclass and tgname = 'abaci_keep_forked')
    then
        create trigger abaci_keep_resumed before update of queue_name on dbos.workflow_status for each row
            when (new.queue_name = '_dbos_internal_queue' and new.status = 'ENQUEUED'
                and coalesce(new.application_name, 'abaci') = 'abaci')
            execute function abaci.keep_resumed();
        create trigger abaci_keep_forked before insert on dbos.workflow_status for each row
            when (new.forked_from is not null)
            execute function abaci.keep_forked();
    end if;
end $$;

-- The rows whose last change is told by none of the dates that have indexes: jobs that went back to a queue, whose delay passed,
-- or whose words somebody changed. Usual jobs are never in it. Making it reads the table once, while nobody may write to it:
-- 0.2 s for a million rows.
create index if not exists abaci_changed_otherwise on dbos.workflow_status (updated_at)
    where updated_at > greatest(created_at, started_at_epoch_ms, completed_at) + 1000;
