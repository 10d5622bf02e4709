import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { PhotoUnreadable, readMetadata } from './read-metadata.ts';

const photo = (name: string) => readFile(new URL(`data/${name}`, import.meta.url));

test('reads maker, local time, size, orientation and position', async () => {
  expect(await readMetadata(await photo('iphone-4s-stockholm.jpg'))).toEqual({
    make: 'Apple',
    model: 'iPhone 4S',
    takenAt: '2014-09-01T15:03:47',
    width: 3264,
    height: 2448,
    orientation: 6,
    gps: { latitude: expect.closeTo(59.33255, 5), longitude: expect.closeTo(18.06494, 5), altitude: 29 },
  });
});

test('puts the west and a missing altitude where they belong', async () => {
  expect((await readMetadata(await photo('htc-salt-lake-city.jpg'))).gps?.longitude).toBeCloseTo(-111.89122, 5);
  expect((await readMetadata(await photo('nikon-d2h-beijing.jpg'))).gps?.altitude).toBeNull();
});

test('answers null for what the camera did not write, or not in a usable way', async () => {
  expect(await readMetadata(await photo('brother-scanner-no-date.jpg'))).toMatchObject({
    make: 'Brother',
    takenAt: null,
  });
  expect(await readMetadata(await photo('broken-gps.jpg'))).toMatchObject({ make: null, gps: null });
});

test.each([
  ['download-failed.jpg', 'NOT_A_JPEG'],
  ['truncated.jpg', 'EXIF_UNREADABLE'],
  // A directory that points to itself.
  ['endless-exif.jpg', 'EXIF_UNREADABLE'],
])('refuses %s with %s', async (name, code) => {
  const failure = await readMetadata(await photo(name)).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(PhotoUnreadable);
  expect(failure).toMatchObject({ code });
});

test('answers nulls for a JPEG without metadata', async () => {
  const plain = Uint8Array.from([0xff, 0xd8, 0xff, 0xd9]);
  expect(await readMetadata(plain)).toMatchObject({ make: null, width: null, gps: null });
});

test('refuses an empty input', async () => {
  await expect(readMetadata(new Uint8Array())).rejects.toMatchObject({ code: 'NOT_A_JPEG' });
});
