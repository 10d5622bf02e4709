CREATE TABLE "event_rule" (
	"namespace" text NOT NULL,
	"name" text NOT NULL,
	"description" text NOT NULL,
	"event_type" text NOT NULL,
	"event_source" text NOT NULL,
	"condition" text NOT NULL,
	"task_type" text NOT NULL,
	"input" text,
	"labels" jsonb NOT NULL,
	"priority" smallint,
	"delay_ms" bigint NOT NULL,
	"etag" text NOT NULL,
	"create_time" timestamp with time zone DEFAULT now() NOT NULL,
	"update_time" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "event_rule_namespace_name_pk" PRIMARY KEY("namespace","name")
);
