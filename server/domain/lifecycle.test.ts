import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decide, type TaskFacts } from './decide.ts';
import { commands, eventKinds, moves } from './lifecycle.ts';
import { limits } from './limits.ts';
import { finalStates, isFinal, taskStates } from './task-state.ts';

const seed = process.env.TEST_SEED === undefined ? {} : { seed: Number(process.env.TEST_SEED) };

/** A row in one line: what the SQL is tested against must not change by accident. */
function line({ from, command, when, to, effect }: (typeof moves)[number]): string {
  const attempt = effect.attempt === 0 ? '' : ` attempt${effect.attempt > 0 ? '+' : ''}${effect.attempt}`;
  const available = effect.available === 'unchanged' ? '' : ` ${effect.available}`;
  const mark = effect.mark === 'none' ? '' : ` mark ${effect.mark}`;
  const rest = `${attempt}${effect.crash ? ' crash' : ''}${available}${mark}${effect.renews ? ' renews' : ''}`;
  return `${from} ${command} [${when.join(', ')}] -> ${to}: ${effect.event}, lease ${effect.lease}${rest}`;
}

test('the table is this one', () => {
  expect(moves.map(line)).toEqual([
    'BLOCKED unblock [] -> PENDING: unblocked, lease none',
    'BLOCKED failDependency [] -> CANCELLED: cancelled, lease none',
    'PENDING lease [not paused] -> RUNNING: leased, lease take attempt+1',
    'RUNNING accept [not accepted] -> RUNNING: started, lease keep',
    'RUNNING succeed [] -> SUCCEEDED: succeeded, lease settle',
    'RUNNING fail [cancel requested] -> CANCELLED: cancelled, lease settle',
    'RUNNING fail [attempts left] -> PENDING: retry_scheduled, lease settle after backoff',
    'RUNNING fail [otherwise] -> FAILED: failed, lease settle',
    'RUNNING release [cancel requested] -> CANCELLED: cancelled, lease settle',
    'RUNNING release [otherwise] -> PENDING: released, lease settle attempt-1',
    'RUNNING undeliver [not accepted, cancel requested] -> CANCELLED: cancelled, lease drop',
    'RUNNING undeliver [not accepted] -> PENDING: released, lease drop attempt-1',
    'RUNNING lose [cancel requested] -> CANCELLED: cancelled, lease drop crash',
    'RUNNING lose [attempts left, crashes left] -> PENDING: lease_lost, lease drop crash',
    'RUNNING lose [otherwise] -> FAILED: failed, lease drop crash',
    'RUNNING expireRun [cancel requested] -> CANCELLED: cancelled, lease drop',
    'RUNNING expireRun [attempts left] -> PENDING: lease_lost, lease drop after backoff',
    'RUNNING expireRun [otherwise] -> FAILED: failed, lease drop',
    'PENDING expireStart [] -> FAILED: failed, lease none',
    'BLOCKED expireTotal [] -> FAILED: failed, lease none',
    'PENDING expireTotal [] -> FAILED: failed, lease none',
    'RUNNING expireTotal [] -> FAILED: failed, lease drop',
    'BLOCKED cancel [] -> CANCELLED: cancelled, lease none',
    'PENDING cancel [] -> CANCELLED: cancelled, lease none',
    'RUNNING cancel [no cancel requested] -> RUNNING: cancel_requested, lease keep',
    'RUNNING acknowledgeCancel [cancel requested] -> CANCELLED: cancelled, lease settle',
    'RUNNING revoke [cancel requested] -> CANCELLED: cancelled, lease drop',
    'BLOCKED pause [not paused] -> BLOCKED: paused, lease none mark pause',
    'PENDING pause [not paused] -> PENDING: paused, lease none mark pause',
    'RUNNING pause [not paused] -> RUNNING: paused, lease keep mark pause',
    'BLOCKED resume [paused] -> BLOCKED: resumed, lease none mark resume',
    'PENDING resume [paused] -> PENDING: resumed, lease none mark resume',
    'RUNNING resume [paused] -> RUNNING: resumed, lease keep mark resume',
    'BLOCKED skip [] -> SKIPPED: skipped, lease none',
    'PENDING skip [] -> SKIPPED: skipped, lease none',
    'FAILED skip [not discarded] -> SKIPPED: skipped, lease none',
    'FAILED redrive [not discarded, dependencies unmet] -> BLOCKED: redriven, lease none on request renews',
    'FAILED redrive [not discarded] -> PENDING: redriven, lease none on request renews',
    'FAILED discard [not discarded] -> FAILED: discarded, lease none mark discard',
  ]);
});

