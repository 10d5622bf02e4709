import type { FieldViolation } from '../domain/errors.ts';
import type { Payload } from '../domain/payload.ts';

/** What the thread that checks against JSON Schemas is given when it starts. */
export interface SchemaThreadData {
  /**
   * One cell, the steps that the thread has taken: -1 until it is ready, and then two for each message, the schema and the
   * payload. It is shared, because a thread that is held up tells nothing.
   */
  readonly steps: BigInt64Array;
}

/** A schema that the thread knows by its number, with its text when that is new; and what is held against it, if anything. */
export interface SchemaWork {
  readonly kind: 'work';
  readonly schema: { readonly id: number; readonly field: string; readonly text: string | undefined };
  readonly payload: Payload | undefined;
}

/** To the thread. */
export type ToSchemaThread = SchemaWork | { readonly kind: 'forget'; readonly id: number };

/** From the thread, for each work in its order: what is wrong with the schema, or else with the payload. */
export type FromSchemaThread = readonly FieldViolation[];
