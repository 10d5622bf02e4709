CREATE TABLE "queue_reservation" (
	"id" uuid PRIMARY KEY NOT NULL,
	"namespace" text NOT NULL,
	"type" text NOT NULL,
	"places" integer NOT NULL,
	"expire_time" timestamp with time zone NOT NULL,
	CONSTRAINT "queue_reservation_has_places" CHECK (places > 0)
);
--> statement-breakpoint
CREATE TABLE "queue_room" (
	"namespace" text NOT NULL,
	"type" text NOT NULL,
	"free" integer NOT NULL,
	"queue_max" integer NOT NULL,
	"count_time" timestamp with time zone NOT NULL,
	"took_ms" double precision NOT NULL,
	CONSTRAINT "queue_room_namespace_type_pk" PRIMARY KEY("namespace","type"),
	CONSTRAINT "queue_room_is_not_owed" CHECK (free >= 0)
);
--> statement-breakpoint
CREATE INDEX "queue_reservation_type" ON "queue_reservation" USING btree ("namespace","type");--> statement-breakpoint
CREATE INDEX "queue_reservation_expire" ON "queue_reservation" USING btree ("expire_time");