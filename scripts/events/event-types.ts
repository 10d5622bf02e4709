import type { DescField, DescMessage, FileRegistry } from '@bufbuild/protobuf';
import { type EventKind, eventKinds, type Move, moves } from '../../server/domain/lifecycle.ts';
import { type SystemEventKind, systemEventKinds } from '../../server/domain/system-event.ts';
import { commentOf } from './comment.ts';

/** One type of event: what the contract says of it, and what causes it. */
export interface EventType {
  /** Such as `dstc.task.succeeded.v1`. */
  readonly type: string;
  /** What it is about, such as `task`, and what happened to it. */
  readonly thing: string;
  readonly what: string;
  /** Such as `taskSucceeded`. */
  readonly name: string;
  /** In words. */
  readonly when: string;
  readonly data: DescMessage;
  /** Those of the table of moves that cause it; none for what is no task, and for a submission. */
  readonly moves: readonly Move[];
}

/** All types in the order of the contract. Throws when the contract and the code do not know the same ones. */
export function eventTypes(contract: FileRegistry): readonly EventType[] {
  const event = contract.getMessage('dstc.v1.Event');
  const data = event?.oneofs.find(({ name }) => name === 'data');
  if (data === undefined) throw new Error('the contract has no dstc.v1.Event with data');
  const kinds = new Map<string, readonly [thing: string, what: string]>([
    ...eventKinds.map((kind: EventKind) => [`task_${kind}`, ['task', kind]] as const),
    ...systemEventKinds.map((kind: SystemEventKind) => [kind.replace('.', '_'), pair(kind)] as const),
  ]);
  const types = data.fields.map((field) => {
    const kind = kinds.get(field.name);
    if (kind === undefined) throw new Error(`nothing in the code is told as dstc.v1.Event.${field.name}`);
    kinds.delete(field.name);
    return eventType(field, kind);
  });
  for (const missing of kinds.keys()) throw new Error(`dstc.v1.Event has no data ${missing}`);
  return types;
}

function eventType(field: DescField, [thing, what]: readonly [string, string]): EventType {
  if (field.message === undefined) throw new Error(`dstc.v1.Event.${field.name} is no message`);
  return {
    ...{ type: `dstc.${thing}.${what}.v1`, thing, what },
    name: field.localName,
    when: commentOf(field),
    data: field.message,
    moves: thing === 'task' ? moves.filter(({ effect }) => effect.event === what) : [],
  };
}

function pair(kind: SystemEventKind): readonly [string, string] {
  const [thing = '', what = ''] = kind.split('.');
  return [thing, what];
}
