import { headersIn } from '../../scripts/events/published.ts';
import { createLocalBus } from '../../server/events/local-bus.ts';
import { busSuite, type StoredMessage } from './bus-suite.ts';

busSuite('the bus within a process', async () => {
  const bus = createLocalBus();
  const stored: StoredMessage[] = [];
  bus.listen(({ id, subject, headers, data }) => {
    stored.push({ id, subject, headers: headersIn(headers), data: String(Buffer.from(data)) });
  });
  return { join: async () => bus.join(), stored: async () => stored, stop: async () => undefined };
});
