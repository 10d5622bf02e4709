import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { freePort } from './free-port.ts';

const program = fileURLToPath(new URL('../../server/main.ts', import.meta.url));
const policyFile = fileURLToPath(new URL('../../server/embedded/policy.yaml', import.meta.url));

/** A coordinator in a process of its own, to be killed and started again on the same ports. */
export interface CoordinatorProcess {
  readonly grpcAddress: string;
  readonly httpUrl: string;
  /** Resolves when it serves. */
  readonly start: () => Promise<void>;
  /** Ends it without a chance to tidy up, and resolves when it is gone. */
  readonly kill: () => Promise<void>;
  /** Ends it in order, and resolves with its exit code. */
  readonly terminate: () => Promise<number | null>;
  /** Asks it to end in order and does not wait. */
  readonly askToStop: () => void;
}

export interface CoordinatorProcessOptions {
  readonly databaseUrl: string;
  readonly issuer: string;
  readonly name: string;
  readonly settings?: Readonly<Record<string, string>>;
  /** A module that is loaded before the program. */
  readonly preload?: URL;
}

export async function coordinatorProcess(options: CoordinatorProcessOptions): Promise<CoordinatorProcess> {
  const [grpcPort, httpPort] = [await freePort(), await freePort()];
  const preload = options.preload === undefined ? [] : ['--import', options.preload.href];
  let child: ChildProcess | undefined;

  async function end(signal: NodeJS.Signals): Promise<number | null> {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
    return child.exitCode;
  }

  return {
    grpcAddress: `127.0.0.1:${grpcPort}`,
    httpUrl: `http://127.0.0.1:${httpPort}`,
    async start() {
      const started = spawn(process.execPath, ['--conditions=dstc-source', ...preload, program, 'serve'], {
        // Over the channel it says that it is ready, and notices when this process is gone.
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
        env: {
          PATH: process.env.PATH,
          DATABASE_URL: options.databaseUrl,
          // A file of settings brings its own.
          ...(options.settings?.DSTC_CONFIG_FILE === undefined ? { DSTC_ISSUER: options.issuer } : {}),
          DSTC_POLICY_FILE: policyFile,
          DSTC_GRPC_ADDRESS: `127.0.0.1:${grpcPort}`,
          DSTC_HTTP_ADDRESS: `127.0.0.1:${httpPort}`,
          DSTC_NODE_NAME: options.name,
          DSTC_LOG_LEVEL: process.env.DSTC_TEST_LOG ?? 'fatal',
          ...options.settings,
        },
      });
      child = started;
      const exited = once(started, 'exit').then(([code]) => {
        throw new Error(`the coordinator ended with ${code} instead of serving`);
      });
      await Promise.race([once(started, 'message'), exited]);
      exited.catch(() => undefined);
    },
    kill: async () => void (await end('SIGKILL')),
    terminate: () => end('SIGTERM'),
    askToStop: () => void child?.kill('SIGTERM'),
  };
}
