import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { type FieldViolation, fieldInvalid } from './errors.ts';
import { limits } from './limits.ts';

/** Checks a value; answers with what is wrong, or with nothing. */
export type JsonCheck = (value: unknown) => readonly FieldViolation[];

/**
 * Compiles a JSON Schema (2020-12). Each schema has an instance of its own, so that the `$id`s of one tenant mean
 * nothing to another. References outside the schema are not followed.
 */
export function compileSchema(field: string, text: string): JsonCheck {
  if (text.length > limits.schemaCharactersMax) {
    throw fieldInvalid(field, `is longer than the ${limits.schemaCharactersMax} characters allowed`);
  }
  // Stops at the first error: an input of two MiB must not grow into a list of a million errors.
  const ajv = new Ajv2020({ strict: false, allErrors: false, logger: false });
  addFormats.default(ajv);
  let validate: ReturnType<typeof ajv.compile>;
  try {
    validate = ajv.compile(JSON.parse(text) as object);
  } catch (error) {
    throw fieldInvalid(field, `is not a JSON Schema (2020-12): ${error instanceof Error ? error.message : error}`);
  }
  // An extension of Ajv: the check would answer with a promise, which stands for yes whatever it comes to.
  if ('$async' in validate) throw fieldInvalid(field, 'is not a JSON Schema (2020-12): $async is not a keyword');
  return (value) => {
    try {
      return validate(value) ? [] : (validate.errors ?? []).map(violation);
    } catch (error) {
      // A schema that refers to itself goes as deep as the value.
      if (!(error instanceof RangeError)) throw error;
      return [{ field: '/', description: 'is nested too deeply to be checked' }];
    }
  };
}

function violation(error: ErrorObject): FieldViolation {
  const detail = error.keyword === 'additionalProperties' ? `: ${String(error.params.additionalProperty)}` : '';
  return { field: error.instancePath || '/', description: `${error.message ?? 'does not match the schema'}${detail}` };
}
