import { readStream } from '../setup/read-stream.ts';
import { joinStorm, settings, tell } from './messages.ts';

/** Reads the stream in NATS, with nothing of DSTC, and tells of all that it sees. */
joinStorm();
const { natsUrl: url = '' } = settings();
await readStream({ url, stream: 'dstc', signal: new AbortController().signal }, (life, events) =>
  tell({ kind: 'seen on the stream', life, events }),
);
