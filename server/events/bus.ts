/** An event on its way out. */
export interface BusMessage {
  /** The same however often the event is published. */
  readonly id: string;
  readonly subject: string;
  /** `name: value` for each, in printable ASCII, with line ends between them. */
  readonly headers: string;
  readonly data: string | Uint8Array;
}

/** What carries events to the world. */
export interface EventBus {
  /**
   * Publishes messages side by side, and answers with what became of each: undefined when it is stored where consumers find
   * it, however often it was published before, and an error when that is not known.
   */
  readonly publish: (messages: readonly BusMessage[]) => Promise<readonly (Error | undefined)[]>;
  /** Whether publishing makes sense now. */
  readonly isAble: () => boolean;
  /** Calls back when that changes. */
  readonly onChange: (listener: () => void) => void;
  readonly counts: BusCounts;
  readonly close: () => Promise<void>;
}

/** Since the start of this node. */
export interface BusCounts {
  published: number;
  /** Events that were found stored already. */
  duplicates: number;
  reconnects: number;
}

/** The bus is away, or it has not said in time what became of a message. */
export class BusAwayError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'BusAwayError';
  }
}
