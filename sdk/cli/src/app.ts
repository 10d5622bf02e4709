import { type Application, buildApplication, buildRouteMap, text_en } from '@stricli/core';
import { completeWith, completion } from './commands/completion.ts';
import { eventRuleCommands } from './commands/event-rule.ts';
import { eventCommands } from './commands/events.ts';
import { login, logout } from './commands/login.ts';
import { namespaceCommands } from './commands/namespace.ts';
import { dev, migrate, serve } from './commands/server.ts';
import { taskCommands } from './commands/task.ts';
import { token } from './commands/token.ts';
import { typeCommands } from './commands/type.ts';
import { webhookCommands } from './commands/webhook.ts';
import { workerCommands } from './commands/worker.ts';
import { completeCommand } from './completion.ts';
import type { CliContext } from './context.ts';
import { errorText } from './error-text.ts';
import { Exit, exitCodeOf } from './exit.ts';
import { shown } from './output/shown.ts';

/** Every command there is. */
export function createApplication({ version, debug }: { version: string; debug: boolean }): Application<CliContext> {
  const describe = (error: unknown) => shown(debug && error instanceof Error ? String(error.stack) : errorText(error));
  const failure = (error: unknown) => (error instanceof Exit ? '' : `dstc: ${describe(error)}`);
  const application: Application<CliContext> = buildApplication(
    buildRouteMap({
      routes: {
        dev,
        serve,
        migrate,
        login,
        logout,
        token,
        type: typeCommands,
        task: taskCommands,
        worker: workerCommands,
        events: eventCommands,
        namespace: namespaceCommands,
        eventRule: eventRuleCommands,
        webhook: webhookCommands,
        completion,
        [completeCommand]: completeWith(() => application),
      },
      docs: {
        brief: 'DSTC: tasks that many teams and languages share',
        fullDescription: `DSTC: tasks that many teams and languages share.

  dstc dev                                            start everything on this machine
  dstc type apply -f type.yaml                        say what a task is
  dstc task submit TYPE --input '{"…"}' --wait        have one done
  dstc worker exec --type TYPE -- program             do them with any program

Exit codes: 0 done; 1 failed, or a task that was waited for did not succeed; 2 the command line is wrong; 130 interrupted.
News and errors go to stderr, results to stdout. DSTC_DEBUG=1 shows stack traces; NO_COLOR=1 turns colours off.`,
        hideRoute: { [completeCommand]: true },
      },
    }),
    {
      name: 'dstc',
      versionInfo: { currentVersion: version },
      scanner: { caseStyle: 'allow-kebab-for-camel', allowArgumentEscapeSequence: true },
      documentation: { useAliasInUsageLine: false, onlyRequiredInUsageLine: true },
      localization: {
        text: {
          ...text_en,
          exceptionWhileParsingArguments: (error) =>
            `dstc: ${error instanceof Error ? error.message : String(error)}; see --help`,
          exceptionWhileLoadingCommandFunction: failure,
          exceptionWhileLoadingCommandContext: failure,
          exceptionWhileRunningCommand: failure,
          commandErrorResult: failure,
          noCommandRegisteredForInput: ({ input, corrections }) =>
            `dstc: there is no command "${input}"${corrections.length === 0 ? '' : `; did you mean ${corrections.join(' or ')}?`}`,
        },
      },
      determineExitCode: exitCodeOf,
    },
  );
  return application;
}
