import { create, type DescMessage, getOption, hasOption } from '@bufbuild/protobuf';
import { nestedTypes } from '@bufbuild/protobuf/reflect';
import { createValidator } from '@bufbuild/protovalidate';
import { field } from '@dstc/contract/buf/validate/validate_pb';
import { file_dstc_v1_event_rule } from '@dstc/contract/dstc/v1/event_rule_pb';
import { file_dstc_v1_event_rule_service } from '@dstc/contract/dstc/v1/event_rule_service_pb';
import { file_dstc_v1_event_service } from '@dstc/contract/dstc/v1/event_service_pb';
import { file_dstc_v1_namespace_service } from '@dstc/contract/dstc/v1/namespace_service_pb';
import { file_dstc_v1_payload } from '@dstc/contract/dstc/v1/payload_pb';
import { file_dstc_v1_task_filter } from '@dstc/contract/dstc/v1/task_filter_pb';
import { file_dstc_v1_task } from '@dstc/contract/dstc/v1/task_pb';
import { file_dstc_v1_task_service, SubmitTaskRequestSchema } from '@dstc/contract/dstc/v1/task_service_pb';
import { file_dstc_v1_task_type } from '@dstc/contract/dstc/v1/task_type_pb';
import { file_dstc_v1_task_type_service } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { file_dstc_v1_webhook } from '@dstc/contract/dstc/v1/webhook_pb';
import { file_dstc_v1_webhook_service } from '@dstc/contract/dstc/v1/webhook_service_pb';
import { file_dstc_v1_worker } from '@dstc/contract/dstc/v1/worker_pb';
import { file_dstc_v1_worker_service } from '@dstc/contract/dstc/v1/worker_service_pb';
import { expect, test } from 'vitest';
import { inWords } from './pattern-words.ts';
import { validateMessage } from './validate.ts';

const files = [
  file_dstc_v1_event_rule,
  file_dstc_v1_event_rule_service,
  file_dstc_v1_event_service,
  file_dstc_v1_namespace_service,
  file_dstc_v1_payload,
  file_dstc_v1_task,
  file_dstc_v1_task_filter,
  file_dstc_v1_task_service,
  file_dstc_v1_task_type,
  file_dstc_v1_task_type_service,
  file_dstc_v1_webhook,
  file_dstc_v1_webhook_service,
  file_dstc_v1_worker,
  file_dstc_v1_worker_service,
];

const patterns = new Set(files.flatMap((file) => [...nestedTypes(file)].flatMap(patternsOf)));

test('has no pattern that some text makes slow', () => {
  expect(patterns.size).toBeGreaterThan(5);
  // Each of these matches a repetition of some pattern again and again, until its last character spoils it.
  const units = ['a', '.', 'a.', '.a', 'a-', '_a', 'a/', 'a/a; a=a', '; a=a', ';a=', ' ', 'é', '\u{1f600}'];
  for (const pattern of patterns) {
    const compiled = new RegExp(pattern, 'u');
    for (const unit of units) {
      for (const start of ['', 'a', 'a/a']) {
        const text = `${start}${unit.repeat(4_096 / unit.length)}\n`;
        const startMs = performance.now();
        compiled.test(text);
        // A backtracking one would take minutes or millennia; these take microseconds.
        expect(performance.now() - startMs, `${pattern} on ${JSON.stringify(unit)}`).toBeLessThan(100);
      }
    }
  }
});

test('says in words what each pattern asks for', () => {
  const message = (pattern: string) => `does not match regex pattern \`${pattern}\``;
  expect([...patterns].filter((pattern) => inWords(message(pattern)) === message(pattern))).toEqual([]);
  const request = create(SubmitTaskRequestSchema, { type: 'a b', namespace: 'A', labels: { 'a b': '\n' } });
  expect(() => validateMessage(SubmitTaskRequestSchema, request)).toThrow(
    /^namespace: is no namespace: lower-case .*; type: is no name: letters, .*; labels\["a b"\]: key: is no label key: /,
  );
});

test('agrees with the engine of the library', () => {
  const reference = createValidator();
  const texts = [
    '',
    'a',
    'a.b',
    'a..b',
    '.a',
    'a b',
    'é',
    'a\n',
    '\n',
    'a\u0000',
    '\u{1f600}',
    'A-9_z.x',
    '~',
    '\u007f',
    'a/b; c=d',
  ];
  for (const text of texts) {
    for (const message of [
      create(SubmitTaskRequestSchema, { type: text }),
      create(SubmitTaskRequestSchema, { type: 'a', namespace: text }),
      create(SubmitTaskRequestSchema, { type: 'a', idempotencyKey: text }),
      create(SubmitTaskRequestSchema, { type: 'a', labels: { [text]: text } }),
      create(SubmitTaskRequestSchema, { type: 'a', input: { contentType: text } }),
    ]) {
      const isValid = reference.validate(SubmitTaskRequestSchema, message).kind === 'valid';
      const validate = () => validateMessage(SubmitTaskRequestSchema, message);
      if (isValid) validate();
      else expect(validate, JSON.stringify(text)).toThrow();
    }
  }
});

test('refuses text of any length where there is a pattern', () => {
  const type = 'a'.repeat(8 * 1024 * 1024);
  expect(() => validateMessage(SubmitTaskRequestSchema, create(SubmitTaskRequestSchema, { type }))).toThrow(/type: /);
});

function patternsOf(type: { readonly kind: string }): string[] {
  if (type.kind !== 'message') return [];
  return (type as DescMessage).fields.flatMap((described) =>
    hasOption(described, field) ? patternsWithin(getOption(described, field)) : [],
  );
}

function patternsWithin(rules: unknown): string[] {
  if (typeof rules !== 'object' || rules === null) return [];
  return Object.entries(rules).flatMap(([name, value]) =>
    name === 'pattern' && typeof value === 'string' && value !== '' ? [value] : patternsWithin(value),
  );
}
