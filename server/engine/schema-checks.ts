import { type FieldViolation, fieldInvalid } from '../domain/errors.ts';
import { limits } from '../domain/limits.ts';
import type { Payload } from '../domain/payload.ts';
import { createSchemaLane, type Schema } from './schema-lane.ts';

/** What is wrong with a payload by a schema. Rejects with `OVERLOADED` when too many wait. */
export type PayloadCheck = (payload: Payload) => Promise<readonly FieldViolation[]>;

/** Checks against JSON Schemas, beside the loop of the node. */
export interface SchemaChecks {
  /** Resolves when it is a schema; rejects with `FIELD_INVALID`. */
  readonly compile: (field: string, text: string) => Promise<void>;
  /** A check that compiles its schema when it is first used. */
  readonly checkOf: (field: string, text: string) => PayloadCheck;
  readonly stop: () => Promise<void>;
}

/**
 * A schema of which one check was given up is checked apart from then on: each time that happens, its thread begins anew
 * and has to compile all others again.
 */
export function createSchemaChecks(): SchemaChecks {
  const slowOnes = new WeakSet<Schema>();
  const slow = createSchemaLane({ waitingMax: limits.slowSchemaChecksWaitingMax });
  const quick = createSchemaLane({
    waitingMax: limits.schemaChecksWaitingMax,
    next: {
      take(schema, jobs) {
        slowOnes.add(schema);
        slow.take(jobs);
      },
    },
  });
  let lastId = 0;

  function newSchema(field: string, text: string): Schema {
    lastId += 1;
    return { id: lastId, field, text };
  }

  return {
    async compile(field, text) {
      const [violation] = await quick.check(newSchema(field, text), undefined);
      if (violation !== undefined) throw fieldInvalid(violation.field, violation.description);
    },
    checkOf(field, text) {
      const schema = newSchema(field, text);
      return (payload) => (slowOnes.has(schema) ? slow : quick).check(schema, payload);
    },
    async stop() {
      await Promise.all([quick.stop(), slow.stop()]);
    },
  };
}
