import exifr from 'exifr';

/** What a camera wrote into a photo; null where it wrote nothing usable. */
export interface PhotoMetadata {
  readonly make: string | null;
  readonly model: string | null;
  /** ISO 8601 in the local time of the camera, with an offset if it knew one: `2014-09-01T15:03:47`. */
  readonly takenAt: string | null;
  /** Pixels, as recorded. */
  readonly width: number | null;
  readonly height: number | null;
  /** 1 to 8; 1 is upright. */
  readonly orientation: number | null;
  readonly gps: GpsPosition | null;
}

interface GpsPosition {
  /** Degrees. */
  readonly latitude: number;
  readonly longitude: number;
  /** Metres above sea level. */
  readonly altitude: number | null;
}

/** The bytes are no photo that can be read: another attempt cannot help. */
export class PhotoUnreadable extends Error {
  readonly code: 'NOT_A_JPEG' | 'EXIF_UNREADABLE';

  constructor(code: PhotoUnreadable['code'], message: string) {
    super(message);
    this.name = 'PhotoUnreadable';
    this.code = code;
  }
}

/** Reads EXIF and GPS from the bytes of a JPEG file. Throws PhotoUnreadable. */
export async function readMetadata(jpeg: Uint8Array): Promise<PhotoMetadata> {
  if (!isJpeg(jpeg)) throw new PhotoUnreadable('NOT_A_JPEG', 'the input does not begin like a JPEG file');
  // Undefined when there is no metadata at all, which is no fault of the file.
  const tags: Tags = (await exifr.parse(jpeg, exifrOptions)) ?? {};
  if (tags.errors !== undefined) throw new PhotoUnreadable('EXIF_UNREADABLE', 'the metadata is cut off or damaged');
  return {
    make: text(tags.Make),
    model: text(tags.Model),
    takenAt: localTime(tags.DateTimeOriginal ?? tags.CreateDate, tags.OffsetTimeOriginal),
    width: wholeNumber(tags.ExifImageWidth ?? tags.ImageWidth, 1, 1_000_000),
    height: wholeNumber(tags.ExifImageHeight ?? tags.ImageHeight, 1, 1_000_000),
    orientation: wholeNumber(tags.Orientation, 1, 8),
    gps: position(tags),
  };
}

type Tags = Readonly<Record<string, unknown>>;

const exifrOptions = {
  tiff: true,
  exif: true,
  gps: true,
  makerNote: false,
  userComment: false,
  // Times stay as written: reviving them would read them in the time zone of the worker.
  reviveValues: false,
  translateValues: false,
};

function isJpeg(bytes: Uint8Array): boolean {
  return bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff;
}

function text(value: unknown): string | null {
  if (typeof value !== 'string') return null;
  const trimmed = value.trim();
  return trimmed === '' ? null : trimmed;
}

/** EXIF writes `2014:09:01 15:03:47`, or blanks when the clock was never set. */
function localTime(value: unknown, offset: unknown): string | null {
  const match = /^(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)$/.exec(text(value) ?? '');
  if (match === null) return null;
  const [, year, month, day, time] = match;
  const known = typeof offset === 'string' && /^[+-]\d\d:\d\d$/.test(offset) ? offset : '';
  return `${year}-${month}-${day}T${time}${known}`;
}

function wholeNumber(value: unknown, min: number, max: number): number | null {
  return Number.isInteger(value) && Number(value) >= min && Number(value) <= max ? Number(value) : null;
}

function position(tags: Tags): GpsPosition | null {
  const latitude = degrees(tags.latitude, 90);
  const longitude = degrees(tags.longitude, 180);
  return latitude === null || longitude === null ? null : { latitude, longitude, altitude: altitude(tags) };
}

function degrees(value: unknown, max: number): number | null {
  return typeof value === 'number' && Math.abs(value) <= max ? value : null;
}

function altitude(tags: Tags): number | null {
  if (typeof tags.GPSAltitude !== 'number' || !Number.isFinite(tags.GPSAltitude)) return null;
  const belowSeaLevel = tags.GPSAltitudeRef instanceof Uint8Array && tags.GPSAltitudeRef[0] === 1;
  return belowSeaLevel ? -tags.GPSAltitude : tags.GPSAltitude;
}
