/** What can happen to things that are no tasks: of which thing, and what. */
export const systemEventKinds = [
  'task_type.applied',
  'task_type.deleted',
  'task_type.paused',
  'task_type.resumed',
  'circuit.opened',
  'circuit.half_opened',
  'circuit.closed',
  'namespace.paused',
  'namespace.resumed',
  'worker_session.started',
  'worker_session.drained',
  'worker_session.ended',
  'policy.changed',
] as const;
export type SystemEventKind = (typeof systemEventKinds)[number];

/** What is told beside the subject; a field is there for the kinds that its comment names. */
export interface SystemEventData {
  /** For what people or the coordinator did deliberately, and for the end of a worker session. */
  readonly reason?: string;
  /** Of a task type that was applied or deleted. */
  readonly etag?: string;
  /** Of a circuit that people opened or closed: it stays so until they say otherwise. */
  readonly isForced?: boolean;
  /** Of a worker session that has started: its task types with their slots, its labels and its node. */
  readonly taskTypes?: Readonly<Record<string, number>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly node?: string;
  /** Of a worker session that is drained: when what it holds goes to others; ISO 8601, absent for never. */
  readonly deadline?: string;
  /** Of the policy: SHA-256 of the file, in hexadecimal. */
  readonly digest?: string;
}
