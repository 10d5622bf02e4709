import { type CelInput, type CelValue, isCelList, isCelMap, isCelUint } from '@bufbuild/cel';
import type { JsonValue } from '../json-value.ts';
import { type Budget, nodeUnits, textUnits } from './budget.ts';

/** A value that expressions can look into. */
export type ExpressionInput = CelInput;

/** Pays for reading all of a value. */
export function spendOnValue(value: CelValue, budget: Budget): void {
  budget.spend(nodeUnits);
  if (typeof value === 'string') budget.spend(textUnits(value.length));
  if (value instanceof Uint8Array) budget.spend(textUnits(value.byteLength));
  if (isCelList(value)) for (const element of value) spendOnValue(element, budget);
  if (isCelMap(value)) {
    for (const [key, element] of value.entries()) {
      budget.spend(nodeUnits + (typeof key === 'string' ? textUnits(key.length) : 0));
      spendOnValue(element, budget);
    }
  }
}

/** A value of an expression as JSON: bytes as base64. Times and durations are to be made texts first: `string(…)`. */
export function jsonOfCel(value: CelValue, budget: Budget): JsonValue {
  switch (typeof value) {
    case 'boolean':
      budget.spend(nodeUnits);
      return value;
    case 'string':
      budget.spend(textUnits(value.length));
      return value;
    case 'number':
      budget.spend(nodeUnits);
      if (!Number.isFinite(value)) throw new Error('has a number that JSON cannot hold');
      return value;
    case 'bigint':
      budget.spend(nodeUnits);
      return exact(value);
    case 'object':
      return jsonOfObject(value, budget);
  }
}

function jsonOfObject(value: CelValue & (object | null), budget: Budget): JsonValue {
  budget.spend(nodeUnits);
  if (value === null) return null;
  if (isCelUint(value)) return exact(value.value);
  if (value instanceof Uint8Array) {
    budget.spend(textUnits(value.byteLength));
    return base64(value);
  }
  if (isCelList(value)) return Array.from(value, (element) => jsonOfCel(element, budget));
  if (isCelMap(value)) {
    const entries: [string, JsonValue][] = [];
    for (const [key, element] of value.entries()) {
      if (typeof key !== 'string') throw new Error('has a key that JSON cannot hold');
      budget.spend(textUnits(key.length));
      entries.push([key, jsonOfCel(element, budget)]);
    }
    // Also `__proto__` becomes a property of its own.
    return Object.fromEntries(entries);
  }
  throw new Error('has a value that JSON cannot hold');
}

/** JSON's readers take numbers for doubles, so one that is none would change on its way. */
function exact(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new Error('has a number that JSON cannot hold');
  return number;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

/**
 * JSON as expressions see it. Objects become maps, as the names in them are data: one that is called `constructor` must
 * not be taken for anything else.
 */
export function celOfJson(value: JsonValue): ExpressionInput {
  if (typeof value !== 'object' || value === null) return value;
  if (isList(value)) return value.map(celOfJson);
  const map = new Map<string, CelInput>();
  for (const name of Object.keys(value)) map.set(name, celOfJson(value[name] ?? null));
  return map;
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}
