import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { limits } from '../domain/limits.ts';
import type { Payload } from '../domain/payload.ts';
import { createSchemaChecks, type SchemaChecks } from './schema-checks.ts';

let schemas: SchemaChecks;
beforeEach(() => {
  schemas = createSchemaChecks();
});
afterEach(() => schemas.stop());

const checkOf = (schema: object) => schemas.checkOf('input_schema', JSON.stringify(schema));
const json = (value: unknown): Payload => ({
  data: Buffer.from(JSON.stringify(value)),
  contentType: 'application/json',
});
const tooLong = [{ field: '/', description: `could not be checked in ${limits.schemaCheckMs} ms` }];
const backtracking = { type: 'string', pattern: '^(a+)+$' };

describe('checks against schemas', () => {
  test.each([
    ['all items of an array', { uniqueItems: true }, Array.from({ length: 24_000 }, (_, a) => ({ a }))],
    ['a text again and again', backtracking, `${'a'.repeat(40)}!`],
  ])('give up one that compares %s, while the loop goes on', async (_, schema, value) => {
    let turns = 0;
    const timer = setInterval(() => (turns += 1), 10);
    expect(await checkOf(schema)(json(value))).toEqual(tooLong);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(5);
  });

  test('do what waited behind one that was given up, in its order', async () => {
    const [slow, number] = [checkOf(backtracking), checkOf({ type: 'number' })];
    const order: number[] = [];
    const after = async (value: unknown, index: number) => {
      const violations = await number(json(value));
      order.push(index);
      return violations;
    };
    expect(await number(json(0))).toEqual([]);
    const given = slow(json(`${'a'.repeat(40)}!`));
    const others = await Promise.all(Array.from({ length: 200 }, (_, at) => after(at % 2 ? at : 'x', at)));
    expect(await given).toEqual(tooLong);
    expect(others.map(({ length }) => length)).toEqual(others.map((_, at) => (at % 2 ? 0 : 1)));
    expect(order).toEqual(others.map((_, at) => at));
    expect(await slow(json('aaa'))).toEqual([]);
  });

  test('hold up no other schema a second time, also not with what waited already', async () => {
    const [slow, number] = [checkOf(backtracking), checkOf({ type: 'number' })];
    const refused = () => slow(json(`${'a'.repeat(40)}!`));
    const [first, second, ...more] = Array.from({ length: 200 }, refused);
    const settled = Promise.allSettled(more);
    expect(await first).toEqual(tooLong);
    let isRefused = false;
    const again = second?.then((violations) => {
      isRefused = true;
      return violations;
    });
    expect([await number(json(1)), isRefused]).toEqual([[], false]);
    expect(await again).toEqual(tooLong);
    await schemas.stop();
    const reasons = (await settled).map((one) => one.status === 'rejected' && one.reason.reason);
    expect(new Set(reasons)).toEqual(new Set(['NODE_DRAINING', 'OVERLOADED']));
  });

  test('leave the bytes that they read where they were', async () => {
    const whole = Buffer.from('.[1].');
    const payload = { data: whole.subarray(1, 4), contentType: 'application/json' };
    expect(await checkOf({ items: { type: 'string' } })(payload)).toEqual([
      { field: '/0', description: 'must be string' },
    ]);
    expect(payload.data.toString()).toBe('[1]');
  });

  test('tell of a schema that is none', async () => {
    await schemas.compile('input_schema', '{}');
    await expect(schemas.compile('input_schema', '{')).rejects.toMatchObject({
      reason: 'FIELD_INVALID',
      violations: [{ field: 'input_schema' }],
    });
  });

  test('turn callers away when too many wait', async () => {
    const check = checkOf({ type: 'number' });
    const answers = Array.from({ length: limits.schemaChecksWaitingMax + 1_000 }, () => check(json(1)));
    const results = await Promise.allSettled(answers);
    expect(results[0]).toEqual({ status: 'fulfilled', value: [] });
    expect(results.at(-1)).toMatchObject({ reason: { reason: 'OVERLOADED' } });
  });

  test('end with their node, whatever they are at', async () => {
    const refused = expect(checkOf(backtracking)(json(`${'a'.repeat(40)}!`))).rejects.toMatchObject({
      reason: 'NODE_DRAINING',
    });
    await schemas.stop();
    await refused;
    await expect(checkOf({})(json(1))).rejects.toMatchObject({ reason: 'NODE_DRAINING' });
  });
});