describe('the table of moves', () => {
  test.each(finalStates)('has no way out of %s, but for people who look after a failure', (state) => {
    const ways = moves.filter((move) => move.from === state).map((move) => move.command);
    expect(ways).toEqual(state === 'FAILED' ? ['skip', 'redrive', 'redrive', 'discard'] : []);
  });

  test('reaches every state that a task may leave, from where it begins', () => {
    const reached = new Set<string>(['BLOCKED']);
    for (let size = 0; size !== reached.size; ) {
      size = reached.size;
      for (const move of moves) if (reached.has(move.from)) reached.add(move.to);
    }
    for (const { from } of moves) expect(reached).toContain(from);
    expect([...reached].sort()).toEqual([...taskStates].sort());
  });

  test('uses every command and every kind of event', () => {
    expect(new Set(moves.map((move) => move.command))).toEqual(new Set(commands));
    expect(new Set(['submitted', ...moves.map((move) => move.effect.event)])).toEqual(new Set(eventKinds));
  });

  test('has no row that an earlier one of its state and command hides', () => {
    for (const [index, move] of moves.entries()) {
      const earlier = moves.slice(0, index).filter((one) => one.from === move.from && one.command === move.command);
      for (const one of earlier) {
        const hides = one.when.every((condition) => condition === 'otherwise' || move.when.includes(condition));
        expect(hides, `${line(one)} hides ${line(move)}`).toBe(false);
      }
    }
  });

  test('gives each row a reason, and a lease only to what runs', () => {
    for (const { why, to, effect } of moves) {
      expect(why.length).toBeGreaterThan(10);
      if (effect.lease === 'take' || effect.lease === 'keep') expect(to).toBe('RUNNING');
      if (effect.lease === 'settle' || effect.lease === 'drop') expect(to).not.toBe('RUNNING');
      if (effect.available === 'after backoff') expect(to).toBe('PENDING');
    }
  });
});

const facts = fc.record<TaskFacts>({
  state: fc.constantFrom(...taskStates),
  accepted: fc.boolean(),
  cancelRequested: fc.boolean(),
  attempt: fc.integer({ min: 0, max: 6 }),
  attemptsMax: fc.integer({ min: 1, max: 6 }),
  crashes: fc.integer({ min: 0, max: limits.crashesMax }),
  paused: fc.boolean(),
  discarded: fc.boolean(),
});

describe('a decision', () => {
  test('for any task and command is a row of that state and command, or none', () => {
    fc.assert(
      fc.property(facts, fc.constantFrom(...commands), fc.boolean(), (task, command, retryable) => {
        const move = decide(task, command, { retryable });
        if (isFinal(task.state) && task.state !== 'FAILED') expect(move).toBeUndefined();
        if (move !== undefined) expect([move.from, move.command]).toEqual([task.state, command]);
      }),
      seed,
    );
  });

  test('never gives another attempt to a task that has none left, that nobody wants, or that kills its workers', () => {
    fc.assert(
      fc.property(facts, fc.constantFrom(...commands), fc.boolean(), (task, command, retryable) => {
        const move = decide({ ...task, state: 'RUNNING' }, command, { retryable });
        if (move?.to !== 'PENDING') return;
        expect(task.cancelRequested).toBe(false);
        if (move.effect.attempt === -1) return;
        expect(retryable).toBe(true);
        expect(task.attempt).toBeLessThan(task.attemptsMax);
        if (command === 'lose') expect(task.crashes + 1).toBeLessThan(limits.crashesMax);
      }),
      seed,
    );
  });

  test('ends every running task sooner or later, whatever happens to its attempts', () => {
    const mishaps = fc.array(fc.constantFrom('fail', 'lose', 'expireRun'), { minLength: 20, maxLength: 20 });
    fc.assert(
      fc.property(mishaps, fc.integer({ min: 1, max: 10 }), (commandsOfAttempts, attemptsMax) => {
        let task: TaskFacts = {
          state: 'PENDING',
          accepted: false,
          cancelRequested: false,
          attempt: 0,
          attemptsMax,
          crashes: 0,
          paused: false,
          discarded: false,
        };
        for (const command of commandsOfAttempts) {
          for (const each of ['lease', 'accept', command] as const) {
            const move = decide(task, each);
            if (move === undefined) break;
            const attempt = task.attempt + move.effect.attempt;
            const crashes = task.crashes + (move.effect.crash ? 1 : 0);
            task = { ...task, state: move.to, attempt, crashes, accepted: each === 'accept' };
          }
        }
        expect(task.state).toBe('FAILED');
        expect(task.attempt).toBeLessThanOrEqual(attemptsMax);
        expect(task.crashes).toBeLessThanOrEqual(limits.crashesMax);
      }),
      seed,
    );
  });
});
