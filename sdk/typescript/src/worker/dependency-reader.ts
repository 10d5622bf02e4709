import { create } from '@bufbuild/protobuf';
import {
  type DependencyResult as ContractResult,
  GetDependencyResultsRequestSchema,
  type GetDependencyResultsResponse,
  WorkerService,
} from '@dstc/contract/dstc/v1/worker_service_pb';
import type { Client } from '@grpc/grpc-js';
import { createCaller } from '../caller.ts';
import { type Endpoint, openChannel } from '../channel.ts';
import type { Credentials } from '../credentials.ts';
import { DstcError } from '../errors.ts';
import { decodePayload } from '../payload.ts';
import { stateNameOf, taskErrorOf } from '../task.ts';
import type { Job } from './job.ts';
import type { DependencyResult } from './task-context.ts';

export interface DependencyReaderOptions extends Endpoint {
  readonly credentials: Credentials;
  readonly namespace: string;
  /** What proves the worker session now. */
  readonly claim: () => { readonly sessionId: string; readonly resumeSecret: string } | undefined;
}

/** Reads what became of the tasks that a leased task depends on. */
export interface DependencyReader {
  readonly read: (job: Job) => Promise<readonly DependencyResult[]>;
  /** From now on, at this coordinator. */
  readonly use: (address: string) => void;
  readonly close: () => void;
}

/** One try, its repeats at one coordinator included; the next one goes to where the worker is connected then. */
const tryMs = 10_000;
const triesMax = 3;

interface Open {
  readonly address: string;
  readonly channel: Client;
  /** Calls under way. */
  calls: number;
}

/** Has a connection of its own, opened when a handler asks for the first time: the worker stream is for small things. */
export function dependencyReader(options: DependencyReaderOptions): DependencyReader {
  let { address } = options;
  let open: Open | undefined;

  function current(): Open {
    if (open?.address === address) return open;
    if (open?.calls === 0) open.channel.close();
    open = { address, channel: openChannel({ ...options, address }), calls: 0 };
    return open;
  }

  async function readPage(job: Job, pageToken: string): Promise<GetDependencyResultsResponse> {
    const session = options.claim();
    if (session === undefined) throw sessionLost();
    const { namespace, credentials } = options;
    const request = create(GetDependencyResultsRequestSchema, { namespace, session, lease: job.lease, pageToken });
    const used = current();
    used.calls += 1;
    try {
      const caller = createCaller({ channel: used.channel, credentials, timeoutMs: tryMs });
      return await caller.unary(WorkerService.method.getDependencyResults, request, { signal: job.signal });
    } finally {
      used.calls -= 1;
      if (used !== open && used.calls === 0) used.channel.close();
    }
  }

  async function readPageSomewhere(job: Job, pageToken: string): Promise<GetDependencyResultsResponse> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await readPage(job, pageToken);
      } catch (error) {
        const mayPass = error instanceof DstcError && mayPassCodes.has(error.code);
        if (!mayPass || tries === triesMax) throw error;
      }
    }
  }

  return {
    async read(job) {
      const results: DependencyResult[] = [];
      let pageToken = '';
      do {
        const page = await readPageSomewhere(job, pageToken);
        results.push(...page.results.map(dependencyResultOf));
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
      return results;
    },
    use(next) {
      address = next;
    },
    close() {
      open?.channel.close();
    },
  };
}

const mayPassCodes: ReadonlySet<string> = new Set(['UNAVAILABLE', 'DEADLINE_EXCEEDED']);

function dependencyResultOf(result: ContractResult): DependencyResult {
  return {
    taskId: result.taskId,
    type: result.taskType,
    state: stateNameOf(result.state),
    output: decodePayload(result.output),
    outputWithheld: result.outputWithheld,
    error: result.error && taskErrorOf(result.error),
  };
}

function sessionLost(): DstcError {
  return new DstcError({ reason: 'LEASE_LOST', code: 'FAILED_PRECONDITION', message: 'the worker session was lost' });
}
