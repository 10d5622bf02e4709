import { fileURLToPath } from 'node:url';
import type { Submission, Task, TaskTypeDefinition } from '@dstc/sdk';
import type { CheckNumberOutput } from '../../../examples/phone-check/check-number.ts';
import { numberRows, phoneCheckTasks } from '../../../examples/phone-check/tasks.ts';
import { phoneCheckType } from '../../../examples/phone-check/type.ts';
import type { PhotoMetadata } from '../../../examples/photo-metadata/read-metadata.ts';
import { photoMetadataTasks } from '../../../examples/photo-metadata/tasks.ts';
import { photoMetadataType } from '../../../examples/photo-metadata/type.ts';

/** A story to be told by the start: tasks of one type, and who does them. */
export interface Example {
  readonly about: string;
  readonly workers: readonly ExampleWorker[];
  readonly type: () => Promise<TaskTypeDefinition>;
  readonly tasks: () => Promise<readonly ExampleTask[]>;
}

export interface ExampleWorker {
  /** As it calls itself in its label `name`. */
  readonly name: string;
  /** File and arguments. */
  readonly args: readonly string[];
}

export interface ExampleTask {
  /** The input, for people. */
  readonly title: string;
  readonly submission: Submission;
  /** The output, in short. */
  readonly outcome: (output: unknown) => string;
  /** Whether a task that has ended did so as it should. */
  readonly isAsExpected: (task: Task) => boolean;
}

const file = (path: string) => fileURLToPath(new URL(`../../../examples/${path}`, import.meta.url));

export const examples: readonly Example[] = [
  {
    about: 'phone numbers as people write them',
    workers: ['libphonenumber-js', 'google-libphonenumber'].map((provider) => ({
      name: `phone-check ${provider}`,
      args: [file('phone-check/worker.ts'), '--provider', provider],
    })),
    type: phoneCheckType,
    tasks: phoneCheckStory,
  },
  {
    about: 'photos',
    workers: [{ name: 'photo-metadata', args: [file('photo-metadata/worker.ts')] }],
    type: photoMetadataType,
    tasks: photoMetadataStory,
  },
];

async function phoneCheckStory(): Promise<readonly ExampleTask[]> {
  const [tasks, rows] = await Promise.all([phoneCheckTasks(), numberRows()]);
  return tasks.map(({ expect, ...submission }, index) => {
    const { number, country = '' } = submission.input;
    const expected = rows[index]?.expected;
    return {
      title: country === '' ? number : `${number} (${country})`,
      submission,
      outcome(output) {
        const { valid, e164, type, country: region } = output as CheckNumberOutput;
        if (!valid) return 'not a number in use';
        return [e164, type?.toLowerCase().replaceAll('_', ' '), region].filter(Boolean).join(', ');
      },
      isAsExpected(task) {
        if (task.state !== expect) return false;
        if (task.state === 'FAILED') return task.error?.code === expected;
        const { e164 } = task.output as CheckNumberOutput;
        return (e164 ?? 'invalid') === expected;
      },
    };
  });
}

async function photoMetadataStory(): Promise<readonly ExampleTask[]> {
  return (await photoMetadataTasks()).map(({ expect, ...submission }) => ({
    title: submission.labels.photo,
    submission,
    outcome(output) {
      const { make, model, takenAt, gps } = output as PhotoMetadata;
      const where = gps === null ? undefined : `${gps.latitude.toFixed(4)}, ${gps.longitude.toFixed(4)}`;
      return [[make, model].filter(Boolean).join(' '), takenAt, where].filter(Boolean).join('; ') || 'nothing written';
    },
    isAsExpected: (task) => task.state === expect,
  }));
}
