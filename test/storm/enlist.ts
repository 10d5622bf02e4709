import type { TestIdentityProvider } from '../setup/identity-provider.ts';
import { type Member, member } from './member.ts';
import type { Settings } from './messages.ts';
import type { Node } from './nodes.ts';
import type { Random } from './random.ts';
import { note, type StormRecord } from './record.ts';
import type { Target } from './world.ts';

/** A process that a fault can hit. */
export interface Hand extends Target {
  readonly process: Member;
}

export interface EnlistDeps {
  readonly identity: TestIdentityProvider;
  readonly nodes: readonly Node[];
  readonly natsUrl: string | undefined;
  /** PEM, of the coordinators. */
  readonly ca: string;
  readonly hookPort: number;
  readonly random: Random;
  readonly record: StormRecord;
}

/** Starts a process for each name, from a file beside this one, with the tokens of a client. */
export type Enlist = (names: readonly string[], file: string, client: 'worker' | 'producer' | 'operator') => Hand[];

/** What is to be undone goes to `undo`. */
export function createEnlist(
  { identity, nodes, natsUrl, ca, hookPort, random, record }: EnlistDeps,
  undo: (() => unknown)[],
): Enlist {
  return (names, file, client) =>
    names.map((name) => {
      const { clientId, clientSecret } = identity.clients[client];
      const settings: Settings = {
        ...{ name, issuer: identity.issuer, signingKey: identity.signingKey, natsUrl, ca, hookPort },
        addresses: nodes.map(({ frontAddress }) => frontAddress),
        nodes: nodes.map(({ address }) => address),
        seed: Math.floor(random.next() * 2 ** 31),
        // A guest has tokens of its own.
        clientId: file === 'guest.ts' ? name : clientId,
        clientSecret,
      };
      const process = member({
        file,
        settings,
        onMessage: (message) => note(record, name, message),
        onDeath: (how) => record.accidents.push(`${name} ended by itself with ${how}`),
      });
      undo.push(() => process.end('SIGKILL'));
      process.start();
      return { name, process, isHit: false };
    });
}
