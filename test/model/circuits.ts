import type { Model } from './model.ts';
import type { ModelTask } from './task-model.ts';
import { modelTypes, typeOf } from './types.ts';

export const modes = ['CLOSED', 'FORCED_OPEN', 'FORCED_CLOSED'] as const;
/** What an operator makes of a circuit; closed leaves it to the breaker. */
export type Mode = (typeof modes)[number];

/** What the end of an attempt says of its type. */
export type Verdict = 'passed' | 'failed' | 'fatal';

/** The circuit of a type, which every type has. */
export interface ModelCircuit {
  state: Mode | 'OPEN' | 'HALF_OPEN';
  by: 'system:circuit' | 'operator' | null;
  /** Of an open one: whether its time is over. */
  isDue: boolean;
  /** How often it has opened since it was closed. */
  openings: number;
  /** Of a closed one: what has ended within the window. */
  attempts: number;
  failures: number;
  /** Of a half-open one: those that were not looked after since they ended, or run. */
  probes: { readonly task: string; readonly lease: number; readonly attempt: number; verdict: Verdict | undefined }[];
  probesSucceeded: number;
  /** What has ended on which node, and was not added yet. */
  untold: { readonly node: number; readonly verdict: Verdict }[];
  readonly events: string[];
}

const atFirst = { by: null, isDue: false, openings: 0, attempts: 0, failures: 0, probesSucceeded: 0 } as const;
/** A longer outage is tried less often, but never less often than this. */
const openTimesMax = 16;

export function newCircuits(): Map<string, ModelCircuit> {
  return new Map(
    Object.keys(modelTypes).map((type) => [
      type,
      { state: 'CLOSED', ...atFirst, probes: [], untold: [], events: [] } satisfies ModelCircuit,
    ]),
  );
}

export function circuitOf({ circuits }: Model, type: string): ModelCircuit {
  const circuit = circuits.get(type);
  if (circuit === undefined) throw new Error(`${type} is no type of the model`);
  return circuit;
}

/** Whether one more task of the type may be leased. */
export function lets(model: Model, type: string): boolean {
  const { state, isDue, probes, probesSucceeded } = circuitOf(model, type);
  switch (state) {
    case 'CLOSED':
    case 'FORCED_CLOSED':
      return true;
    case 'FORCED_OPEN':
      return false;
    case 'OPEN':
      return isDue;
    case 'HALF_OPEN':
      // No more than are still missing.
      return probes.length + probesSucceeded < typeOf(type).breaker.probes;
  }
}

/** What is leased of a type that may not be well is a probe. */
export function noteLease(model: Model, task: ModelTask): void {
  const circuit = circuitOf(model, task.type);
  if (circuit.state === 'OPEN') become(circuit, 'HALF_OPEN', { openings: circuit.openings });
  if (circuit.state !== 'HALF_OPEN') return;
  const { name, attempt, leases } = task;
  circuit.probes.push({ task: name, lease: leases.length - 1, attempt, verdict: undefined });
}

/** An attempt has ended by itself. What was cancelled says nothing; a fatal failure does not wait to be told. */
export function judge(model: Model, task: ModelTask, verdict: Verdict): void {
  if (task.state === 'CANCELLED') return;
  const circuit = circuitOf(model, task.type);
  for (const probe of circuit.probes) if (isLeaseOf(task, probe)) probe.verdict = verdict;
  if (verdict !== 'fatal') circuit.untold.push({ node: model.node, verdict });
  else if (circuit.state === 'CLOSED' || circuit.state === 'HALF_OPEN') open(circuit);
}

/** Looks after probes that have ended; answers whether there were any. */
export function settleProbes(model: Model): boolean {
  const settled = [...model.circuits].map(([type, circuit]) => {
    const running = circuit.probes.filter((probe) => isRunning(model, probe));
    const ended = circuit.probes.filter((probe) => !running.includes(probe));
    if (ended.length === 0) return false;
    circuit.probes = running;
    circuit.probesSucceeded += ended.filter(({ verdict }) => verdict === 'passed').length;
    if (ended.some(({ verdict }) => verdict === 'failed')) open(circuit);
    else if (circuit.probesSucceeded === typeOf(type).breaker.probes) become(circuit, 'CLOSED');
    return true;
  });
  return settled.includes(true);
}

/** Looks after probes, and adds what has ended: of each node all at once. Answers with what that has opened. */
export function tellCircuits(model: Model, nodes: number): string[] {
  settleProbes(model);
  return [...model.circuits].flatMap(([type, circuit]) => {
    const { untold } = circuit;
    circuit.untold = [];
    return Array.from({ length: nodes }, (_, node) =>
      add(
        type,
        circuit,
        untold.filter((end) => end.node === node),
      ),
    ).flat();
  });
}

function add(type: string, circuit: ModelCircuit, ends: ModelCircuit['untold']): string[] {
  const { failureRatio, attemptsMin } = typeOf(type).breaker;
  if (failureRatio === 0 || circuit.state !== 'CLOSED') return [];
  circuit.attempts += ends.length;
  circuit.failures += ends.filter(({ verdict }) => verdict === 'failed').length;
  if (circuit.attempts < attemptsMin || circuit.failures / circuit.attempts < failureRatio) return [];
  open(circuit);
  return ['circuit: opened by the share'];
}

/** By hand; what is so already stays as it is. */
export function setCircuit(circuit: ModelCircuit, mode: Mode): void {
  if (circuit.state !== mode) become(circuit, mode, { by: 'operator' });
}

/** The time of an open one is over. */
export function letBeTried(circuit: ModelCircuit): void {
  if (circuit.state === 'OPEN') circuit.isDue = true;
}

export function letWindowPass(circuit: ModelCircuit): void {
  Object.assign(circuit, { attempts: 0, failures: 0 });
}

/** Of an open one: how many times the open time of its type it stays so. */
export function openTimesOf({ openings }: ModelCircuit): number {
  return Math.min(2 ** (openings - 1), openTimesMax);
}

function open(circuit: ModelCircuit): void {
  become(circuit, 'OPEN', { openings: circuit.openings + 1 });
}

const eventOf = {
  ...{ CLOSED: 'closed', OPEN: 'opened', HALF_OPEN: 'half_opened' },
  ...{ FORCED_OPEN: 'opened, forced', FORCED_CLOSED: 'closed, forced' },
} as const;

/** Whatever it was before, it begins anew. */
function become(circuit: ModelCircuit, state: ModelCircuit['state'], kept: Partial<ModelCircuit> = {}): void {
  Object.assign(circuit, { state, ...atFirst, by: 'system:circuit', probes: [], ...kept });
  circuit.events.push(eventOf[state]);
}

type Probe = ModelCircuit['probes'][number];

function isRunning({ tasks }: Model, probe: Probe): boolean {
  const task = tasks.get(probe.task);
  return task?.state === 'RUNNING' && isLeaseOf(task, probe);
}

/** Whether it is the last one of the task. */
function isLeaseOf(task: ModelTask, probe: Probe): boolean {
  return task.name === probe.task && task.leases.length - 1 === probe.lease;
}
