import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { pathToString } from '@bufbuild/protobuf/reflect';
import { createValidator, type Violation } from '@bufbuild/protovalidate';
import { DstcError, type FieldViolation } from '../domain/errors.ts';
import { inWords } from './pattern-words.ts';

const violationsMax = 50;
/** Longer than any text of the contract that has a pattern; such text breaks a rule of length as well. */
const patternTextMax = 4_096;

/** Hold compiled rules and nothing else. */
const patterns = new Map<string, RegExp>();
const validator = createValidator({ regexMatch });

/** Throws FIELD_INVALID with every field that breaks a rule of the contract. */
export function validateMessage<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): void {
  const result = validator.validate(schema, message);
  if (result.kind === 'valid') return;
  if (result.kind === 'error') throw result.error;
  const violations = result.violations.slice(0, violationsMax).map(fieldViolation);
  const named = violations
    .slice(0, 3)
    .map(({ field, description }) => (field === '' ? description : `${field}: ${description}`));
  const rest = result.violations.length - named.length;
  throw new DstcError('FIELD_INVALID', `${named.join('; ')}${rest > 0 ? `; and ${rest} more` : ''}`, { violations });
}

/** Compiles the rules of a message ahead of its first call; that takes tens of milliseconds. */
export function warmUpValidation(schema: DescMessage, message: MessageShape<DescMessage>): void {
  const result = validator.validate(schema, message);
  if (result.kind === 'error') throw result.error;
}

/**
 * The patterns of the contract, on the platform's engine, which takes a tenth of the time of the library's own. That one
 * is for patterns that nobody has looked at; ours take linear time, as the test of this file shows.
 */
function regexMatch(pattern: string, text: string): boolean {
  if (text.length > patternTextMax) return false;
  let compiled = patterns.get(pattern);
  if (compiled === undefined) {
    compiled = new RegExp(pattern, 'u');
    patterns.set(pattern, compiled);
  }
  return compiled.test(text);
}

function fieldViolation(violation: Violation): FieldViolation {
  const field = pathToString(violation.field);
  const description = violation.message === '' ? `breaks the rule ${violation.ruleId}` : inWords(violation.message);
  return { field, description: violation.forKey ? `key: ${description}` : description };
}
