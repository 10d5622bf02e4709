import { defineConfig } from 'drizzle-kit';

export default defineConfig({
  dialect: 'postgresql',
  schema: [
    './server/store/schema.ts',
    './server/store/event-schema.ts',
    './server/store/event-rule-table.ts',
    './server/store/queue-tables.ts',
    './server/store/webhook-tables.ts',
  ],
  out: './server/store/migrations',
});
