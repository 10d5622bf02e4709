import { randomUUID } from 'node:crypto';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type SubmitTaskRequest,
  SubmitTaskRequestSchema,
  type SubmitTaskResponse,
  SubmitTaskResponseSchema,
} from '@dstc/contract/dstc/v1/task_service_pb';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { accessFor } from './access.ts';
import { runCallers } from './callers.ts';
import { input } from './input.ts';
import { runLoad, settings } from './parent.ts';

// Single SubmitTask calls from the contract over one grpc-js connection, as any language would make them.
const { seconds, taskType } = settings();
const { address, credentials: tokens } = accessFor('producer');
const channel = new Client(address, credentials.createInsecure());
const data = Buffer.from(JSON.stringify(input()));

runLoad(async () => {
  try {
    return await runCallers(seconds, submit);
  } finally {
    channel.close();
  }
});

async function submit(): Promise<SubmitTaskResponse> {
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${await tokens.token()}`);
  const request = create(SubmitTaskRequestSchema, {
    type: taskType,
    input: { value: { case: 'data', value: data } },
    idempotencyKey: randomUUID(),
  });
  return new Promise((resolve, reject) => {
    channel.makeUnaryRequest<SubmitTaskRequest, SubmitTaskResponse>(
      '/dstc.v1.TaskService/SubmitTask',
      (message) => Buffer.from(toBinary(SubmitTaskRequestSchema, message)),
      (bytes) => fromBinary(SubmitTaskResponseSchema, bytes),
      request,
      metadata,
      (error, response) => (response === undefined ? reject(error) : resolve(response)),
    );
  });
}
