import { type ExecFileException, execFile } from 'node:child_process';
import { promisify } from 'node:util';

export interface ProgramResult {
  readonly code: number;
  /** What it wrote, both streams. */
  readonly text: string;
}

/** Runs a program to its end; one that fails is an answer, one that is not there rejects. */
export async function runProgram(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<ProgramResult> {
  try {
    const { stdout, stderr } = await promisify(execFile)(program, args, { env, maxBuffer: 16 * 1024 * 1024 });
    return { code: 0, text: `${stdout}${stderr}` };
  } catch (error) {
    const { code, stdout, stderr } = error as ExecFileException;
    if (typeof code !== 'number') throw error;
    return { code, text: `${stdout}${stderr}` };
  }
}
