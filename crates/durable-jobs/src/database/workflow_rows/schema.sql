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
-- The starts of jobs that did not end them, or that ended jobs which started again; and those that were cancelled, of which
-- the engine forgets when they began. The last start of any other job is in its row, so that a job without trouble has none here.
create table if not exists abaci.attempts (
    workflow_uuid text not null,
    number        integer not null,
    executor_id   text not null,
    -- Of the worker; absent where another process has its executor id by now.
    pid           integer,
    -- When the worker claimed it, which is the same for all of whose computing processes died.
    claimed_at_ms bigint not null,
    started_at_ms bigint not null,
    ended_at_ms   bigint not null,
    end_kind      text not null,
    end_reason    text,
    primary key (workflow_uuid, number)
);

-- For the next worker of a slot, which knows how the last one ended.
create index if not exists attempts_of_the_gone on abaci.attempts (executor_id) where end_kind = 'worker_gone';

-- Keeps one start, once, and the last hundred of its job. One that was followed by the end of its job is that end.
create or replace function abaci.keep_attempt(job dbos.workflow_status, kind text, reason text, ended_ms bigint) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    last abaci.attempts;
    process abaci.presence;
    is_same boolean;
    next integer;
begin
    select * into last from abaci.attempts where workflow_uuid = job.workflow_uuid order by number desc limit 1;
    is_same := coalesce(last.claimed_at_ms = job.started_at_epoch_ms and last.executor_id = job.executor_id, false);
    if is_same and (last.end_kind <> 'process_died' or kind = 'parked') then
        update abaci.attempts set end_kind = kind, end_reason = reason, ended_at_ms = coalesce(ended_ms, ended_at_ms)
            where workflow_uuid = job.workflow_uuid and number = last.number
                and kind in ('succeeded', 'failed', 'parked', 'cancelled');
        return;
    end if;
    -- A process that came later is not the one that had the job.
    select * into process from abaci.presence
        where executor_id = job.executor_id and extract(epoch from started_at) * 1000 <= job.started_at_epoch_ms + 1;
    if kind = 'worker_gone' then
        ended_ms := (extract(epoch from process.heartbeat_at) * 1000)::bigint;
    end if;
    ended_ms := coalesce(ended_ms, (extract(epoch from clock_timestamp()) * 1000)::bigint);
    next := greatest(coalesce(last.number, 0) + 1, least(coalesce(job.recovery_attempts, 0), 1000000));
    insert into abaci.attempts (workflow_uuid, number, executor_id, pid, claimed_at_ms, started_at_ms, ended_at_ms, end_kind, end_reason)
        values (job.workflow_uuid, next, job.executor_id, process.pid, job.started_at_epoch_ms,
            case when is_same then last.ended_at_ms else job.started_at_epoch_ms end,
            greatest(ended_ms, case when is_same then last.ended_at_ms else job.started_at_epoch_ms end), kind, left(reason, 16384))
        on conflict do nothing;
    delete from abaci.attempts where workflow_uuid = job.workflow_uuid and number <= next - 100;
end $$;

-- Says how a start ended whose row changes now, and keeps it. A run leaves its token, a UUID of version 7, in the row when its
-- body begins: what nobody began was no start, but where its cancellation shows that somebody had claimed it.
-- Before rows are put back, their owner is marked: with the claim taken off the count where a worker that drains hands back.
create or replace function abaci.note_attempt() returns trigger language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
begin
    if old.started_at_epoch_ms is null or old.executor_id is null or coalesce(old.application_name, 'abaci') <> 'abaci'
        or old.status in ('ENQUEUED', 'DELAYED') then
        return null;
    end if;
    if old.status = 'SUCCESS' then
        perform abaci.keep_attempt(old, 'succeeded', null, old.completed_at);
    elsif old.status = 'ERROR' then
        perform abaci.keep_attempt(old, case when old.error ~ '"kind" *: *"parked"' then 'parked' else 'failed' end,
            old.error, old.completed_at);
    elsif old.status = 'CANCELLED' or new.status = 'CANCELLED' then
        perform abaci.keep_attempt(old, 'cancelled',
            case when old.workflow_deadline_epoch_ms <= extract(epoch from clock_timestamp()) * 1000 then 'its time was over' end,
            coalesce(old.completed_at, new.completed_at));
    elsif new.status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED' then
        perform abaci.keep_attempt(old, 'parked', null, null);
    elsif coalesce(substr(old.owner_xid, 15, 1) = '7', false) then
        perform abaci.keep_attempt(old, case when new.recovery_attempts >= old.recovery_attempts then 'worker_gone'
            when new.status = 'PENDING' then 'handed_back' else 'given_back' end, null, null);
    end if;
    return null;
end $$;

-- The start of a computing process that died, after which its worker starts another.
create or replace function abaci.note_death() returns trigger language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
declare
    job dbos.workflow_status;
begin
    select * into job from dbos.workflow_status where workflow_uuid = new.workflow_uuid and status = 'PENDING';
    if job.started_at_epoch_ms is not null and job.executor_id is not null then
        perform abaci.keep_attempt(job, 'process_died', new.last_reason, null);
    end if;
    return null;
end $$;

-- Forgets the starts of jobs that are deleted, whoever deletes them.
create or replace function abaci.forget_attempts() returns trigger language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from abaci.attempts kept using gone where kept.workflow_uuid = gone.workflow_uuid;
    return null;
end $$;

-- Of the updates of a job without trouble, it costs those of its start and of its end a comparison, which the server reads
-- anew for each statement: so it is short, and the function looks at the rest.
do $$
begin
    if not exists (select from pg_trigger
        where tgrelid = 'dbos.workflow_status'::regclass and tgname = 'abaci_note_attempt')
    then
        create trigger abaci_note_attempt after update of status, owner_xid on dbos.workflow_status for each row
            when (new.status not in ('PENDING', 'SUCCESS', 'ERROR') or starts_with(new.owner_xid, 'abaci '))
            execute function abaci.note_attempt();
    end if;
    if not exists (select from pg_trigger
        where tgrelid = 'dbos.workflow_status'::regclass and tgname = 'abaci_forget_attempts')
    then
        create trigger abaci_forget_attempts after delete on dbos.workflow_status referencing old table as gone
            for each statement execute function abaci.forget_attempts();
    end if;
    -- It outlives the engine's schema, which others may make anew.
    if not exists (select from pg_trigger where tgrelid = 'abaci.deaths'::regclass and tgname = 'abaci_note_death') then
        create trigger abaci_note_death after insert or update of deaths on abaci.deaths for each row
            execute function abaci.note_death();
    end if;
end $$;

-- The starts of a job that are kept, for whoever may use this schema.
create or replace function abaci.attempts_of(job text) returns jsonb language sql stable
    security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce(jsonb_agg(to_jsonb(kept) order by number), '[]') from abaci.attempts kept where workflow_uuid = job
$$;

-- Says how the process ended that was gone, so many milliseconds ago.
create or replace function abaci.name_death(worker text, process integer, how text, age_ms bigint) returns void language sql
    security definer set search_path = pg_catalog, pg_temp as $$
    update abaci.attempts set end_kind = 'worker_died', end_reason = how,
        ended_at_ms = greatest(started_at_ms, (extract(epoch from clock_timestamp()) * 1000)::bigint - age_ms)
    where executor_id = worker and pid = process and end_kind = 'worker_gone'
$$;

-- The end of the process that worked here before, as whoever started both saw it; null where nobody said.
alter table abaci.presence add column if not exists last_pid integer;
alter table abaci.presence add column if not exists last_exit text;
alter table abaci.presence add column if not exists last_exit_at timestamptz;
