CREATE TYPE "public"."webhook_delivery_state" AS ENUM('PENDING', 'SUCCEEDED', 'DEAD_LETTER');--> statement-breakpoint
CREATE TABLE "webhook" (
	"id" uuid PRIMARY KEY NOT NULL,
	"namespace" text NOT NULL,
	"description" text NOT NULL,
	"url" text NOT NULL,
	"filter" jsonb NOT NULL,
	"headers" jsonb NOT NULL,
	"secret_headers" jsonb NOT NULL,
	"format" jsonb NOT NULL,
	"secret" "bytea" NOT NULL,
	"previous_secret" "bytea",
	"previous_secret_expire_time" timestamp with time zone,
	"disabled_time" timestamp with time zone,
	"disabled_reason" text DEFAULT '' NOT NULL,
	"since_order" "xid8" NOT NULL,
	"failures" integer DEFAULT 0 NOT NULL,
	"failing_time" timestamp with time zone,
	"openings" integer DEFAULT 0 NOT NULL,
	"probe_time" timestamp with time zone,
	"probing" boolean DEFAULT false NOT NULL,
	"last_success_time" timestamp with time zone,
	"last_failure_time" timestamp with time zone,
	"last_failure" text DEFAULT '' NOT NULL,
	"etag" text NOT NULL,
	"creator" text NOT NULL,
	"create_time" timestamp with time zone DEFAULT now() NOT NULL,
	"update_time" timestamp with time zone DEFAULT now() NOT NULL,
	"delete_time" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "webhook_delivery" (
	"webhook_id" uuid NOT NULL,
	"event_id" text NOT NULL,
	"event_type" text NOT NULL,
	"event" text NOT NULL,
	"thread_id" uuid,
	"sequence" integer NOT NULL,
	"state" "webhook_delivery_state" DEFAULT 'PENDING' NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"due_time" timestamp with time zone DEFAULT now() NOT NULL,
	"expire_time" timestamp with time zone NOT NULL,
	"create_time" timestamp with time zone DEFAULT now() NOT NULL,
	"last_attempt_time" timestamp with time zone,
	"response_status" smallint,
	"duration_ms" integer,
	"error" text DEFAULT '' NOT NULL,
	CONSTRAINT "webhook_delivery_webhook_id_event_id_pk" PRIMARY KEY("webhook_id","event_id")
);
--> statement-breakpoint
CREATE TABLE "webhook_reference" (
	"webhook_id" uuid NOT NULL,
	"task_id" uuid NOT NULL,
	"external_id" text,
	"create_time" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "webhook_reference_webhook_id_task_id_pk" PRIMARY KEY("webhook_id","task_id")
);
--> statement-breakpoint
CREATE INDEX "webhook_namespace" ON "webhook" USING btree ("namespace","id");--> statement-breakpoint
CREATE INDEX "webhook_delivery_due" ON "webhook_delivery" USING btree ("webhook_id","due_time") WHERE state = 'PENDING';--> statement-breakpoint
CREATE INDEX "webhook_delivery_expire" ON "webhook_delivery" USING btree ("expire_time") WHERE state = 'PENDING';--> statement-breakpoint
CREATE INDEX "webhook_delivery_thread" ON "webhook_delivery" USING btree ("webhook_id","thread_id","sequence") WHERE state = 'PENDING' AND thread_id IS NOT NULL;--> statement-breakpoint
CREATE INDEX "webhook_delivery_log" ON "webhook_delivery" USING btree ("webhook_id","state","create_time","event_id");--> statement-breakpoint
CREATE INDEX "webhook_reference_time" ON "webhook_reference" USING btree ("create_time");--> statement-breakpoint
-- Most rows are updated twice in a short life: clean up early.
ALTER TABLE "webhook_delivery" SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.05);
