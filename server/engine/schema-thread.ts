import { parentPort, workerData } from 'node:worker_threads';
import { DstcError, type FieldViolation } from '../domain/errors.ts';
import { compileSchema, type JsonCheck } from '../domain/json-schema.ts';
import { payloadViolations } from '../domain/payload.ts';
import type { FromSchemaThread, SchemaThreadData, SchemaWork, ToSchemaThread } from './schema-messages.ts';

if (parentPort === null) throw new Error('schemas are checked in a thread of a coordinator');
run(parentPort, workerData);

/** Compiles schemas and holds payloads against them, one after the other; see `schema-lane.ts`. */
function run(port: NonNullable<typeof parentPort>, { steps }: SchemaThreadData): void {
  const known = new Map<number, JsonCheck | readonly FieldViolation[]>();
  const step = () => Atomics.add(steps, 0, 1n);

  function work({ schema, payload }: SchemaWork): FromSchemaThread {
    if (schema.text !== undefined) known.set(schema.id, compiled(schema.field, schema.text));
    step();
    const check = known.get(schema.id);
    if (typeof check !== 'function') return check ?? [];
    return payload === undefined ? [] : payloadViolations(payload, check);
  }

  port.on('message', (message: ToSchemaThread) => {
    if (message.kind === 'forget') {
      known.delete(message.id);
      return;
    }
    const answer = work(message);
    port.postMessage(answer);
    step();
  });
  step();
}

function compiled(field: string, text: string): JsonCheck | readonly FieldViolation[] {
  try {
    return compileSchema(field, text);
  } catch (error) {
    if (error instanceof DstcError) return error.violations;
    throw error;
  }
}
