import type postgres from 'postgres';
import { type HookAnswer, type HookRequest, hookAnswers, hookKinds, hookTypes } from './hook.ts';
import type { Property, Violation } from './property.ts';
import type { HookRecord, StormRecord } from './record.ts';

/** An event that the webhook is to get, as the history has it. */
interface EventRow {
  readonly taskId: string;
  readonly sequence: number;
  readonly time: Date;
  readonly namespace: string;
  readonly type: string;
  readonly kind: string;
  readonly state: string;
  readonly attempt: number;
  readonly actor: string;
  readonly code: string | null;
  readonly leaseId: string | null;
}

/**
 * Holds what the receiver of webhooks saw against the history in Postgres. Not the order in which events came: none is
 * promised.
 */
export async function checkHooks(sql: postgres.Sql, { hooks }: StormRecord, tasksMin: number): Promise<Property[]> {
  const events = await selectEvents(sql);
  const samplesMin = Math.floor(tasksMin / 5);
  return [delivered(hooks, events, samplesMin), truthful(hooks, events, samplesMin), signed(hooks), triedAgain(hooks)];
}

async function selectEvents(sql: postgres.Sql): Promise<ReadonlyMap<string, EventRow>> {
  const rows = await sql<EventRow[]>`
    SELECT task_id AS "taskId", sequence, time, namespace, type, kind, state, attempt, actor, error->>'code' AS code,
      lease_id AS "leaseId"
    FROM task_event WHERE type = ANY(${hookTypes}) AND kind::text = ANY(${hookKinds})`;
  return new Map(rows.map((row) => [`${row.taskId}:${row.sequence}`, row]));
}

function delivered(
  { requests, overdue, absences, repair }: HookRecord,
  events: ReadonlyMap<string, EventRow>,
  samplesMin: number,
): Property {
  const taken = new Set(requests.flatMap(({ id, answer }) => (answer === 'taken' ? id : [])));
  const missing = [...events].filter(([id]) => !taken.has(id));
  return {
    name: 'a webhook gets every event that its filter lets through',
    violations: [
      ...missing.map(([id, { taskId }]) => ({ text: `${id} was not taken by the endpoint`, taskId })),
      ...overdue.map((text) => ({ text })),
    ],
    samples: events.size,
    samplesMin,
    figure: `${requests.length} requests; away ${absences} times; ${repair?.replayed ?? 0} waited in the end`,
  };
}

function truthful({ requests }: HookRecord, events: ReadonlyMap<string, EventRow>, samplesMin: number): Property {
  const bodies = new Map<string, string>();
  const violations: Violation[] = [];
  for (const { id, body } of requests) {
    const event = events.get(id);
    const first = bodies.get(id);
    bodies.set(id, first ?? body);
    if (event === undefined) violations.push({ text: `${id} has not happened, or is not for this webhook: ${body}` });
    else if (first === undefined) violations.push(...falseIn(body, event).map((text) => ofEvent(id, text)));
    else if (first !== body) violations.push(ofEvent(id, `was ${first} first, and then ${body}`));
  }
  const name = 'a webhook gets nothing else, and as the history has it';
  const figure = `${requests.length - bodies.size} came again`;
  return { name, violations, samples: bodies.size, samplesMin, figure };
}

/** What an event that was sent says otherwise than the history. */
function falseIn(body: string, event: EventRow): string[] {
  const { taskId, sequence, time, namespace, type, kind, state, attempt, actor, code, leaseId } = event;
  const { data = {}, ...sent } = JSON.parse(body) as Readonly<Record<string, unknown>> & { readonly data?: Data };
  const facts: readonly (readonly [name: string, said: unknown, is: unknown])[] = [
    ['specversion', sent.specversion, '1.0'],
    ['id', sent.id, `${taskId}:${sequence}`],
    ['type', sent.type, `dstc.task.${kind}.v1`],
    ['subject', sent.subject, taskId],
    ['time', sent.time, time.toISOString()],
    ['namespace', sent.namespace, namespace],
    ['tasktype', sent.tasktype, type],
    ['sequence', Number(sent.sequence), sequence],
    ['actor', sent.actor, actor],
    ['task.id', data.task?.id, taskId],
    ['task.type', data.task?.type, type],
    ['task.state', data.task?.state, `TASK_STATE_${state}`],
    ['task.attempt', data.task?.attempt ?? 0, attempt],
    ['lease.id', data.lease?.id ?? null, leaseId],
    ['error.code', data.error?.code ?? null, code],
  ];
  return facts.flatMap(([name, said, is]) => (said === is ? [] : `has the ${name} ${said}, the history ${is}`));
}

interface Data {
  readonly task?: { readonly id?: string; readonly type?: string; readonly state?: string; readonly attempt?: number };
  readonly lease?: { readonly id?: string };
  readonly error?: { readonly code?: string };
}

/** Enough of them fall into the time after a change of the secret in which both are good. */
const signedTwiceMin = 5;

function signed({ requests, rotations }: HookRecord): Property {
  const wrong = requests.filter(({ wrong, isForeseen }) => wrong !== '' && !isForeseen);
  const foreseen = requests.filter(({ isForeseen }) => isForeseen).length;
  return {
    name: 'requests of a webhook are signed with the secrets of the moment',
    violations: wrong.map(({ id, wrong }) => ofEvent(id, `a request of it ${wrong}`)),
    samples: requests.filter(({ signatures }) => signatures > 1).length,
    samplesMin: signedTwiceMin,
    figure: `with two of them; ${rotations} changes of the secret, ${foreseen} requests with one that was not answered`,
  };
}

/** Ways in which an endpoint fails that each storm is to see; how often a coordinator goes meanwhile is chance. */
const failures: readonly HookAnswer[] = ['refused with 500', 'refused with 429', 'cut', 'too late'];
/** The clocks of what is compared are one, but a timer may be early. */
const earlyMsMax = 100;

function triedAgain({ requests, repair }: HookRecord): Property {
  const counts = new Map<HookAnswer, number>();
  const violations: Violation[] = [];
  for (const [id, ofOne] of Map.groupBy(requests, (request) => request.id)) {
    const inOrder = ofOne.toSorted((one, other) => one.atMs - other.atMs);
    for (const [index, request] of inOrder.entries()) {
      const next = inOrder[index + 1];
      if (next === undefined || request.answer === 'taken') continue;
      counts.set(request.answer, (counts.get(request.answer) ?? 0) + 1);
      if (isTooSoon(request, next, repair?.atMs)) {
        const after = Math.round(next.atMs - request.answeredMs);
        violations.push(ofEvent(id, `came again after ${after} ms, asked for were ${request.retryAfterMs} ms`));
      }
    }
  }
  return {
    name: 'what an endpoint did not take comes again, when it asked for it',
    violations,
    samples: Math.min(...failures.map((answer) => counts.get(answer) ?? 0)),
    samplesMin: 1,
    figure: hookAnswers.flatMap((answer) => (counts.has(answer) ? `${answer} ${counts.get(answer)}` : [])).join(', '),
  };
}

function isTooSoon(request: HookRequest, next: HookRequest, repairMs = Number.POSITIVE_INFINITY): boolean {
  return next.atMs < repairMs && next.atMs < request.answeredMs + request.retryAfterMs - earlyMsMax;
}

function ofEvent(id: string, text: string): Violation {
  return { text: `${id}: ${text}`, taskId: id.slice(0, id.indexOf(':')) };
}
