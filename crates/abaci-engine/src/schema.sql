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
