/** Text that the contract takes: well-formed, without NUL, and cut between characters when too long. */
export function boundedText(text: string, bytesMax: number): string {
  const bytes = Buffer.from(text.replaceAll('\0', ''));
  let end = Math.min(bytes.length, bytesMax);
  // Bytes that continue a character begin with the bits 10.
  while (end < bytes.length && end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end);
}
