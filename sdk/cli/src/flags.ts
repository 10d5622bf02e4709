import type { FlagParametersForType } from '@stricli/core';
import type { ConnectionFlags } from './connection.ts';
import type { CliContext } from './context.ts';
import { parseDurationMs } from './duration.ts';
import { type OutputFormat, outputFormats } from './output/print.ts';

/** Flags of every command that calls a coordinator and prints what it answers. */
export interface CallFlags extends ConnectionFlags {
  readonly output: OutputFormat;
}

export const connectionFlags: FlagParametersForType<ConnectionFlags, CliContext> = {
  address: {
    kind: 'parsed',
    parse: String,
    optional: true,
    placeholder: 'host:port',
    brief: 'Coordinator to call (env DSTC_ADDRESS)',
  },
  namespace: {
    kind: 'parsed',
    parse: String,
    optional: true,
    placeholder: 'name',
    brief: 'Namespace to work in (env DSTC_NAMESPACE)',
  },
  profile: {
    kind: 'parsed',
    parse: String,
    optional: true,
    placeholder: 'name',
    brief: 'Login to use (env DSTC_PROFILE), see dstc login',
  },
  ca: {
    kind: 'parsed',
    parse: String,
    optional: true,
    placeholder: 'file',
    brief: 'PEM file of the authority that signed the coordinator (env DSTC_CA)',
  },
  plaintext: {
    kind: 'boolean',
    optional: true,
    withNegated: false,
    brief: 'Do not use TLS with an address that is not of this machine',
  },
};

export const callFlags: FlagParametersForType<CallFlags, CliContext> = {
  ...connectionFlags,
  output: { kind: 'enum', values: outputFormats, default: 'table', brief: 'How to print the answer' },
};

export const callAliases = { o: 'output' } as const;

export const durationFlag = (brief: string) =>
  ({ kind: 'parsed', parse: parseDurationMs, optional: true, placeholder: '10s', brief }) as const;

export const textFlag = (placeholder: string, brief: string) =>
  ({ kind: 'parsed', parse: String, optional: true, placeholder, brief }) as const;

export const labelsFlag = (brief: string) =>
  ({ kind: 'parsed', parse: parseLabel, optional: true, variadic: true, placeholder: 'key=value', brief }) as const;

export type Label = readonly [key: string, value: string];

/** Reads `key=value`; the value may be empty and may contain further equals signs. */
export function parseLabel(written: string): Label {
  const at = written.indexOf('=');
  if (at < 1) throw new Error(`"${written}" is no label: write key=value`);
  return [written.slice(0, at), written.slice(at + 1)];
}

/** A parser of whole numbers from min to max. */
export function integerParser(min: number, max: number): (written: string) => number {
  return (written) => {
    const number = Number(written);
    if (!/^\d+$/.test(written) || number < min || number > max) {
      throw new Error(`"${written}" is no whole number from ${min} to ${max}`);
    }
    return number;
  };
}
