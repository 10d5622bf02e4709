import { randomUUID } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { DstcError, taskTypeNotFound } from '../domain/errors.ts';
import type { Database } from '../store/database.ts';
import { type Deletion, deleteFinishedTaskType } from '../store/delete-task-type.ts';
import { insertSystemEvents } from '../store/insert-system-events.ts';
import { writeLimitedType } from '../store/limited-types.ts';
import { lockQueueRoom, revokePlaces } from '../store/queue-reservations.ts';
import {
  lockTaskType,
  type NewTaskType,
  selectTaskType,
  type TaskTypeName,
  type TaskTypeRow,
  upsertTaskType,
} from '../store/task-types.ts';
import { createSchemaChecks, type PayloadCheck } from './schema-checks.ts';
import type { Wake } from './wake.ts';

/** A task type, ready for use. */
export interface KnownTaskType {
  readonly row: TaskTypeRow;
  /** Undefined accepts anything. */
  readonly checkInput: PayloadCheck | undefined;
  readonly checkOutput: PayloadCheck | undefined;
}

/** Who changes a type, and of which version alone; undefined is of any. */
export interface TypeChange {
  readonly actor: string;
  readonly expectedEtag: string | undefined;
}

export interface TaskTypes {
  /**
   * The type as it was at most a second ago, also one that was deleted and still has tasks; rejects with
   * `TASK_TYPE_NOT_FOUND`.
   */
  readonly get: (namespace: string, name: string) => Promise<KnownTaskType>;
  /** The type as it was when it was last read; undefined when it never was. */
  readonly known: (namespace: string, name: string) => KnownTaskType | undefined;
  /** Creates or replaces; rejects with `ETAG_MISMATCH` when an etag is given that is not the current one. */
  readonly apply: (value: Omit<NewTaskType, 'etag'>, by: TypeChange) => Promise<TaskTypeRow>;
  /**
   * Deletes one that has no unfinished tasks; rejects with `TASK_TYPE_NOT_FOUND`, `STATE_CONFLICT` while it has some, or
   * `ETAG_MISMATCH` as above.
   */
  readonly delete: (type: TaskTypeName, by: TypeChange) => Promise<void>;
  /** Ends the checks against schemas. */
  readonly stop: () => Promise<void>;
}

/** Reading a type for every task would double the statements; a second is how late a change may be on another node. */
const freshMs = 1_000;
const typesMax = 10_000;

export function createTaskTypes(deps: { readonly database: Database; readonly wake: Wake }): TaskTypes {
  const schemas = createSchemaChecks();
  const known = new LRUCache<string, KnownTaskType>({ max: typesMax });
  const fresh = new LRUCache<string, Promise<KnownTaskType | undefined>>({ max: typesMax, ttl: freshMs });

  async function load(key: string, namespace: string, name: string): Promise<KnownTaskType | undefined> {
    const row = await deps.database.query((orm) => selectTaskType(orm, namespace, name));
    if (row === undefined) return undefined;
    const last = known.get(key);
    if (last?.row.etag === row.etag) return last;
    const type: KnownTaskType = {
      row,
      checkInput: row.inputSchema === null ? undefined : schemas.checkOf('input_schema', row.inputSchema),
      checkOutput: row.outputSchema === null ? undefined : schemas.checkOf('output_schema', row.outputSchema),
    };
    known.set(key, type);
    return type;
  }

  return {
    async get(namespace, name) {
      const key = `${namespace}/${name}`;
      let loading = fresh.get(key);
      if (loading === undefined) {
        loading = load(key, namespace, name);
        fresh.set(key, loading);
        loading.catch(() => fresh.delete(key));
      }
      const type = await loading;
      if (type === undefined) throw taskTypeNotFound(name);
      return type;
    },

    known: (namespace, name) => known.get(`${namespace}/${name}`),

    async apply(value, { actor, expectedEtag }) {
      if (value.inputSchema !== null) await schemas.compile('task_type.input_schema', value.inputSchema);
      if (value.outputSchema !== null) await schemas.compile('task_type.output_schema', value.outputSchema);
      // Postgres has no text with NUL in it, so such an etag was never one of ours.
      const row = expectedEtag?.includes('\0')
        ? undefined
        : await deps.database.transaction(async (sql, orm) => {
            const written = await upsertTaskType(orm, { ...value, etag: randomUUID() }, expectedEtag);
            if (written === undefined) return undefined;
            const type = { namespace: value.namespace, type: value.name };
            await writeLimitedType(sql, type, value.limits);
            // From now on nobody reserves places under the limit of before.
            await lockQueueRoom(sql, type);
            await revokePlaces(sql, type, value.limits?.queueMax ?? null);
            const { namespace, name: subject, etag } = written;
            await insertSystemEvents(sql, [{ kind: 'task_type.applied', namespace, subject, actor, data: { etag } }]);
            return written;
          });
      fresh.delete(`${value.namespace}/${value.name}`);
      if (row === undefined) throw etagMismatch(value.name);
      deps.wake.eventsWritten.give(undefined);
      // Its limits may allow more than before.
      deps.wake.gateOpened.give({ namespace: row.namespace, type: row.name });
      return row;
    },

    async delete({ namespace, name }, { actor, expectedEtag }) {
      const etags = { expected: expectedEtag, next: randomUUID() };
      const deletion: Deletion = expectedEtag?.includes('\0')
        ? { outcome: 'stale etag' }
        : await deps.database.transaction(async (sql) => {
            // Before the statement looks around, so that it finds the gate of whoever has just paused the type.
            await lockTaskType(sql, { namespace, name });
            const done = await deleteFinishedTaskType(sql, { namespace, name }, etags);
            if (done.outcome !== 'deleted') return done;
            const { etag } = done;
            const told = { namespace, subject: name, actor, data: { etag } };
            await insertSystemEvents(sql, [{ kind: 'task_type.deleted', ...told }]);
            return done;
          });
      fresh.delete(`${namespace}/${name}`);
      switch (deletion.outcome) {
        case 'deleted':
          deps.wake.eventsWritten.give(undefined);
          return;
        case 'missing':
          throw taskTypeNotFound(name);
        case 'stale etag':
          throw etagMismatch(name);
        case 'unfinished tasks':
          throw new DstcError('STATE_CONFLICT', `task type ${name} has tasks that have not ended; end them first`, {
            metadata: { task_type: name },
          });
      }
    },

    stop: schemas.stop,
  };
}

function etagMismatch(name: string): DstcError {
  return new DstcError('ETAG_MISMATCH', `task type ${name} is not at the etag you sent; read it again`, {
    metadata: { task_type: name },
  });
}
