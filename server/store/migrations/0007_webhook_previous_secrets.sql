ALTER TABLE "webhook" ADD COLUMN "previous_secrets" jsonb DEFAULT '[]'::jsonb NOT NULL;--> statement-breakpoint
UPDATE "webhook" SET "previous_secrets" = jsonb_build_array(jsonb_build_object(
  'secret', encode("previous_secret", 'base64'), 'expireTime', "previous_secret_expire_time"
)) WHERE "previous_secret" IS NOT NULL AND "previous_secret_expire_time" > now();--> statement-breakpoint
ALTER TABLE "webhook" DROP COLUMN "previous_secret";--> statement-breakpoint
ALTER TABLE "webhook" DROP COLUMN "previous_secret_expire_time";
