CREATE TYPE "public"."circuit_state" AS ENUM('CLOSED', 'OPEN', 'HALF_OPEN', 'FORCED_OPEN', 'FORCED_CLOSED');--> statement-breakpoint
CREATE TYPE "public"."dependency_policy" AS ENUM('cancel', 'continue', 'block');--> statement-breakpoint
CREATE TYPE "public"."task_event_kind" AS ENUM('submitted', 'unblocked', 'leased', 'started', 'succeeded', 'retry_scheduled', 'failed', 'released', 'lease_lost', 'cancel_requested', 'cancelled', 'paused', 'resumed', 'skipped', 'redriven', 'discarded');--> statement-breakpoint
CREATE TYPE "public"."task_state" AS ENUM('BLOCKED', 'PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED', 'SKIPPED');--> statement-breakpoint
CREATE TABLE "idempotency_key" (
	"namespace" text NOT NULL,
	"key" text NOT NULL,
	"task_id" uuid NOT NULL,
	"request_hash" "bytea" NOT NULL,
	CONSTRAINT "idempotency_key_namespace_key_pk" PRIMARY KEY("namespace","key")
);
--> statement-breakpoint
CREATE TABLE "key_bucket" (
	"namespace" text NOT NULL,
	"type" text NOT NULL,
	"limit_key" text NOT NULL,
	"tokens" double precision NOT NULL,
	"refill_time" timestamp with time zone NOT NULL,
	"full_time" timestamp with time zone NOT NULL,
	CONSTRAINT "key_bucket_namespace_type_limit_key_pk" PRIMARY KEY("namespace","type","limit_key")
);
--> statement-breakpoint
CREATE TABLE "limited_type" (
	"namespace" text NOT NULL,
	"type" text NOT NULL,
	"keyed" boolean NOT NULL,
	"concurrency_max" integer,
	"concurrency_per_key_max" integer,
	"rate_per_s" double precision,
	"burst" double precision,
	"key_rate_per_s" double precision,
	"key_burst" double precision,
	"tokens" double precision,
	"refill_time" timestamp with time zone,
	"adopt_time" timestamp with time zone,
	CONSTRAINT "limited_type_namespace_type_pk" PRIMARY KEY("namespace","type")
);
--> statement-breakpoint
CREATE TABLE "task" (
	"id" uuid PRIMARY KEY NOT NULL,
	"namespace" text NOT NULL,
	"type" text NOT NULL,
	"state" "task_state" NOT NULL,
	"limit_key" text DEFAULT '' NOT NULL,
	"priority" smallint NOT NULL,
	"attempt" integer DEFAULT 0 NOT NULL,
	"attempts_max" integer NOT NULL,
	"crashes" smallint DEFAULT 0 NOT NULL,
	"event_sequence" integer DEFAULT 1 NOT NULL,
	"create_time" timestamp with time zone NOT NULL,
	"available_time" timestamp with time zone NOT NULL,
	"started_time" timestamp with time zone,
	"finished_time" timestamp with time zone,
	"start_deadline" timestamp with time zone,
	"run_deadline" timestamp with time zone,
	"total_deadline" timestamp with time zone,
	"cancel_deadline" timestamp with time zone,
	"cancel_reason" text,
	"heartbeat_deadline" timestamp with time zone,
	"paused_time" timestamp with time zone,
	"discarded_time" timestamp with time zone,
	"start_ms" bigint,
	"delivery_ms" bigint,
	"heartbeat_ms" bigint,
	"run_ms" bigint NOT NULL,
	"total_ms" bigint,
	"lease_id" uuid,
	"session_id" uuid,
	"counted" boolean DEFAULT false NOT NULL,
	"retry_policy" jsonb,
	"labels" jsonb NOT NULL,
	"input" "bytea" NOT NULL,
	"input_content_type" text NOT NULL,
	"output" "bytea",
	"output_content_type" text,
	"error" jsonb,
	"error_fingerprint" text,
	"progress_percent" real,
	"progress_message" text,
	"checkpoint" "bytea",
	"idempotency_key" text,
	"creator" text NOT NULL,
	"dependency_count" smallint DEFAULT 0 NOT NULL,
	"has_dependents" boolean DEFAULT false NOT NULL,
	CONSTRAINT "task_running_is_leased" CHECK (state <> 'RUNNING' OR (lease_id IS NOT NULL AND session_id IS NOT NULL)),
	CONSTRAINT "task_final_is_finished" CHECK ((state IN ('SUCCEEDED', 'FAILED', 'CANCELLED', 'SKIPPED')) = (finished_time IS NOT NULL)),
	CONSTRAINT "task_priority_in_range" CHECK (priority BETWEEN 0 AND 9)
);
--> statement-breakpoint
CREATE TABLE "task_dependency" (
	"task_id" uuid NOT NULL,
	"position" smallint NOT NULL,
	"depends_on" uuid NOT NULL,
	"policy" "dependency_policy" NOT NULL,
	"waits" boolean NOT NULL,
	"shares_output" boolean NOT NULL,
	CONSTRAINT "task_dependency_task_id_position_pk" PRIMARY KEY("task_id","position")
);
--> statement-breakpoint
CREATE TABLE "task_event" (
	"task_id" uuid NOT NULL,
	"sequence" integer NOT NULL,
	"time" timestamp with time zone DEFAULT now() NOT NULL,
	"namespace" text NOT NULL,
	"type" text NOT NULL,
	"kind" "task_event_kind" NOT NULL,
	"state" "task_state" NOT NULL,
	"attempt" integer NOT NULL,
	"actor" text NOT NULL,
	"lease_id" uuid,
	"session_id" uuid,
	"error" jsonb,
	"reason" text,
	"retry_delay_ms" bigint,
	CONSTRAINT "task_event_task_id_sequence_time_pk" PRIMARY KEY("task_id","sequence","time")
) PARTITION BY RANGE ("time");
--> statement-breakpoint
-- Days are attached ahead of time (event-partitions.ts); this one only catches what no day covers.
CREATE TABLE "task_event_default" PARTITION OF "task_event" DEFAULT;
--> statement-breakpoint
CREATE TABLE "task_gate" (
	"namespace" text NOT NULL,
	"type" text NOT NULL,
	"paused_time" timestamp with time zone,
	"paused_by" text,
	"pause_reason" text,
	"circuit" "circuit_state" DEFAULT 'CLOSED' NOT NULL,
	"circuit_time" timestamp with time zone,
	"circuit_by" text,
	"circuit_reason" text,
	"probe_time" timestamp with time zone,
	"openings" integer DEFAULT 0 NOT NULL,
	"buckets" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"probes" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"probes_succeeded" integer DEFAULT 0 NOT NULL,
	CONSTRAINT "task_gate_namespace_type_pk" PRIMARY KEY("namespace","type")
);
--> statement-breakpoint
CREATE TABLE "task_type" (
	"namespace" text NOT NULL,
	"name" text NOT NULL,
	"description" text NOT NULL,
	"input_schema" text,
	"output_schema" text,
	"retry_policy" jsonb NOT NULL,
	"start_ms" bigint,
	"delivery_ms" bigint,
	"heartbeat_ms" bigint,
	"run_ms" bigint NOT NULL,
	"total_ms" bigint,
	"priority" smallint NOT NULL,
	"retention_ms" bigint NOT NULL,
	"limits" jsonb,
	"circuit_breaker" jsonb,
	"etag" text NOT NULL,
	"create_time" timestamp with time zone DEFAULT now() NOT NULL,
	"update_time" timestamp with time zone DEFAULT now() NOT NULL,
	"delete_time" timestamp with time zone,
	CONSTRAINT "task_type_namespace_name_pk" PRIMARY KEY("namespace","name")
);
--> statement-breakpoint
CREATE TABLE "worker_session" (
	"id" uuid PRIMARY KEY NOT NULL,
	"namespace" text NOT NULL,
	"principal" text NOT NULL,
	"secret_hash" "bytea" NOT NULL,
	"node" text NOT NULL,
	"task_types" jsonb NOT NULL,
	"slots" integer NOT NULL,
	"labels" jsonb NOT NULL,
	"sdk_name" text NOT NULL,
	"sdk_version" text NOT NULL,
	"build_version" text NOT NULL,
	"create_time" timestamp with time zone DEFAULT now() NOT NULL,
	"expire_time" timestamp with time zone NOT NULL,
	"drain_time" timestamp with time zone,
	"drain_deadline" timestamp with time zone,
	"drain_reason" text
);
--> statement-breakpoint
-- Most rows are updated three times in a short life: leave room on their page, and clean up early.
ALTER TABLE "task" SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.05);--> statement-breakpoint
-- A UUIDv7 (RFC 9562) of an instant: 48 bits of milliseconds, 12 bits of their fraction, 62 random bits. Made here, so
-- that ids follow the database's clock and no node's.
CREATE FUNCTION dstc_uuid7(at timestamptz) RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT encode(
    set_byte(
      set_byte(
        overlay(uuid_send(gen_random_uuid()) PLACING substring(int8send(us / 1000) FROM 3) FROM 1 FOR 6),
        6, (112 | ((us % 1000) * 4096 / 1000 >> 8))::int),
      7, ((us % 1000) * 4096 / 1000 & 255)::int),
    'hex')::uuid
  FROM (SELECT (extract(epoch FROM at) * 1000000)::bigint AS us) AS instant
