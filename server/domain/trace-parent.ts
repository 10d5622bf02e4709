/** `traceparent` of W3C Trace Context, version 00, in full. */
export const traceParentPattern = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** One that is malformed counts as none. */
export function validTraceParent(text: string | undefined): string | undefined {
  return text !== undefined && traceParentPattern.test(text) ? text : undefined;
}
