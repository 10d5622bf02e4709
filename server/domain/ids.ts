/** Branded ids: a string that was parsed once is not mixed up afterwards. */
declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

/** A task's UUIDv7. */
export type TaskId = Branded<'TaskId'>;
/** A lease's random UUID. */
export type LeaseId = Branded<'LeaseId'>;
/** A worker session's random UUID. */
export type SessionId = Branded<'SessionId'>;

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

function parseUuid<Id extends string>(text: string): Id {
  const lower = text.toLowerCase();
  if (!uuidPattern.test(lower)) throw new TypeError(`not a UUID: ${JSON.stringify(text.slice(0, 64))}`);
  return lower as Id;
}

export const parseTaskId = (text: string): TaskId => parseUuid<TaskId>(text);
export const parseLeaseId = (text: string): LeaseId => parseUuid<LeaseId>(text);
export const parseSessionId = (text: string): SessionId => parseUuid<SessionId>(text);

/** The right of one session to one attempt; a report counts only while all three are current. */
export interface Fence {
  readonly taskId: TaskId;
  readonly attempt: number;
  readonly leaseId: LeaseId;
}

export function isSameFence(one: Fence, other: Fence): boolean {
  return one.leaseId === other.leaseId && one.taskId === other.taskId && one.attempt === other.attempt;
}
