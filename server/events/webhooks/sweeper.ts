import type { Logger } from 'pino';
import { limits } from '../../domain/limits.ts';
import type { Database } from '../../store/database.ts';
import {
  deleteAbandonedDeliveries,
  deleteOldDeliveries,
  deleteOldReferences,
  expireDeliveries,
  giveUpExcess,
  type LogBounds,
  removeEmptyWebhooks,
  selectWebhookFigures,
} from '../../store/sweep-webhooks.ts';
import { createPause } from '../pause.ts';

/** Over all nodes, as of the last turn; what waits is counted up to a bound. */
export interface WebhookFigures {
  readonly pending: number;
  readonly openCircuits: number;
}

/** Keeps what waits and what is logged within bounds. Every node does; none depends on another. */
export interface Sweeper {
  readonly figures: () => WebhookFigures;
  readonly stop: () => Promise<void>;
}

const bounds: LogBounds = {
  pendingMax: limits.webhookPendingMax,
  deadLettersMax: limits.webhookDeadLettersMax,
  succeededMax: limits.webhookSucceededMax,
  logMsMax: limits.webhookLogMsMax,
};

export function startSweeper(deps: { readonly database: Database; readonly log: Logger }): Sweeper {
  const pause = createPause();
  let figures: WebhookFigures = { pending: 0, openCircuits: 0 };
  let isStopping = false;
  const loop = keepSweeping();

  async function keepSweeping(): Promise<void> {
    while (!isStopping) {
      try {
        await sweepWebhooks(deps.database, bounds, () => isStopping);
        figures = await deps.database.run((sql) => selectWebhookFigures(sql, limits.webhookCountMax));
      } catch (error) {
        deps.log.warn({ err: error }, 'webhooks were not swept; the next turn follows');
      }
      if (!isStopping) await pause.forMs(limits.webhookSweepIntervalMs);
    }
  }

  return {
    figures: () => figures,
    async stop() {
      isStopping = true;
      pause.end();
      await loop;
    },
  };
}

/** One turn, in statements of a bounded size. */
export async function sweepWebhooks(
  { run, transaction }: Pick<Database, 'run' | 'transaction'>,
  logBounds: LogBounds,
  isEnough: () => boolean = () => false,
): Promise<void> {
  const batchMax = limits.webhookBatchMax;
  const steps = [
    () => run((sql) => expireDeliveries(sql, batchMax)),
    () => run((sql) => giveUpExcess(sql, logBounds, batchMax)),
    () => run((sql) => deleteOldDeliveries(sql, logBounds, batchMax)),
    () => run((sql) => deleteAbandonedDeliveries(sql, batchMax)),
    () => run((sql) => deleteOldReferences(sql, limits.webhookReferenceMsMax, batchMax)),
  ];
  for (const step of steps) while ((await step()) >= batchMax && !isEnough());
  await transaction(removeEmptyWebhooks);
}