$$;--> statement-breakpoint
CREATE INDEX "key_bucket_full" ON "key_bucket" USING btree ("full_time");--> statement-breakpoint
CREATE INDEX "task_pending" ON "task" USING btree ("namespace","type","limit_key","priority","available_time","id") WHERE state = 'PENDING' AND paused_time IS NULL;--> statement-breakpoint
CREATE INDEX "task_held" ON "task" USING btree ("namespace","type") WHERE state = 'BLOCKED' OR (state = 'PENDING' AND paused_time IS NOT NULL);--> statement-breakpoint
CREATE INDEX "task_counted" ON "task" USING btree ("namespace","type","limit_key") WHERE state = 'RUNNING' AND counted;--> statement-breakpoint
CREATE INDEX "task_running" ON "task" USING btree ("session_id") WHERE state = 'RUNNING';--> statement-breakpoint
CREATE INDEX "task_timer" ON "task" USING btree (LEAST(start_deadline, run_deadline, total_deadline, cancel_deadline, heartbeat_deadline)) WHERE state IN ('BLOCKED', 'PENDING', 'RUNNING') AND LEAST(start_deadline, run_deadline, total_deadline, cancel_deadline, heartbeat_deadline) IS NOT NULL;--> statement-breakpoint
CREATE INDEX "task_cancelling" ON "task" USING btree ("session_id") WHERE state = 'RUNNING' AND cancel_deadline IS NOT NULL;--> statement-breakpoint
CREATE INDEX "task_finished" ON "task" USING btree ("namespace","type","finished_time") WHERE finished_time IS NOT NULL;--> statement-breakpoint
CREATE INDEX "task_dead_letter" ON "task" USING btree ("namespace","id","type") WHERE state = 'FAILED' AND discarded_time IS NULL;--> statement-breakpoint
CREATE INDEX "task_ended_dependency" ON "task" USING btree ("finished_time") WHERE has_dependents AND finished_time IS NOT NULL;--> statement-breakpoint
CREATE INDEX "task_labels" ON "task" USING gin (labels) WHERE labels <> '{}'::jsonb;--> statement-breakpoint
CREATE INDEX "task_dependency_dependents" ON "task_dependency" USING btree ("depends_on","waits","task_id");--> statement-breakpoint
CREATE INDEX "task_dependency_waiting" ON "task_dependency" USING btree ("task_id") WHERE waits;--> statement-breakpoint
CREATE INDEX "task_gate_shut" ON "task_gate" USING btree ("namespace","type") WHERE paused_time IS NOT NULL OR circuit <> 'CLOSED';--> statement-breakpoint
CREATE INDEX "worker_session_expire" ON "worker_session" USING btree ("expire_time");--> statement-breakpoint
CREATE INDEX "worker_session_drain" ON "worker_session" USING btree ("drain_deadline") WHERE drain_time IS NOT NULL;
