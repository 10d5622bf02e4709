import { connectionFor, createClient, TaskFailedError } from '@dstc/sdk';
import type { PhotoMetadata } from './read-metadata.ts';
import { photoMetadataTasks } from './tasks.ts';
import { photoMetadataType } from './type.ts';

const operator = createClient(connectionFor('operator'));
await operator.types.apply(await photoMetadataType());
operator.close();

const producer = createClient(connectionFor('producer'));
let unexpected = 0;
for (const { type, input, labels, expect } of await photoMetadataTasks()) {
  const handle = await producer.submit(type, input, { labels });
  try {
    const { make, model, takenAt, gps } = (await handle.result()) as PhotoMetadata;
    if (expect !== 'SUCCEEDED') unexpected += 1;
    const where = gps === null ? 'nobody knows where' : `${gps.latitude.toFixed(4)}, ${gps.longitude.toFixed(4)}`;
    console.log(`${labels.photo}: ${make ?? '?'} ${model ?? '?'}, ${takenAt ?? 'no time'}, ${where}`);
  } catch (error) {
    if (!(error instanceof TaskFailedError)) throw error;
    if (expect !== 'FAILED') unexpected += 1;
    console.log(`${labels.photo}: ${error.error.code}: ${error.error.message}`);
  }
}
producer.close();
process.exitCode = unexpected === 0 ? 0 : 1;
