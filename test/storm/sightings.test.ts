import { describe, expect, it } from 'vitest';
import { createSightings, type Happened, invented, see, unseen } from './sightings.ts';

const others = new Set(['id of a pause', 'id of a session']);
const happened: Happened = { tasks: new Map([['one', 3]]).set('other', 2), others, count: 7 };
const pause = { subject: 'task_type/default/email', sequence: 4, id: 'id of a pause' };
const session = { subject: 'worker_session/default/someone', sequence: 1, id: 'id of a session' };
const ofTask = (subject: string, ...sequences: number[]) =>
  sequences.map((sequence) => ({ subject, sequence, id: `${subject}:${sequence}` }));

function saw(...events: readonly Parameters<typeof see>[1][]) {
  const sightings = createSightings();
  for (const some of events) see(sightings, some);
  return { sightings, unseen: unseen(happened, sightings), invented: invented(happened, sightings) };
}

describe('what was seen of the events', () => {
  it('is whole, in order and true when each came once, whatever was between them', () => {
    const all = saw(ofTask('one', 1), [pause], ofTask('other', 1, 2), ofTask('one', 2), [session], ofTask('one', 3));
    expect(all).toMatchObject({ unseen: [], invented: [], sightings: { late: [], first: 7, again: 0 } });
  });

  it('is none the worse for what comes again', () => {
    const all = saw(ofTask('one', 1, 2, 2, 1, 2, 3), [pause, session, pause], ofTask('other', 1, 2));
    expect(all).toMatchObject({ unseen: [], invented: [], sightings: { late: [], first: 7, again: 4 } });
  });

  it('lacks what was passed over, what came last, and whole tasks', () => {
    expect(saw(ofTask('one', 1, 3), [pause, session], ofTask('other', 1, 2)).unseen).toEqual(['one:2']);
    expect(saw(ofTask('one', 1, 2), [pause], ofTask('other', 1, 2)).unseen).toEqual(['one:3', 'id of a session']);
    expect(saw(ofTask('one', 1, 2, 3), [pause, session]).unseen).toEqual(['other:1', 'other:2']);
  });

  it('is out of order where something comes first after what follows it', () => {
    const { sightings, ...all } = saw(ofTask('one', 1, 3, 2, 3), [pause, session], ofTask('other', 1, 2));
    expect(all).toEqual({ unseen: [], invented: [] });
    expect(sightings).toMatchObject({ late: ['one:2 came after 3'], again: 1 });
  });

  it('is not true where Postgres knows nothing of it', () => {
    expect(saw(ofTask('one', 4)).invented).toEqual(['one:4 has not happened']);
    expect(saw(ofTask('nobody', 1)).invented).toEqual(['nobody:1 has not happened']);
    expect(saw([{ ...session, id: 'another one' }]).invented).toEqual(['another one']);
    expect(saw([{ subject: 'one', sequence: 1, id: 'one' }]).invented).toEqual(['one:1 has the id one']);
  });
});
