import { readdir, readFile } from 'node:fs/promises';
import type { BinaryPayload, Submission } from '@dstc/sdk';

/** A task and how it is to end. */
export interface PhotoMetadataTask extends Submission {
  readonly input: BinaryPayload;
  readonly labels: { readonly example: string; readonly photo: string };
  readonly expect: 'SUCCEEDED' | 'FAILED';
}

const data = new URL('data/', import.meta.url);
/** Files that are no photos any more, or never were. */
const unreadable: ReadonlySet<string> = new Set(['download-failed.jpg', 'truncated.jpg', 'endless-exif.jpg']);

/** One task for each photo in data/. */
export async function photoMetadataTasks(): Promise<readonly PhotoMetadataTask[]> {
  const photos = (await readdir(data)).filter((name) => name.endsWith('.jpg')).sort();
  return Promise.all(
    photos.map(async (photo) => ({
      type: 'extract-metadata',
      input: { data: await readFile(new URL(photo, data)), contentType: 'image/jpeg' },
      labels: { example: 'photo-metadata', photo },
      expect: unreadable.has(photo) ? 'FAILED' : 'SUCCEEDED',
    })),
  );
}
