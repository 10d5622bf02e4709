import type { CloudEvent } from './cloud-event.ts';
import { celOfJson, type ExpressionInput } from './expression/value.ts';
import type { JsonValue } from './json-value.ts';
import { limits } from './limits.ts';
import { isJson } from './payload.ts';

/** An event as expressions see it. What takes time is done once, and only when it is asked for. */
export interface EventView {
  readonly event: CloudEvent;
  /** Its data, when that is JSON. */
  readonly json: () => JsonValue | undefined;
  /** Its attributes by their names, and its data on request. */
  readonly variables: (withData: boolean) => ReadonlyMap<string, ExpressionInput>;
}

const decoder = new TextDecoder('utf-8', { fatal: true });

export function viewEvent(event: CloudEvent): EventView {
  const attributes = attributesOf(event);
  let parsed: { readonly json: JsonValue | undefined } | undefined;
  let withData: ReadonlyMap<string, ExpressionInput> | undefined;
  const json = () => {
    parsed ??= { json: jsonOf(event) };
    return parsed.json;
  };
  return {
    event,
    json,
    variables(isNeeded) {
      if (!isNeeded) return attributes;
      const data = json();
      withData ??= data === undefined ? attributes : new Map([...attributes, ['data', celOfJson(data)]]);
      return withData;
    },
  };
}

function attributesOf(event: CloudEvent): ReadonlyMap<string, ExpressionInput> {
  const all: Readonly<Record<string, string | undefined>> = {
    ...event.extensions,
    specversion: '1.0',
    id: event.id,
    source: event.source,
    type: event.type,
    subject: event.subject,
    time: event.time,
    dataschema: event.dataSchema,
    datacontenttype: event.data?.contentType,
  };
  return new Map(Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

/** Undefined for data that is no JSON, or none that expressions can hold. */
function jsonOf({ data }: CloudEvent): JsonValue | undefined {
  if (data === undefined || !isJson(data.contentType) || data.data.byteLength > limits.eventDataBytesMax)
    return undefined;
  let json: JsonValue;
  try {
    json = JSON.parse(decoder.decode(data.data));
  } catch {
    return undefined;
  }
  return isHoldable(json, limits.eventDataDepthMax) ? json : undefined;
}

/** JSON has larger numbers than a double, which would come out as infinite. */
function isHoldable(value: JsonValue, depthLeft: number): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value !== 'object' || value === null) return true;
  if (depthLeft === 0) return false;
  const parts: readonly JsonValue[] = Array.isArray(value) ? value : Object.values(value);
  for (const part of parts) if (!isHoldable(part, depthLeft - 1)) return false;
  return true;
}
