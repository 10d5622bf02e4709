import type { Rig, Who } from '../services/rig.ts';

export interface EventAnswer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: what came back is what the test is about.
  readonly json: any;
  /** The reason of an error; undefined for an answer that is none. */
  readonly reason: string | undefined;
  /** Seconds after which it may be sent again. */
  readonly retryAfter: string | null;
  /** The fields that an error names. */
  readonly fields: readonly string[];
}

export interface PostOptions {
  readonly who?: Who;
  readonly namespace?: string;
  readonly url?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An event that is right, to be changed. */
export function orderPlaced(id: string, changes: object = {}): Record<string, unknown> {
  return {
    specversion: '1.0',
    id,
    source: '/shop/orders',
    type: 'com.example.order.placed',
    data: { order: id, total: 12.5, items: ['pen'] },
    ...changes,
  };
}

/** Sends one event in structured mode. */
export function postEvent(rig: Rig, event: unknown, options: PostOptions = {}): Promise<EventAnswer> {
  return post(rig, JSON.stringify(event), {
    ...options,
    headers: { 'content-type': 'application/cloudevents+json', ...options.headers },
  });
}

/** Sends a batch. */
export function postBatch(rig: Rig, events: unknown, options: PostOptions = {}): Promise<EventAnswer> {
  return post(rig, JSON.stringify(events), {
    ...options,
    headers: { 'content-type': 'application/cloudevents-batch+json', ...options.headers },
  });
}

/** Sends whatever it is. */
export async function post(
  rig: Rig,
  body: string | Uint8Array<ArrayBuffer> | undefined,
  { who = 'root', namespace, url = rig.coordinator.httpUrl, headers = {} }: PostOptions,
): Promise<EventAnswer> {
  const path = namespace === undefined ? '/v1/events' : `/v1/events/${namespace}`;
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${rig.token(who)}`, ...headers },
    ...(body !== undefined && { body }),
  });
  const json = JSON.parse(await response.text());
  const detail = (type: string) => json.details?.find((each: { type: string }) => each.type === `google.rpc.${type}`);
  const violations: { field: string }[] = detail('BadRequest')?.debug.fieldViolations ?? [];
  return {
    status: response.status,
    json,
    reason: detail('ErrorInfo')?.debug.reason,
    retryAfter: response.headers.get('retry-after'),
    fields: violations.map(({ field }) => field),
  };
}
