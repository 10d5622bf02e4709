CREATE TABLE "event_reader" (
	"reader" text NOT NULL,
	"shard" smallint NOT NULL,
	"stream_order" "xid8" NOT NULL,
	"subject_id" uuid NOT NULL,
	"sequence" integer NOT NULL,
	"time" timestamp with time zone NOT NULL,
	"node" text,
	"expire_time" timestamp with time zone,
	"epoch" integer DEFAULT 0 NOT NULL,
	CONSTRAINT "event_reader_reader_shard_pk" PRIMARY KEY("reader","shard")
);
--> statement-breakpoint
CREATE TABLE "event_reader_node" (
	"reader" text NOT NULL,
	"node" text NOT NULL,
	"expire_time" timestamp with time zone NOT NULL,
	CONSTRAINT "event_reader_node_reader_node_pk" PRIMARY KEY("reader","node")
);
--> statement-breakpoint
CREATE TABLE "system_event" (
	"id" uuid PRIMARY KEY NOT NULL,
	"subject_id" uuid NOT NULL,
	"sequence" integer NOT NULL,
	"time" timestamp with time zone DEFAULT now() NOT NULL,
	"namespace" text NOT NULL,
	"kind" text NOT NULL,
	"subject" text NOT NULL,
	"actor" text NOT NULL,
	"data" jsonb NOT NULL,
	"stream_order" "xid8" NOT NULL
);
--> statement-breakpoint
-- What is there already comes before everything else: a constant, so that no table is written anew.
ALTER TABLE "task" ADD COLUMN "stream_order" "xid8" DEFAULT '0' NOT NULL;--> statement-breakpoint
ALTER TABLE "task" ALTER COLUMN "stream_order" SET DEFAULT pg_current_xact_id();--> statement-breakpoint
ALTER TABLE "task" ADD COLUMN "trace_parent" text;--> statement-breakpoint
ALTER TABLE "task_event" ADD COLUMN "stream_order" "xid8" DEFAULT '0' NOT NULL;--> statement-breakpoint
ALTER TABLE "task_event" ALTER COLUMN "stream_order" SET DEFAULT pg_current_xact_id();--> statement-breakpoint
CREATE UNIQUE INDEX "system_event_subject" ON "system_event" USING btree ("subject_id","sequence");--> statement-breakpoint
CREATE INDEX "system_event_stream" ON "system_event" USING btree ((get_byte(uuid_send(subject_id), 15) & 7),"stream_order");--> statement-breakpoint
CREATE INDEX "system_event_time" ON "system_event" USING btree ("time");--> statement-breakpoint
CREATE INDEX "task_event_stream" ON "task_event" USING btree ((get_byte(uuid_send(task_id), 15) & 7),"stream_order");--> statement-breakpoint
-- The next events of one shard; see select-events.ts. A function, because it brings the planner's settings with it: a shard
-- is read along its index in any case. Statistics that are older than the backlog of an outage would have all of it read
-- and sorted for each page.
CREATE FUNCTION dstc_events_after(
  wanted_shard int, after_order xid8, after_subject uuid, after_sequence int, since timestamptz, events_max int
) RETURNS TABLE (
  stream_order xid8, subject_id uuid, sequence int, "time" timestamptz, namespace text, actor text, is_task boolean,
  type text, kind text, state task_state, attempt int, lease_id uuid, session_id uuid, error jsonb, reason text,
  retry_delay_ms bigint, labels jsonb, trace_parent text, id uuid, subject text, data jsonb
) LANGUAGE plpgsql STABLE ROWS 100
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT found.*
  FROM (
    (
      SELECT e.stream_order, e.task_id, e.sequence, e.time, e.namespace, e.actor, true, e.type, e.kind::text, e.state,
        e.attempt, e.lease_id, e.session_id, e.error, e.reason, e.retry_delay_ms, known.labels, known.trace_parent,
        NULL::uuid, NULL::text, NULL::jsonb
      FROM (
        SELECT * FROM task_event
        WHERE (get_byte(uuid_send(task_id), 15) & 7) = wanted_shard
          AND stream_order >= after_order AND stream_order < pg_snapshot_xmin(pg_current_snapshot())
          AND (stream_order, task_id, sequence) > (after_order, after_subject, after_sequence)
          AND time >= since
        ORDER BY stream_order, task_id, sequence
        LIMIT events_max
      ) AS e
      LEFT JOIN LATERAL (SELECT t.labels, t.trace_parent FROM task AS t WHERE t.id = e.task_id LIMIT 1) AS known ON true
    ) UNION ALL (
      SELECT stream_order, subject_id, sequence, time, namespace, actor, false, NULL, kind, NULL, NULL, NULL, NULL, NULL,
        NULL, NULL, NULL, NULL, id, subject, data
      FROM system_event
      WHERE (get_byte(uuid_send(subject_id), 15) & 7) = wanted_shard
        AND stream_order >= after_order AND stream_order < pg_snapshot_xmin(pg_current_snapshot())
        AND (stream_order, subject_id, sequence) > (after_order, after_subject, after_sequence)
      ORDER BY stream_order, subject_id, sequence
      LIMIT events_max
    )
  ) AS found (stream_order, subject_id, sequence)
  ORDER BY stream_order, subject_id, sequence
  LIMIT events_max;
END $$;
--> statement-breakpoint
-- How many events of one shard come after a position, up to a number, and when the first of them happened; also those that
-- are not final yet. A function for the same reason.
CREATE FUNCTION dstc_events_unread(
  wanted_shard int, after_order xid8, after_subject uuid, after_sequence int, since timestamptz, events_max int
) RETURNS TABLE (unread int, oldest timestamptz) LANGUAGE plpgsql STABLE ROWS 1
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
  RETURN QUERY
  SELECT count(*)::int, min(found.time)
  FROM (
    (
      SELECT e.time FROM task_event AS e
      WHERE (get_byte(uuid_send(e.task_id), 15) & 7) = wanted_shard AND e.stream_order >= after_order
        AND (e.stream_order, e.task_id, e.sequence) > (after_order, after_subject, after_sequence) AND e.time >= since
      ORDER BY e.stream_order
      LIMIT events_max
    ) UNION ALL (
      SELECT e.time FROM system_event AS e
      WHERE (get_byte(uuid_send(e.subject_id), 15) & 7) = wanted_shard AND e.stream_order >= after_order
        AND (e.stream_order, e.subject_id, e.sequence) > (after_order, after_subject, after_sequence)
      ORDER BY e.stream_order
      LIMIT events_max
    )
  ) AS found;
END $$;
