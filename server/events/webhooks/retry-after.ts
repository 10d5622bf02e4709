/** HTTP dates of the form that is used today: `Sun, 06 Nov 1994 08:49:37 GMT`. */
const httpDate = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/**
 * How long an endpoint asks to be left alone, up to a bound; undefined when it does not. A date is compared with the
 * `Date` of the answer, so that no clock has to be right, and with this node's clock when there is none.
 */
export function retryAfterMs(
  headers: { readonly 'retry-after'?: string | undefined; readonly date?: string | undefined },
  { nowMs, msMax }: { readonly nowMs: number; readonly msMax: number },
): number | undefined {
  const text = headers['retry-after']?.trim() ?? '';
  if (/^\d+$/.test(text)) return Math.min(Number(text) * 1_000, msMax);
  const untilMs = timeOf(text);
  if (untilMs === undefined) return undefined;
  return Math.min(Math.max(0, untilMs - (timeOf(headers.date) ?? nowMs)), msMax);
}

function timeOf(text: string | undefined): number | undefined {
  if (text === undefined || !httpDate.test(text)) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}
