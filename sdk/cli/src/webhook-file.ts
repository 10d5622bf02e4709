import type { WebhookDefinition } from '@dstc/sdk';
import { parseDocument } from 'yaml';
import { UsageError } from './exit.ts';

/** What is in a file, and the etag of the version that was read when it has one. */
export type WebhookFile = WebhookDefinition & { readonly etag?: string };

const settable = ['url', 'description', 'filter', 'headers', 'secretHeaders', 'format', 'disabled', 'etag'];
/** The coordinator sets these; a webhook that was read brings them. */
const ignored = ['id', 'namespace', 'creator', 'disabledReason', 'createTime', 'updateTime', 'status', 'secret'];

/** Reads a webhook from YAML or JSON. What `dstc webhook get -o json` prints can be read back. */
export function parseWebhookFile(name: string, text: string): WebhookFile {
  const document = parseDocument(text);
  const [error] = document.errors;
  if (error !== undefined) throw new UsageError(`${name}: ${error.message.split('\n')[0]}`);
  const value: unknown = document.toJS();
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UsageError(`${name}: a webhook must be a mapping of names to values`);
  }
  const fields = Object.entries(value).filter(([field, content]) => !ignored.includes(field) && content !== null);
  for (const [field] of fields) {
    if (!settable.includes(field)) {
      throw new UsageError(`${name}: ${field}: there is no such field; there are ${settable.join(', ')}`);
    }
  }
  const webhook = Object.fromEntries(fields);
  if (typeof webhook.url !== 'string' || webhook.url === '')
    throw new UsageError(`${name}: url: every webhook needs one`);
  return webhook as unknown as WebhookFile;
}
