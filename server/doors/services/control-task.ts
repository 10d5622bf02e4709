import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import type { Task } from '@dstc/contract/dstc/v1/task_pb';
import type { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import type { Permission } from '../../auth/permission.ts';
import type { ControlCommand } from '../../domain/control.ts';
import { limits } from '../../domain/limits.ts';
import type { Control, Order } from '../../engine/control.ts';
import { callerOf } from '../context.ts';
import { payloadOf } from '../convert/payload.ts';
import { toSteeredTask, toTask } from '../convert/task.ts';
import { optionalMs } from '../convert/time.ts';
import { type FindTaskDeps, permittedTask, type TaskRequest, taskSummary } from './find-task.ts';

export interface ControlTaskDeps extends FindTaskDeps {
  readonly control: Control;
}

type ControlRpc = 'cancelTask' | 'pauseTask' | 'resumeTask' | 'skipTask' | 'redriveTask' | 'discardTask';

/** What each command of people needs on the task's type. */
export const permissionOfCommand = {
  cancel: 'cancel',
  pause: 'pause',
  resume: 'pause',
  skip: 'cancel',
  redrive: 'redrive',
  discard: 'redrive',
} as const satisfies Record<ControlCommand, Permission>;

/** The RPCs that steer one task. */
export function controlTask(deps: ControlTaskDeps): Pick<ServiceImpl<typeof TaskService>, ControlRpc> {
  async function carryOut(
    command: ControlCommand,
    request: TaskRequest & Pick<Order, 'reason'>,
    context: HandlerContext,
    options: Pick<Order, 'graceMs' | 'delayMs' | 'input'> = {},
  ): Promise<{ task: Task }> {
    const caller = callerOf(context);
    const { namespace, id, type } = await permittedTask(deps, request, context, permissionOfCommand[command]);
    if (options.input !== undefined) caller.require('submit', namespace, type);
    const { actor } = caller.principal;
    await deps.control({ namespace, id, type, command, actor, reason: request.reason, ...options });
    const row = await taskSummary(deps, request);
    return { task: caller.may('read', namespace, type) ? toTask(row) : toSteeredTask(row) };
  }

  return {
    cancelTask: (request, context) =>
      carryOut('cancel', request, context, {
        graceMs: optionalMs('grace', request.grace) ?? limits.cancelGraceMsDefault,
      }),
    pauseTask: (request, context) => carryOut('pause', request, context),
    resumeTask: (request, context) => carryOut('resume', request, context),
    skipTask: (request, context) => carryOut('skip', request, context),
    redriveTask: (request, context) =>
      carryOut('redrive', request, context, {
        delayMs: optionalMs('delay', request.delay) ?? 0,
        input: request.input && payloadOf('input', request.input),
      }),
    discardTask: (request, context) => carryOut('discard', request, context),
  };
}
