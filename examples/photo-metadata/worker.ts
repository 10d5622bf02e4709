import { type BinaryPayload, connectionFor, PermanentError, Worker } from '@dstc/sdk';
import { PhotoUnreadable, readMetadata } from './read-metadata.ts';

const worker = new Worker({
  ...connectionFor('worker'),
  concurrency: 2,
  name: 'photo-metadata',
  onConnected: () => console.log('ready to read photos'),
});
worker.handle('extract-metadata', async (input) => {
  if (!isJpegPayload(input)) throw new PermanentError('NOT_A_JPEG', 'send the photo itself, as image/jpeg');
  try {
    return await readMetadata(input.data);
  } catch (error) {
    if (error instanceof PhotoUnreadable) throw new PermanentError(error.code, error.message, { cause: error });
    throw error;
  }
});
await worker.run();

function isJpegPayload(input: unknown): input is BinaryPayload {
  return typeof input === 'object' && input !== null && 'data' in input && input.data instanceof Uint8Array;
}
