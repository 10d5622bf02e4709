import picocolors from 'picocolors';
import { shown, type Text } from './shown.ts';

/** The two streams of a command, and how they may be written to. */
export interface Screen {
  /** Results. */
  readonly out: (text: Text) => void;
  /** News and errors, so that results can be piped. */
  readonly err: (text: Text) => void;
  readonly colors: ReturnType<typeof picocolors.createColors>;
  /** Whether a person watches the news: bars and lines that overwrite themselves are for them. */
  readonly isWatched: boolean;
}

export function screenOf({ stdout, stderr, env }: Pick<NodeJS.Process, 'stdout' | 'stderr' | 'env'>): Screen {
  return {
    out: (text) => void stdout.write(`${shown(text)}\n`),
    err: (text) => void stderr.write(`${shown(text)}\n`),
    colors: picocolors.createColors(wantsColors(stdout.isTTY, env)),
    isWatched: stderr.isTTY === true && env.TERM !== 'dumb',
  };
}

/** https://no-color.org: any value but an empty one turns colours off. FORCE_COLOR turns them on in a pipe. */
export function wantsColors(isTerminal: boolean | undefined, env: NodeJS.ProcessEnv): boolean {
  if (env.NO_COLOR !== undefined && env.NO_COLOR !== '') return false;
  if (env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== '' && env.FORCE_COLOR !== '0') return true;
  return isTerminal === true && env.TERM !== 'dumb';
}
