import { expect, test } from 'vitest';
import { isAlreadyDone, possibleCommands } from './control.ts';
import type { TaskFacts } from './decide.ts';

const task: TaskFacts = {
  ...{ state: 'PENDING', accepted: false, cancelRequested: false, attempt: 0, attemptsMax: 5 },
  ...{ crashes: 0, paused: false, discarded: false },
};

test.each<[string, Partial<TaskFacts>, string[], string[]]>([
  ['a waiting task', {}, ['cancel', 'pause', 'skip'], ['resume']],
  ['a paused one', { paused: true }, ['cancel', 'resume', 'skip'], ['pause']],
  ['a running one', { state: 'RUNNING' }, ['cancel', 'pause'], ['resume']],
  [
    'one that was asked to stop',
    { state: 'RUNNING', cancelRequested: true, paused: true },
    ['resume'],
    ['cancel', 'pause'],
  ],
  ['a dead letter', { state: 'FAILED' }, ['skip', 'redrive', 'discard'], []],
  ['a discarded one', { state: 'FAILED', discarded: true }, [], ['discard']],
  ['a cancelled one', { state: 'CANCELLED' }, [], ['cancel']],
  ['a skipped one', { state: 'SKIPPED' }, [], ['skip']],
  ['one that succeeded', { state: 'SUCCEEDED' }, [], []],
])('of %s, what can be asked of it changes it or is already so', (_, facts, possible, already) => {
  const as = { ...task, ...facts };
  expect(possibleCommands(as)).toEqual(possible);
  const commands = ['cancel', 'pause', 'resume', 'skip', 'redrive', 'discard'] as const;
  expect(commands.filter((command) => isAlreadyDone(as, command))).toEqual(already);
});
