import { jsonHeaders } from './format.ts';

export const githubHeaders = {
  ...jsonHeaders,
  accept: 'application/vnd.github+json',
  'x-github-api-version': '2022-11-28',
};
