CREATE SCHEMA abaci;
CREATE SCHEMA dbos;
CREATE FUNCTION abaci.forget_payloads(jobs text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    if to_regclass('dbos.workflow_input') is not null then
        delete from dbos.workflow_input where workflow_uuid = any(jobs);
        delete from dbos.workflow_output where workflow_uuid = any(jobs);
    end if;
end $$;
CREATE FUNCTION abaci.input_of(job text) RETURNS text
    LANGUAGE plpgsql STABLE
    AS $$
begin
    if to_regclass('dbos.workflow_input') is null then
        return null;
    end if;
    return (select inputs from dbos.workflow_input where workflow_uuid = job);
end $$;
CREATE FUNCTION abaci.remember_queue() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    insert into abaci.former_queues (workflow_uuid, queue_name) values (old.workflow_uuid, old.queue_name)
        on conflict (workflow_uuid) do update set queue_name = excluded.queue_name;
    return null;
end $$;
CREATE FUNCTION dbos.enqueue_workflow(workflow_name text, queue_name text, positional_args json[] DEFAULT ARRAY[]::json[], named_args json DEFAULT '{}'::json, class_name text DEFAULT NULL::text, config_name text DEFAULT NULL::text, workflow_id text DEFAULT NULL::text, app_version text DEFAULT NULL::text, timeout_ms bigint DEFAULT NULL::bigint, deadline_epoch_ms bigint DEFAULT NULL::bigint, deduplication_id text DEFAULT NULL::text, priority integer DEFAULT NULL::integer, queue_partition_key text DEFAULT NULL::text, authenticated_user text DEFAULT NULL::text, authenticated_roles text DEFAULT NULL::text, delay_until_epoch_ms bigint DEFAULT NULL::bigint, application_name text DEFAULT NULL::text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_workflow_id TEXT;
    v_serialized_inputs TEXT;
    v_owner_xid TEXT;
    v_now BIGINT;
    v_recovery_attempts INT4 := 0;
    v_priority INT4;
    v_status TEXT;
BEGIN
    -- Validate required parameters
    IF workflow_name IS NULL OR workflow_name = '' THEN
        RAISE EXCEPTION 'Workflow name cannot be null or empty';
    END IF;
    IF queue_name IS NULL OR queue_name = '' THEN
        RAISE EXCEPTION 'Queue name cannot be null or empty';
    END IF;
    IF named_args IS NOT NULL AND jsonb_typeof(named_args::jsonb) != 'object' THEN
        RAISE EXCEPTION 'Named args must be a JSON object';
    END IF;
    IF workflow_id IS NOT NULL AND workflow_id = '' THEN
        RAISE EXCEPTION 'Workflow ID cannot be an empty string if provided.';
    END IF;
    IF delay_until_epoch_ms IS NOT NULL AND delay_until_epoch_ms < 0 THEN
        RAISE EXCEPTION 'delay_until_epoch_ms must be >= 0';
    END IF;
    v_workflow_id := COALESCE(workflow_id, gen_random_uuid()::TEXT);
    v_owner_xid := gen_random_uuid()::TEXT;
    v_priority := COALESCE(priority, 0);
    v_serialized_inputs := json_build_object(
        'positionalArgs', positional_args,
        'namedArgs', named_args
    )::TEXT;
    v_now := EXTRACT(epoch FROM now()) * 1000;
    v_status := CASE WHEN delay_until_epoch_ms IS NULL THEN 'ENQUEUED' ELSE 'DELAYED' END;
    INSERT INTO "dbos".workflow_status (
        workflow_uuid, status, inputs,
        name, class_name, config_name,
        queue_name, deduplication_id, priority, queue_partition_key,
        application_version,
        created_at, updated_at, recovery_attempts,
        workflow_timeout_ms, workflow_deadline_epoch_ms,
        parent_workflow_id, owner_xid, serialization,
        authenticated_user, authenticated_roles,
        delay_until_epoch_ms, application_name
    ) VALUES (
        v_workflow_id, v_status, v_serialized_inputs,
        workflow_name, class_name, config_name,
        queue_name, deduplication_id, v_priority, queue_partition_key,
        app_version,
        v_now, v_now, v_recovery_attempts,
        timeout_ms, deadline_epoch_ms,
        NULL, v_owner_xid, 'portable_json',
        authenticated_user, authenticated_roles,
        delay_until_epoch_ms, application_name
    )
    ON CONFLICT (workflow_uuid)
    DO UPDATE SET
        updated_at = EXCLUDED.updated_at;
    RETURN v_workflow_id;
EXCEPTION
    WHEN unique_violation THEN
        RAISE EXCEPTION 'DBOS queue duplicated'
            USING DETAIL = format('Workflow %s with queue %s and deduplication ID %s already exists', v_workflow_id, queue_name, deduplication_id),
                ERRCODE = 'unique_violation';
END;
$$;
CREATE FUNCTION dbos.notifications_function() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    payload text := NEW.destination_uuid || '::' || NEW.topic;
BEGIN
    PERFORM pg_notify('dbos_notifications_channel', payload);
    RETURN NEW;
END;
$$;
CREATE FUNCTION dbos.send_message(destination_id text, message json, topic text DEFAULT NULL::text, message_id text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_topic TEXT := COALESCE(topic, '__null__topic__');
    v_message_id TEXT := COALESCE(message_id, gen_random_uuid()::TEXT);
BEGIN
    INSERT INTO "dbos".notifications (
        destination_uuid, topic, message, message_uuid, serialization
    ) VALUES (
        destination_id, v_topic, message, v_message_id, 'portable_json'
    )
    ON CONFLICT (message_uuid) DO NOTHING;
EXCEPTION
    WHEN foreign_key_violation THEN
        RAISE EXCEPTION 'DBOS non-existent workflow'
            USING DETAIL = format('Destination workflow %s does not exist', destination_id),
                ERRCODE = 'foreign_key_violation';
END;
$$;
CREATE TABLE abaci.allowances (
    workflow_uuid text NOT NULL,
    memory_bytes bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE abaci.deaths (
    workflow_uuid text NOT NULL,
    deaths integer NOT NULL,
    last_reason text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE abaci.former_queues (
    workflow_uuid text NOT NULL,
    queue_name text NOT NULL
);
CREATE TABLE abaci.names (
    database oid NOT NULL,
    name uuid DEFAULT gen_random_uuid() NOT NULL
);
CREATE TABLE abaci.presence (
    executor_id text NOT NULL,
    incarnation text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    application_version text NOT NULL,
    queue text NOT NULL,
    concurrency integer NOT NULL,
    draining boolean DEFAULT false NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    heartbeat_at timestamp with time zone DEFAULT now() NOT NULL,
    running jsonb DEFAULT '[]'::jsonb NOT NULL,
    clock_offset_ms bigint,
    pid_space text
);
CREATE TABLE dbos.application_versions (
    version_id text NOT NULL,
    version_name text NOT NULL,
    version_timestamp bigint DEFAULT ((EXTRACT(epoch FROM now()) * (1000)::numeric))::bigint NOT NULL,
    created_at bigint DEFAULT ((EXTRACT(epoch FROM now()) * (1000)::numeric))::bigint NOT NULL,
    application_name text
);
CREATE TABLE dbos.dbos_migrations (
    version bigint NOT NULL
);
CREATE TABLE dbos.event_dispatch_kv (
    service_name text NOT NULL,
    workflow_fn_name text NOT NULL,
    key text NOT NULL,
    value text,
    update_seq numeric(38,0),
    update_time numeric(38,15)
);
CREATE TABLE dbos.notifications (
    destination_uuid text NOT NULL,
    topic text,
    message text NOT NULL,
    created_at_epoch_ms bigint DEFAULT ((EXTRACT(epoch FROM now()) * (1000)::numeric))::bigint NOT NULL,
    message_uuid text DEFAULT gen_random_uuid() NOT NULL,
    serialization text,
    consumed boolean DEFAULT false NOT NULL
);
CREATE TABLE dbos.operation_outputs (
    workflow_uuid text NOT NULL,
    function_id integer NOT NULL,
    function_name text DEFAULT ''::text NOT NULL,
    output text,
    error text,
    child_workflow_id text,
    started_at_epoch_ms bigint,
    completed_at_epoch_ms bigint,
    serialization text,
    application_name text
);
CREATE TABLE dbos.queues (
    queue_id text DEFAULT (gen_random_uuid())::text NOT NULL,
    name text NOT NULL,
    concurrency integer,
    worker_concurrency integer,
    rate_limit_max integer,
    rate_limit_period_sec double precision,
    priority_enabled boolean DEFAULT false NOT NULL,
    partition_queue boolean DEFAULT false NOT NULL,
    polling_interval_sec double precision DEFAULT 1.0 NOT NULL,
    created_at bigint DEFAULT ((EXTRACT(epoch FROM now()) * 1000.0))::bigint NOT NULL,
    updated_at bigint DEFAULT ((EXTRACT(epoch FROM now()) * 1000.0))::bigint NOT NULL,
    application_name text,
    partition_concurrency integer,
    partition_worker_concurrency integer,
    partition_rate_limit_max integer,
    partition_rate_limit_period_sec double precision
);
CREATE TABLE dbos.streams (
    workflow_uuid text NOT NULL,
    key text NOT NULL,
    value text NOT NULL,
    "offset" integer NOT NULL,
    function_id integer DEFAULT 0 NOT NULL,
    serialization text
);
CREATE TABLE dbos.workflow_events (
    workflow_uuid text NOT NULL,
    key text NOT NULL,
    value text NOT NULL,
    serialization text
);
CREATE TABLE dbos.workflow_events_history (
    workflow_uuid text NOT NULL,
    function_id integer NOT NULL,
    key text NOT NULL,
    value text NOT NULL,
    serialization text
);
CREATE TABLE dbos.workflow_schedules (
    schedule_id text NOT NULL,
    schedule_name text NOT NULL,
    workflow_name text NOT NULL,
    workflow_class_name text,
    schedule text NOT NULL,
    status text DEFAULT 'ACTIVE'::text NOT NULL,
    context text NOT NULL,
    last_fired_at text,
    automatic_backfill boolean DEFAULT false NOT NULL,
    cron_timezone text,
    queue_name text,
    application_name text
);
CREATE TABLE dbos.workflow_status (
    workflow_uuid text NOT NULL,
    status text,
    name text,
    authenticated_user text,
    assumed_role text,
    authenticated_roles text,
    request text,
    output text,
    error text,
    executor_id text,
    created_at bigint DEFAULT ((EXTRACT(epoch FROM now()) * (1000)::numeric))::bigint NOT NULL,
    updated_at bigint DEFAULT ((EXTRACT(epoch FROM now()) * (1000)::numeric))::bigint NOT NULL,
    application_version text,
    application_id text,
    class_name character varying(255) DEFAULT NULL::character varying,
    config_name character varying(255) DEFAULT NULL::character varying,
    recovery_attempts bigint DEFAULT 0,
    queue_name text,
    workflow_timeout_ms bigint,
    workflow_deadline_epoch_ms bigint,
    inputs text,
    started_at_epoch_ms bigint,
    deduplication_id text,
    priority integer DEFAULT 0 NOT NULL,
    queue_partition_key text,
    forked_from text,
    owner_xid text,
    parent_workflow_id text,
    serialization text,
    delay_until_epoch_ms bigint,
    was_forked_from boolean DEFAULT false NOT NULL,
    rate_limited boolean DEFAULT false NOT NULL,
    completed_at bigint,
    attributes jsonb,
    schedule_name text,
    debounce_deadline_epoch_ms bigint,
    is_debounced boolean DEFAULT false NOT NULL,
    application_name text
);
INSERT INTO abaci.former_queues VALUES
	('old-stepwise', 'fibonacci');
INSERT INTO abaci.names VALUES
	(16384, 'c846a032-807d-47d4-a5c7-c99f5e1db17d');
INSERT INTO abaci.presence VALUES
	('old-host/0', '01a21989-a3ca-771f-8f3a-a0e178ed7df8', 'old-host', 17935, 'abaci-1', 'fibonacci', 1, false, '2026-11-26 20:26:20.580223+00', '2026-11-26 20:26:43.596243+00', '[{"n": 100000, "step": null, "bytes": null, "phase": null, "attempt": 1, "seconds": 22.975761253, "progress": null, "algorithm": "giant", "workflow_id": "old-giant"}]', 0, 'boot-of-the-old-host/pid:[4026531836]/time:[4026531834] 17935 2964540'),
	('old-host/1', '01a21989-eaf6-731a-b437-1e5ad1094b46', 'old-host', 18684, 'abaci-1', 'other', 1, false, '2026-11-26 20:26:38.778328+00', '2026-11-26 20:26:42.781743+00', '[]', -1, 'boot-of-the-old-host/pid:[4026531836]/time:[4026531834] 18684 2966362');
INSERT INTO dbos.application_versions VALUES
	('5a1c2704-71f0-4fa7-97bf-6c9096822e00', 'abaci-1', 1795724753832, 1795724753832, 'abaci');
INSERT INTO dbos.dbos_migrations VALUES
	(108);
INSERT INTO dbos.operation_outputs VALUES
	('old-done', 0, 'compute', '{"value":"354224848179261915075","artifact":null,"digits":21,"head":"35422484817926191507","tail":"54224848179261915075","seconds":0.000029444,"pid":15067,"executor_id":"old-host/0"}', NULL, NULL, 1795724753870, 1795724753877, 'rust_serde', 'abaci'),
	('old-done', 1, 'certify', '{"certificate":{"primes":["2305843009213691579","2305843009213690799","2305843009213685819"],"residues":["1430867769567103488","1430867769567222828","1430867769567984768"],"digits":21,"blake3":"0a22571164e5beeebdba36f47032435e75081e0eb08360cc2e5c7fcbbb1adb88"},"artifact":null}', NULL, NULL, 1795724753884, 1795724753885, 'rust_serde', 'abaci'),
	('old-done', 2, 'publish', '{"n":100,"algorithm":"doubling","value":"354224848179261915075","digits":21,"head":"35422484817926191507","tail":"54224848179261915075","certificate":{"primes":["2305843009213691579","2305843009213690799","2305843009213685819"],"residues":["1430867769567103488","1430867769567222828","1430867769567984768"],"digits":21,"blake3":"0a22571164e5beeebdba36f47032435e75081e0eb08360cc2e5c7fcbbb1adb88"},"seconds":0.000029444,"pid":15067,"executor_id":"old-host/0","attempts":1}', NULL, NULL, 1795724753892, 1795724753892, 'rust_serde', 'abaci'),
	('old-artifact', 0, 'compute', '{"value":null,"artifact":{"uri":"file://@ARTIFACTS@/cde7266d23fbb3e805a7eb0df0c1e0c8dfe72b63557dbff15e70631a06a1e6ba.txt","blake3":"cde7266d23fbb3e805a7eb0df0c1e0c8dfe72b63557dbff15e70631a06a1e6ba","bytes":20899},"digits":20899,"head":"25974069347221724166","tail":"49895374653428746875","seconds":0.000581723,"pid":15067,"executor_id":"old-host/0"}', NULL, NULL, 1795724753919, 1795724753922, 'rust_serde', 'abaci'),
	('old-artifact', 1, 'certify', '{"certificate":{"primes":["2305843009213691579","2305843009213690799","2305843009213685819"],"residues":["444261690925762383","1289940027102866927","1729579531634132970"],"digits":20899,"blake3":"cde7266d23fbb3e805a7eb0df0c1e0c8dfe72b63557dbff15e70631a06a1e6ba"},"artifact":{"uri":"file://@ARTIFACTS@/cde7266d23fbb3e805a7eb0df0c1e0c8dfe72b63557dbff15e70631a06a1e6ba.txt","blake3":"cde7266d23fbb3e805a7eb0df0c1e0c8dfe72b63557dbff15e70631a06a1e6ba","bytes":20899}}', NULL, NULL, 1795724753924, 1795724753927, 'rust_serde', 'abaci'),
	('old-artifact', 2, 'publish', '{"n":100000,"algorithm":"doubling","digits":20899,"head":"25974069347221724166","tail":"49895374653428746875","artifact":{"uri":"file://@ARTIFACTS@/cde7266d23fbb3e805a7eb0df0c1e0c8dfe72b63557dbff15e70631a06a1e6ba.txt","blake3":"cde7266d23fbb3e805a7eb0df0c1e0c8dfe72b63557dbff15e70631a06a1e6ba","bytes":20899},"certificate":{"primes":["2305843009213691579","2305843009213690799","2305843009213685819"],"residues":["444261690925762383","1289940027102866927","1729579531634132970"],"digits":20899,"blake3":"cde7266d23fbb3e805a7eb0df0c1e0c8dfe72b63557dbff15e70631a06a1e6ba"},"seconds":0.000581723,"pid":15067,"executor_id":"old-host/0","attempts":1}', NULL, NULL, 1795724753929, 1795724753929, 'rust_serde', 'abaci'),
	('old-failed', 0, 'add', '{"index":2,"value":"1","nanoseconds":4418}', NULL, NULL, 1795724758644, 1795724758644, 'rust_serde', 'abaci'),
	('old-failed', 1, 'add', '{"index":3,"value":"2","nanoseconds":7979}', NULL, NULL, 1795724758646, 1795724758646, 'rust_serde', 'abaci'),
	('old-failed', 2, 'add', '{"index":4,"value":"3","nanoseconds":12118}', NULL, NULL, 1795724758647, 1795724758656, 'rust_serde', 'abaci'),
	('old-failed', 3, 'add', '{"index":5,"value":"5","nanoseconds":23044}', NULL, NULL, 1795724758660, 1795724759661, 'rust_serde', 'abaci'),
	('old-failed', 4, 'add', '{"index":6,"value":"8","nanoseconds":27349}', NULL, NULL, 1795724759666, 1795724759666, 'rust_serde', 'abaci'),
	('old-failed', 5, 'add', '{"index":7,"value":"d","nanoseconds":32529}', NULL, NULL, 1795724759682, 1795724759683, 'rust_serde', 'abaci'),
	('old-failed', 6, 'add', '{"index":8,"value":"15","nanoseconds":36955}', NULL, NULL, 1795724759696, 1795724759696, 'rust_serde', 'abaci'),
	('old-failed', 7, 'add', '{"index":9,"value":"22","nanoseconds":40785}', NULL, NULL, 1795724759701, 1795724759701, 'rust_serde', 'abaci'),
	('old-failed', 8, 'add', '{"index":10,"value":"37","nanoseconds":45195}', NULL, NULL, 1795724759713, 1795724759714, 'rust_serde', 'abaci'),
	('old-failed', 9, 'add', '{"index":11,"value":"59","nanoseconds":47904}', NULL, NULL, 1795724759718, 1795724759719, 'rust_serde', 'abaci'),
	('old-failed', 10, 'add', '{"index":12,"value":"90","nanoseconds":50431}', NULL, NULL, 1795724759724, 1795724759724, 'rust_serde', 'abaci'),
	('old-failed', 11, 'add', '{"index":13,"value":"e9","nanoseconds":53070}', NULL, NULL, 1795724759731, 1795724759731, 'rust_serde', 'abaci'),
	('old-failed', 12, 'add', '{"index":14,"value":"179","nanoseconds":55666}', NULL, NULL, 1795724759734, 1795724759734, 'rust_serde', 'abaci'),
	('old-failed', 13, 'add', '{"index":15,"value":"262","nanoseconds":58352}', NULL, NULL, 1795724759740, 1795724759740, 'rust_serde', 'abaci'),
	('old-failed', 14, 'add', '{"index":16,"value":"3db","nanoseconds":61010}', NULL, NULL, 1795724759744, 1795724759744, 'rust_serde', 'abaci'),
	('old-failed', 15, 'add', '{"index":17,"value":"63d","nanoseconds":63737}', NULL, NULL, 1795724759749, 1795724759749, 'rust_serde', 'abaci'),
	('old-failed', 16, 'add', '{"index":18,"value":"a18","nanoseconds":66518}', NULL, NULL, 1795724759756, 1795724759756, 'rust_serde', 'abaci'),
	('old-failed', 17, 'add', '{"index":19,"value":"1055","nanoseconds":69682}', NULL, NULL, 1795724759770, 1795724759770, 'rust_serde', 'abaci'),
	('old-failed', 18, 'add', '{"index":20,"value":"1a6d","nanoseconds":72641}', NULL, NULL, 1795724759775, 1795724759775, 'rust_serde', 'abaci'),
	('old-failed', 19, 'certify', '{"computed":{"value":"6765","artifact":null,"digits":4,"head":"6765","tail":"6765","seconds":0.000072641,"pid":15067,"executor_id":"old-host/0"},"certified":{"certificate":{"primes":["2305843009213691579","2305843009213690799","2305843009213685819"],"residues":["6765","6765","6765"],"digits":4,"blake3":"633cd6d7dc26e1e9e151fa662559ece4d7786258cf7e58dc7a911558435b646f"},"artifact":null}}', NULL, NULL, 1795724759781, 1795724759782, 'rust_serde', 'abaci'),
	('old-failed', 20, 'publish', '{"n":20,"algorithm":"stepwise","value":"6765","digits":4,"head":"6765","tail":"6765","certificate":{"primes":["2305843009213691579","2305843009213690799","2305843009213685819"],"residues":["6765","6765","6765"],"digits":4,"blake3":"633cd6d7dc26e1e9e151fa662559ece4d7786258cf7e58dc7a911558435b646f"},"seconds":0.000072641,"pid":15067,"executor_id":"old-host/0","attempts":1}', NULL, NULL, 1795724759788, 1795724759789, 'rust_serde', 'abaci'),
	('old-stepwise', 0, 'add', '{"index":2,"value":"1","nanoseconds":4674}', NULL, NULL, 1795724778401, 1795724778402, 'rust_serde', 'abaci'),
	('old-stepwise', 1, 'add', '{"index":3,"value":"2","nanoseconds":7837}', NULL, NULL, 1795724778408, 1795724778408, 'rust_serde', 'abaci'),
	('old-stepwise', 2, 'add', '{"index":4,"value":"3","nanoseconds":10510}', NULL, NULL, 1795724778412, 1795724778412, 'rust_serde', 'abaci'),
	('old-stepwise', 3, 'add', '{"index":5,"value":"5","nanoseconds":13632}', NULL, NULL, 1795724778424, 1795724778427, 'rust_serde', 'abaci'),
	('old-stepwise', 4, 'add', '{"index":6,"value":"8","nanoseconds":16304}', NULL, NULL, 1795724778432, 1795724778432, 'rust_serde', 'abaci'),
	('old-stepwise', 5, 'add', '{"index":7,"value":"d","nanoseconds":18958}', NULL, NULL, 1795724778440, 1795724778440, 'rust_serde', 'abaci'),
	('old-stepwise', 6, 'add', '{"index":8,"value":"15","nanoseconds":21286}', NULL, NULL, 1795724778441, 1795724778441, 'rust_serde', 'abaci'),
	('old-stepwise', 7, 'add', '{"index":9,"value":"22","nanoseconds":24032}', NULL, NULL, 1795724778448, 1795724778452, 'rust_serde', 'abaci'),
	('old-stepwise', 8, 'add', '{"index":10,"value":"37","nanoseconds":25898}', NULL, NULL, 1795724778452, 1795724778453, 'rust_serde', 'abaci'),
	('old-stepwise', 9, 'add', '{"index":11,"value":"59","nanoseconds":28498}', NULL, NULL, 1795724778460, 1795724778464, 'rust_serde', 'abaci'),
	('old-stepwise', 10, 'add', '{"index":12,"value":"90","nanoseconds":30907}', NULL, NULL, 1795724778470, 1795724778470, 'rust_serde', 'abaci'),
	('old-stepwise', 11, 'add', '{"index":13,"value":"e9","nanoseconds":33388}', NULL, NULL, 1795724778476, 1795724778476, 'rust_serde', 'abaci'),
	('old-stepwise', 12, 'add', '{"index":14,"value":"179","nanoseconds":36676}', NULL, NULL, 1795724778481, 1795724778484, 'rust_serde', 'abaci'),
	('old-stepwise', 13, 'add', '{"index":15,"value":"262","nanoseconds":39040}', NULL, NULL, 1795724778488, 1795724778488, 'rust_serde', 'abaci'),
	('old-stepwise', 14, 'add', '{"index":16,"value":"3db","nanoseconds":41378}', NULL, NULL, 1795724778496, 1795724778496, 'rust_serde', 'abaci'),
	('old-stepwise', 15, 'add', '{"index":17,"value":"63d","nanoseconds":44026}', NULL, NULL, 1795724778500, 1795724778504, 'rust_serde', 'abaci'),
	('old-stepwise', 16, 'add', '{"index":18,"value":"a18","nanoseconds":46107}', NULL, NULL, 1795724778508, 1795724778508, 'rust_serde', 'abaci'),
	('old-stepwise', 17, 'add', '{"index":19,"value":"1055","nanoseconds":48323}', NULL, NULL, 1795724778516, 1795724778516, 'rust_serde', 'abaci'),
	('old-stepwise', 18, 'add', '{"index":20,"value":"1a6d","nanoseconds":50458}', NULL, NULL, 1795724778528, 1795724778528, 'rust_serde', 'abaci'),
	('old-stepwise', 19, 'add', '{"index":21,"value":"2ac2","nanoseconds":52601}', NULL, NULL, 1795724778531, 1795724778531, 'rust_serde', 'abaci'),
	('old-stepwise', 20, 'add', '{"index":22,"value":"452f","nanoseconds":54683}', NULL, NULL, 1795724778534, 1795724778534, 'rust_serde', 'abaci'),
	('old-stepwise', 21, 'add', '{"index":23,"value":"6ff1","nanoseconds":56813}', NULL, NULL, 1795724778542, 1795724778542, 'rust_serde', 'abaci'),
	('old-stepwise', 22, 'add', '{"index":24,"value":"b520","nanoseconds":59160}', NULL, NULL, 1795724778548, 1795724778548, 'rust_serde', 'abaci');
INSERT INTO dbos.operation_outputs VALUES
	('old-stepwise', 23, 'add', '{"index":25,"value":"12511","nanoseconds":61308}', NULL, NULL, 1795724778556, 1795724778556, 'rust_serde', 'abaci'),
	('old-stepwise', 24, 'add', '{"index":26,"value":"1da31","nanoseconds":63523}', NULL, NULL, 1795724778560, 1795724778560, 'rust_serde', 'abaci'),
	('old-stepwise', 25, 'add', '{"index":27,"value":"2ff42","nanoseconds":66052}', NULL, NULL, 1795724778568, 1795724778569, 'rust_serde', 'abaci'),
	('old-stepwise', 26, 'add', '{"index":28,"value":"4d973","nanoseconds":68541}', NULL, NULL, 1795724778577, 1795724778577, 'rust_serde', 'abaci'),
	('old-stepwise', 27, 'add', '{"index":29,"value":"7d8b5","nanoseconds":71256}', NULL, NULL, 1795724778581, 1795724778581, 'rust_serde', 'abaci'),
	('old-stepwise', 28, 'add', '{"index":30,"value":"cb228","nanoseconds":73435}', NULL, NULL, 1795724778584, 1795724778584, 'rust_serde', 'abaci'),
	('old-stepwise', 29, 'add', '{"index":31,"value":"148add","nanoseconds":76409}', NULL, NULL, 1795724778596, 1795724778596, 'rust_serde', 'abaci'),
	('old-stepwise', 30, 'add', '{"index":32,"value":"213d05","nanoseconds":78739}', NULL, NULL, 1795724778598, 1795724778598, 'rust_serde', 'abaci'),
	('old-stepwise', 31, 'add', '{"index":33,"value":"35c7e2","nanoseconds":81247}', NULL, NULL, 1795724778604, 1795724778604, 'rust_serde', 'abaci'),
	('old-stepwise', 32, 'add', '{"index":34,"value":"5704e7","nanoseconds":83837}', NULL, NULL, 1795724778612, 1795724778612, 'rust_serde', 'abaci'),
	('old-stepwise', 33, 'add', '{"index":35,"value":"8cccc9","nanoseconds":86699}', NULL, NULL, 1795724778624, 1795724778624, 'rust_serde', 'abaci'),
	('old-stepwise', 34, 'add', '{"index":36,"value":"e3d1b0","nanoseconds":89419}', NULL, NULL, 1795724778627, 1795724778627, 'rust_serde', 'abaci'),
	('old-stepwise', 35, 'add', '{"index":37,"value":"1709e79","nanoseconds":92151}', NULL, NULL, 1795724778633, 1795724778634, 'rust_serde', 'abaci'),
	('old-stepwise', 36, 'add', '{"index":38,"value":"2547029","nanoseconds":94409}', NULL, NULL, 1795724778636, 1795724778636, 'rust_serde', 'abaci'),
	('old-stepwise', 37, 'add', '{"index":39,"value":"3c50ea2","nanoseconds":97062}', NULL, NULL, 1795724778640, 1795724778644, 'rust_serde', 'abaci'),
	('old-stepwise', 38, 'add', '{"index":40,"value":"6197ecb","nanoseconds":99475}', NULL, NULL, 1795724778648, 1795724778648, 'rust_serde', 'abaci'),
	('old-stepwise', 39, 'add', '{"index":41,"value":"9de8d6d","nanoseconds":101671}', NULL, NULL, 1795724778652, 1795724778652, 'rust_serde', 'abaci'),
	('old-giant', 0, 'double', '{"k":50000,"artifact":{"uri":"file://@ARTIFACTS@/9b4ed1c56cbf7ec4193bd7b5d1aaf5b8-50000.state","blake3":"798141a8683a8ef2870120a4992ee64a31fc2c02a778d7371975cbc6e801902a","bytes":9342},"seconds":0.000202312}', NULL, NULL, 1795724780628, 1795724780630, 'rust_serde', 'abaci');
INSERT INTO dbos.workflow_status VALUES
	('old-stepwise', 'CANCELLED', 'fibonacci_stepwise', NULL, NULL, NULL, NULL, NULL, NULL, 'old-host/0', 1795724778383, 1795724780444, 'abaci-1', NULL, NULL, NULL, 1, NULL, NULL, NULL, '{"n":100,"algorithm":"stepwise"}', NULL, NULL, 0, NULL, NULL, '01a21989-9ba0-76fc-a744-0287752b4b56', NULL, 'rust_serde', NULL, false, false, 1795724780444, NULL, NULL, NULL, false, 'abaci'),
	('old-done', 'SUCCESS', 'fibonacci_workflow', NULL, NULL, NULL, NULL, '{"n":100,"algorithm":"doubling","value":"354224848179261915075","digits":21,"head":"35422484817926191507","tail":"54224848179261915075","certificate":{"primes":["2305843009213691579","2305843009213690799","2305843009213685819"],"residues":["1430867769567103488","1430867769567222828","1430867769567984768"],"digits":21,"blake3":"0a22571164e5beeebdba36f47032435e75081e0eb08360cc2e5c7fcbbb1adb88"},"seconds":0.000029444,"pid":15067,"executor_id":"old-host/0","attempts":1}', NULL, 'old-host/0', 1795724683838, 1795724753901, 'abaci-1', NULL, NULL, NULL, 1, 'fibonacci', NULL, NULL, '{"n":100,"algorithm":"doubling"}', 1795724753847, NULL, 0, NULL, NULL, '01a21989-3bcd-7598-b60b-bc4087c281d1', NULL, 'rust_serde', NULL, false, false, 1795724753901, NULL, NULL, NULL, false, 'abaci'),
	('old-artifact', 'SUCCESS', 'fibonacci_workflow', NULL, NULL, NULL, NULL, '{"n":100000,"algorithm":"doubling","digits":20899,"head":"25974069347221724166","tail":"49895374653428746875","artifact":{"uri":"file://@ARTIFACTS@/cde7266d23fbb3e805a7eb0df0c1e0c8dfe72b63557dbff15e70631a06a1e6ba.txt","blake3":"cde7266d23fbb3e805a7eb0df0c1e0c8dfe72b63557dbff15e70631a06a1e6ba","bytes":20899},"certificate":{"primes":["2305843009213691579","2305843009213690799","2305843009213685819"],"residues":["444261690925762383","1289940027102866927","1729579531634132970"],"digits":20899,"blake3":"cde7266d23fbb3e805a7eb0df0c1e0c8dfe72b63557dbff15e70631a06a1e6ba"},"seconds":0.000581723,"pid":15067,"executor_id":"old-host/0","attempts":1}', NULL, 'old-host/0', 1795724715490, 1795724753938, 'abaci-1', NULL, NULL, NULL, 1, 'fibonacci', NULL, NULL, '{"n":100000,"algorithm":"doubling"}', 1795724753906, NULL, 0, NULL, NULL, '01a21989-3bfc-725d-b443-a1b379265205', NULL, 'rust_serde', NULL, false, false, 1795724753938, NULL, NULL, NULL, false, 'abaci'),
	('old-failed', 'SUCCESS', 'fibonacci_stepwise', NULL, NULL, NULL, NULL, '{"n":20,"algorithm":"stepwise","value":"6765","digits":4,"head":"6765","tail":"6765","certificate":{"primes":["2305843009213691579","2305843009213690799","2305843009213685819"],"residues":["6765","6765","6765"],"digits":4,"blake3":"633cd6d7dc26e1e9e151fa662559ece4d7786258cf7e58dc7a911558435b646f"},"seconds":0.000072641,"pid":15067,"executor_id":"old-host/0","attempts":1}', NULL, 'old-host/0', 1795724758636, 1795724759794, 'abaci-1', NULL, NULL, NULL, 1, 'fibonacci', NULL, NULL, '{"n":20,"algorithm":"stepwise","fault":"error@5"}', 1795724758639, NULL, 0, NULL, NULL, '01a21989-4e72-728c-bc6e-1c31a6fe5b3b', NULL, 'rust_serde', NULL, false, false, 1795724759794, NULL, NULL, NULL, false, 'abaci'),
	('old-giant', 'PENDING', 'fibonacci_giant', NULL, NULL, NULL, NULL, NULL, NULL, 'old-host/0', 1795724780393, 1795724780620, 'abaci-1', NULL, NULL, NULL, 1, 'fibonacci', NULL, NULL, '{"n":100000,"algorithm":"giant"}', 1795724780602, NULL, 0, NULL, NULL, '01a21989-a44d-7752-925a-4c439f082372', NULL, 'rust_serde', NULL, false, false, NULL, NULL, NULL, NULL, false, 'abaci'),
	('old-parked', 'ERROR', 'fibonacci_workflow', NULL, NULL, NULL, NULL, NULL, '{"name":"UnreadableInput","message":"the input is not JSON: key must be a string at line 1 column 2","data":{"kind":"parked","attempt":0}}', 'old-host/1', 1795724798676, 1795724798809, 'abaci-1', NULL, NULL, NULL, 1, 'other', NULL, NULL, '{not json', 1795724798796, NULL, 0, NULL, NULL, NULL, NULL, 'portable_json', NULL, false, false, 1795724798809, NULL, NULL, NULL, false, 'abaci'),
	('old-refused', 'ERROR', 'fibonacci_workflow', NULL, NULL, NULL, NULL, NULL, '{"name":"InvalidRequest","message":"n is -1, which is not a non-negative integer; give one such as 100","data":{"kind":"terminal","attempt":0}}', 'old-host/1', 1795724798676, 1795724798828, 'abaci-1', NULL, NULL, NULL, 1, 'other', NULL, NULL, '-1', 1795724798812, NULL, 0, NULL, NULL, NULL, NULL, 'portable_json', NULL, false, false, 1795724798828, NULL, NULL, NULL, false, 'abaci'),
	('old-queued', 'ENQUEUED', 'fibonacci_workflow', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1795724804889, 1795724804889, 'abaci-1', NULL, NULL, NULL, 0, 'fibonacci', NULL, NULL, '{"n":200,"algorithm":"doubling"}', NULL, NULL, 0, NULL, NULL, '02485253-7331-466a-abbf-05bfdf862fbe', NULL, 'rust_serde', NULL, false, false, NULL, NULL, NULL, NULL, false, 'abaci');
ALTER TABLE ONLY abaci.allowances
    ADD CONSTRAINT allowances_pkey PRIMARY KEY (workflow_uuid);
ALTER TABLE ONLY abaci.deaths
    ADD CONSTRAINT deaths_pkey PRIMARY KEY (workflow_uuid);
ALTER TABLE ONLY abaci.former_queues
    ADD CONSTRAINT former_queues_pkey PRIMARY KEY (workflow_uuid);
ALTER TABLE ONLY abaci.names
    ADD CONSTRAINT names_pkey PRIMARY KEY (database);
ALTER TABLE ONLY abaci.presence
    ADD CONSTRAINT presence_pkey PRIMARY KEY (executor_id);
ALTER TABLE ONLY dbos.application_versions
    ADD CONSTRAINT application_versions_pkey PRIMARY KEY (version_id);
ALTER TABLE ONLY dbos.application_versions
    ADD CONSTRAINT application_versions_version_name_key UNIQUE (version_name);
ALTER TABLE ONLY dbos.dbos_migrations
    ADD CONSTRAINT dbos_migrations_pkey PRIMARY KEY (version);
ALTER TABLE ONLY dbos.event_dispatch_kv
    ADD CONSTRAINT event_dispatch_kv_pkey PRIMARY KEY (service_name, workflow_fn_name, key);
ALTER TABLE ONLY dbos.notifications
    ADD CONSTRAINT notifications_pkey PRIMARY KEY (message_uuid);
ALTER TABLE ONLY dbos.operation_outputs
    ADD CONSTRAINT operation_outputs_pkey PRIMARY KEY (workflow_uuid, function_id);
ALTER TABLE ONLY dbos.queues
    ADD CONSTRAINT queues_name_key UNIQUE (name);
ALTER TABLE ONLY dbos.queues
    ADD CONSTRAINT queues_pkey PRIMARY KEY (queue_id);
ALTER TABLE ONLY dbos.streams
    ADD CONSTRAINT streams_pkey PRIMARY KEY (workflow_uuid, key, "offset");
ALTER TABLE ONLY dbos.workflow_events_history
    ADD CONSTRAINT workflow_events_history_pkey PRIMARY KEY (workflow_uuid, function_id, key);
ALTER TABLE ONLY dbos.workflow_events
    ADD CONSTRAINT workflow_events_pkey PRIMARY KEY (workflow_uuid, key);
ALTER TABLE ONLY dbos.workflow_schedules
    ADD CONSTRAINT workflow_schedules_pkey PRIMARY KEY (schedule_id);
ALTER TABLE ONLY dbos.workflow_schedules
    ADD CONSTRAINT workflow_schedules_schedule_name_key UNIQUE (schedule_name);
ALTER TABLE ONLY dbos.workflow_status
    ADD CONSTRAINT workflow_status_pkey PRIMARY KEY (workflow_uuid);
CREATE INDEX idx_notifications ON dbos.notifications USING btree (destination_uuid, topic);
CREATE INDEX idx_operation_outputs_completed_at_function_name ON dbos.operation_outputs USING btree (completed_at_epoch_ms, function_name);
CREATE INDEX idx_workflow_status_attributes ON dbos.workflow_status USING gin (attributes) WHERE (attributes IS NOT NULL);
CREATE INDEX idx_workflow_status_completed_at ON dbos.workflow_status USING btree (completed_at) WHERE (completed_at IS NOT NULL);
CREATE INDEX idx_workflow_status_delayed ON dbos.workflow_status USING btree (delay_until_epoch_ms) WHERE (status = 'DELAYED'::text);
CREATE INDEX idx_workflow_status_failed ON dbos.workflow_status USING btree (status, created_at) WHERE (status = ANY (ARRAY['ERROR'::text, 'CANCELLED'::text, 'MAX_RECOVERY_ATTEMPTS_EXCEEDED'::text]));
CREATE INDEX idx_workflow_status_forked_from ON dbos.workflow_status USING btree (forked_from) WHERE (forked_from IS NOT NULL);
CREATE INDEX idx_workflow_status_in_flight ON dbos.workflow_status USING btree (queue_name, status, priority, created_at) WHERE (status = ANY (ARRAY['ENQUEUED'::text, 'PENDING'::text]));
CREATE INDEX idx_workflow_status_parent_workflow_id ON dbos.workflow_status USING btree (parent_workflow_id) WHERE (parent_workflow_id IS NOT NULL);
CREATE INDEX idx_workflow_status_partition_dequeue_v2 ON dbos.workflow_status USING btree (queue_name, status, queue_partition_key, priority, created_at, workflow_uuid) WHERE ((status = ANY (ARRAY['ENQUEUED'::text, 'PENDING'::text])) AND (queue_partition_key IS NOT NULL));
CREATE INDEX idx_workflow_status_pending ON dbos.workflow_status USING btree (created_at) WHERE (status = 'PENDING'::text);
CREATE INDEX idx_workflow_status_rate_limited ON dbos.workflow_status USING btree (queue_name, started_at_epoch_ms) WHERE (rate_limited = true);
CREATE INDEX idx_workflow_status_schedule_name ON dbos.workflow_status USING btree (schedule_name) WHERE (schedule_name IS NOT NULL);
CREATE INDEX idx_workflow_status_started_at ON dbos.workflow_status USING btree (started_at_epoch_ms) WHERE (started_at_epoch_ms IS NOT NULL);
CREATE INDEX idx_workflow_topic ON dbos.notifications USING btree (destination_uuid, topic);
CREATE UNIQUE INDEX uq_application_versions_owner_version ON dbos.application_versions USING btree (application_name, version_name) WHERE (application_name IS NOT NULL);
CREATE UNIQUE INDEX uq_application_versions_unclaimed_version ON dbos.application_versions USING btree (version_name) WHERE (application_name IS NULL);
CREATE UNIQUE INDEX uq_workflow_status_dedup_id ON dbos.workflow_status USING btree (queue_name, deduplication_id) WHERE (deduplication_id IS NOT NULL);
CREATE INDEX workflow_status_created_at_index ON dbos.workflow_status USING btree (created_at);
CREATE TRIGGER abaci_remember_queue AFTER UPDATE OF queue_name ON dbos.workflow_status FOR EACH ROW WHEN (((old.queue_name IS DISTINCT FROM new.queue_name) AND (old.queue_name <> ALL (ARRAY[''::text, '_dbos_internal_queue'::text])))) EXECUTE FUNCTION abaci.remember_queue();
CREATE TRIGGER dbos_notifications_trigger AFTER INSERT ON dbos.notifications FOR EACH ROW EXECUTE FUNCTION dbos.notifications_function();
ALTER TABLE ONLY dbos.notifications
    ADD CONSTRAINT notifications_destination_uuid_fkey FOREIGN KEY (destination_uuid) REFERENCES dbos.workflow_status(workflow_uuid) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY dbos.operation_outputs
    ADD CONSTRAINT operation_outputs_workflow_uuid_fkey FOREIGN KEY (workflow_uuid) REFERENCES dbos.workflow_status(workflow_uuid) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY dbos.streams
    ADD CONSTRAINT streams_workflow_uuid_fkey FOREIGN KEY (workflow_uuid) REFERENCES dbos.workflow_status(workflow_uuid) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY dbos.workflow_events_history
    ADD CONSTRAINT workflow_events_history_workflow_uuid_fkey FOREIGN KEY (workflow_uuid) REFERENCES dbos.workflow_status(workflow_uuid) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY dbos.workflow_events
    ADD CONSTRAINT workflow_events_workflow_uuid_fkey FOREIGN KEY (workflow_uuid) REFERENCES dbos.workflow_status(workflow_uuid) ON UPDATE CASCADE ON DELETE CASCADE;
