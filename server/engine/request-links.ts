import { type Dependency, dependencyField } from '../domain/dependency.ts';
import { DstcError, fieldInvalid } from '../domain/errors.ts';
import { limits } from '../domain/limits.ts';
import { inOrder } from '../domain/request-graph.ts';
import type { Submission } from './submit.ts';

type Request = Submission | DstcError;

/** The positions in the call that a request refers to. */
export function referencesOf(request: Request): number[] {
  if (request instanceof DstcError) return [];
  return request.dependencies.flatMap((dependency) => ('taskId' in dependency ? [] : [dependency.requestIndex]));
}

/** The requests of one call, with an error in the place of each whose references cannot be; what is left has an order. */
export function withoutBadLinks(requests: readonly Request[]): Request[] {
  let links = 0;
  const checked = requests.map((request, index) => {
    if (request instanceof DstcError) return request;
    links += request.dependencies.length;
    if (links > limits.dependenciesPerCallMax) return tooManyLinks();
    return faultOf(request, index, requests) ?? request;
  });
  return withoutCycles(checked);
}

function faultOf(request: Submission, index: number, requests: readonly Request[]): DstcError | undefined {
  for (const [position, dependency] of request.dependencies.entries()) {
    if ('taskId' in dependency) continue;
    const field = dependencyField(dependency, position);
    const { requestIndex } = dependency;
    const target = requests[requestIndex];
    if (requestIndex === index) return fieldInvalid(field, 'is the request itself; a task cannot wait for its own end');
    if (target === undefined) return fieldInvalid(field, `is ${requestIndex}, and the call has no such request`);
    if (!(target instanceof DstcError) && target.namespace !== request.namespace) {
      return fieldInvalid(field, `is ${requestIndex}, a request of another namespace`);
    }
  }
  return undefined;
}

/** What only comes after a cycle stays: it is refused later, because what it refers to is. */
function withoutCycles(requests: readonly Request[]): Request[] {
  const references = requests.map(referencesOf);
  const afterNone = new Set(inOrder(references));
  if (afterNone.size === requests.length) return [...requests];
  const beforeNone = new Set(inOrder(reversed(references)));
  const isInCycle = (index: number) => !afterNone.has(index) && !beforeNone.has(index);
  return requests.map((request, index) => {
    if (request instanceof DstcError || !isInCycle(index)) return request;
    const position = request.dependencies.findIndex(
      (dependency) => 'requestIndex' in dependency && isInCycle(dependency.requestIndex),
    );
    const dependency = request.dependencies[position];
    return dependency === undefined ? request : partOfCycle(dependency, position);
  });
}

function partOfCycle(dependency: Dependency, position: number): DstcError {
  const target = 'requestIndex' in dependency ? dependency.requestIndex : '';
  const description = `is ${target}, a request that waits for this one, directly or through others`;
  return fieldInvalid(dependencyField(dependency, position), description);
}

function reversed(references: readonly (readonly number[])[]): number[][] {
  const referrers = references.map((): number[] => []);
  for (const [index, targets] of references.entries()) for (const target of targets) referrers[target]?.push(index);
  return referrers;
}

function tooManyLinks(): DstcError {
  const { dependenciesPerCallMax } = limits;
  const error = fieldInvalid('dependencies', `are more than ${dependenciesPerCallMax} in one call; send several calls`);
  return error;
}
