import { fillIn } from '../placeholders.ts';
import { type Format, jsonHeaders } from './format.ts';

const variablesDefault = {
  DSTC_EVENT_ID: '{event_id}',
  DSTC_EVENT_TYPE: '{event_type}',
  DSTC_TASK_ID: '{task_id}',
  DSTC_TASK_TYPE: '{task_type}',
};

/** https://docs.gitlab.com/api/pipeline_triggers: trigger a pipeline with a token. */
export const gitlabPipeline: Format<'gitlab_pipeline'> = ({ ref, token, variables }, facts) => {
  const filled = fillIn(Object.keys(variables).length === 0 ? variablesDefault : variables, facts);
  return [{ method: 'POST', path: '/trigger/pipeline', headers: jsonHeaders, body: { token, ref, variables: filled } }];
};
