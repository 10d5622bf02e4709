import { createRequire } from 'node:module';

/**
 * Drizzle by `require`: for each of its ES modules Node reads anew its package.json, which has 178 KB. That is a second and
 * 230 MiB for every process that loads it, and so it is 0.2 s and 25 MiB.
 */
const require = createRequire(import.meta.url);
const orm: typeof import('drizzle-orm') = require('drizzle-orm');
const core: typeof import('drizzle-orm/pg-core') = require('drizzle-orm/pg-core');
const postgresJs: typeof import('drizzle-orm/postgres-js') = require('drizzle-orm/postgres-js');
const migrator: typeof import('drizzle-orm/postgres-js/migrator') = require('drizzle-orm/postgres-js/migrator');

export type { SQL } from 'drizzle-orm';
export type { PostgresJsDatabase } from 'drizzle-orm/postgres-js';
export const { and, asc, count, desc, eq, getTableColumns, gt, gte, inArray, isNotNull, isNull, lt, lte, or, sql } =
  orm;
export const {
  bigint,
  boolean,
  check,
  customType,
  doublePrecision,
  index,
  integer,
  jsonb,
  pgEnum,
  pgTable,
  primaryKey,
  real,
  smallint,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} = core;
export const { drizzle } = postgresJs;
export const { migrate } = migrator;
