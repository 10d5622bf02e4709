import { create, fromJson, type JsonValue } from '@bufbuild/protobuf';
import { ValueSchema } from '@bufbuild/protobuf/wkt';
import { PayloadSchema } from '@dstc/contract/dstc/v1/payload_pb';
import { type Assignment, SettlementOutcome } from '@dstc/contract/dstc/v1/worker_pb';
import { type SessionRef, WorkerService } from '@dstc/contract/dstc/v1/worker_service_pb';
import { expect } from 'vitest';
import type { Caller } from './caller.ts';

const { leaseTasks, reportTasks } = WorkerService.method;

/** An attempt that is under way. */
export interface Attempt {
  readonly assignment: Assignment;
  readonly progress: (percent: number, checkpoint?: Uint8Array) => Promise<void>;
  readonly succeed: (output: JsonValue) => Promise<void>;
  readonly fail: (code: string) => Promise<void>;
}

/** Takes the next task of a type without a stream. */
export async function take(door: Caller, token: string, type: string): Promise<Attempt> {
  const wait = { seconds: 5n };
  const { session, assignments } = await door.call(leaseTasks, { taskTypes: [type], wait }, token);
  const [assignment] = assignments;
  if (session === undefined || assignment?.lease === undefined) throw new Error(`there is no task of ${type}`);
  const { lease } = assignment;

  async function report(session: SessionRef, what: object): Promise<void> {
    const { settlements } = await door.call(reportTasks, { session, ...what }, token);
    expect(settlements.map(({ outcome }) => outcome)).toEqual([SettlementOutcome.RECORDED]);
  }

  return {
    assignment,
    async progress(percent, checkpoint = new Uint8Array()) {
      const progress = { items: [{ lease, progress: { percent, message: `${percent} %`, checkpoint } }] };
      await door.call(reportTasks, { session, progress }, token);
    },
    succeed(value) {
      const output = create(PayloadSchema, { value: { case: 'json', value: fromJson(ValueSchema, value) } });
      return report(session, { succeeded: { items: [{ lease, output }] } });
    },
    fail: (code) => report(session, { failed: { items: [{ lease, error: { code, message: 'it broke' } }] } }),
  };
}
