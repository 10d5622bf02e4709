/** Between the nodes of an installation: small, fast, and not to be relied upon. A node does not hear itself. */
export interface HintChannel {
  readonly give: (hint: Uint8Array) => void;
  readonly listen: (listener: (hint: Uint8Array) => void) => void;
  readonly close: () => Promise<void>;
}
