import { shortened } from '../event-facts.ts';
import { fillIn } from '../placeholders.ts';
import type { Format } from './format.ts';
import { githubHeaders } from './github-headers.ts';

/** https://docs.github.com/en/rest: create a workflow dispatch event, create a repository dispatch event. */
export const githubActions: Format<'github_actions'> = ({ workflow, ref, inputs }, facts) => {
  if (workflow !== '') {
    const path = `/actions/workflows/${encodeURIComponent(workflow)}/dispatches`;
    return [{ method: 'POST', path, headers: githubHeaders, body: { ref, inputs: fillIn(inputs, facts) } }];
  }
  // GitHub takes ten properties, and 100 characters of a type.
  const payload = {
    event_id: facts.id,
    time: facts.time,
    namespace: facts.namespace,
    task_id: facts.taskId,
    task_type: facts.taskType,
    attempt: facts.attempt,
    error_code: facts.errorCode,
  };
  const body = { event_type: shortened(facts.type, 100), client_payload: payload };
  return [{ method: 'POST', path: '/dispatches', headers: githubHeaders, body }];
};
