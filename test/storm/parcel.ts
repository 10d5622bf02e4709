import { type Client, DstcError } from '@dstc/sdk';
import { status } from '@grpc/grpc-js';
import type { JsonAnswer } from './json-call.ts';
import type { Plan } from './plan.ts';

/** A task that is to be submitted. */
export interface Item {
  readonly key: string;
  readonly plan: Plan;
  /** Keys of the same parcel whose tasks must have ended before; only JSON says so. */
  readonly after?: readonly string[];
}

/** What a submission was answered: the task, or why there is none. */
export type Receipt =
  | { readonly kind: 'acknowledged'; readonly key: string; readonly id: string; readonly existed: boolean }
  | { readonly kind: 'refused'; readonly why: string };

/** Submits with the SDK, over gRPC: one alone or all in one call. */
export async function submitWithSdk(client: Client, items: readonly Item[]): Promise<Receipt[]> {
  try {
    const [first] = items;
    if (items.length === 1 && first !== undefined) {
      const { id, alreadyExisted } = await client.submit(first.plan.type, first.plan, optionsOf(first));
      return [{ kind: 'acknowledged', key: first.key, id, existed: alreadyExisted }];
    }
    const results = await client.submitMany(
      items.map((item) => ({ ...optionsOf(item), type: item.plan.type, input: item.plan })),
    );
    return results.map((result, index) => {
      if (!result.ok) return { kind: 'refused', why: reasonOf(result.error) };
      const { id, alreadyExisted } = result.handle;
      return { kind: 'acknowledged', key: items[index]?.key ?? '', id, existed: alreadyExisted };
    });
  } catch (error) {
    return [{ kind: 'refused', why: reasonOf(error) }];
  }
}

function optionsOf({ key, plan }: Item): { readonly idempotencyKey: string; readonly delayMs?: number } {
  return { idempotencyKey: key, ...(plan.delayMs > 0 && { delayMs: plan.delayMs }) };
}

function reasonOf(error: unknown): string {
  if (!(error instanceof DstcError)) return String(error);
  const why = `${error.code} ${error.reason}`;
  return error.reason === 'UNKNOWN' ? `${why}: ${error.message}` : why;
}

interface JsonResult {
  readonly task?: { readonly id: string };
  readonly alreadyExisted?: boolean;
  readonly error?: { readonly code: number; readonly reason?: string };
}

/** Submits with nothing but JSON: one alone or all in one call. `call` makes the call. */
export async function submitWithJson(
  call: (method: string, body: object) => Promise<JsonAnswer>,
  items: readonly Item[],
): Promise<Receipt[]> {
  const requests = items.map(({ key, plan, after = [] }) => ({
    type: plan.type,
    input: { json: plan },
    idempotencyKey: key,
    ...(plan.delayMs > 0 && { delay: `${plan.delayMs / 1_000}s` }),
    dependencies: after.map((other) => ({
      requestIndex: items.findIndex((item) => item.key === other),
      onFailure: 'DEPENDENCY_POLICY_CONTINUE',
    })),
  }));
  const isAlone = requests.length === 1;
  const method = isAlone ? 'TaskService/SubmitTask' : 'TaskService/SubmitTasks';
  const answer = await call(method, isAlone ? (requests[0] ?? {}) : { requests });
  if (answer.code !== 'OK') return [{ kind: 'refused', why: `${answer.code} ${answer.reason}`.trim() }];
  const results = isAlone ? [answer.body as JsonResult] : ((answer.body.results ?? []) as JsonResult[]);
  return results.map(({ task, alreadyExisted = false, error }, index) =>
    task === undefined
      ? { kind: 'refused', why: `${status[error?.code ?? 0]} ${error?.reason?.replace('ERROR_REASON_', '')}` }
      : { kind: 'acknowledged', key: items[index]?.key ?? '', id: task.id, existed: alreadyExisted },
  );
}
