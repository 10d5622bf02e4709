import { create, type DescMessage, type MessageShape } from '@bufbuild/protobuf';
import {
  Failed_ItemSchema,
  FailedSchema,
  type LeaseRef,
  LeaseRefSchema,
  type Settlement,
  Succeeded_ItemSchema,
  SucceededSchema,
} from '@dstc/contract/dstc/v1/worker_pb';
import { type WorkRequest, WorkRequestSchema } from '@dstc/contract/dstc/v1/worker_service_pb';
import { DstcError } from '../../domain/errors.ts';
import { fenceOf, toRefusal } from '../convert/lease.ts';
import { validateMessage } from '../validate.ts';

/**
 * The messages of a stream that keep to the contract. Of reports that break it, only those are refused: with the whole
 * stream, the worker would lose its other reports and send this one again on the next stream. Anything else that breaks
 * the contract ends the stream.
 */
export async function* soundMessages(
  requests: AsyncIterable<WorkRequest>,
  refuse: (settlement: Settlement) => void,
): AsyncGenerator<WorkRequest> {
  // The first one is Hello, and nothing can be refused before it was answered.
  let isFirst = true;
  for await (const request of requests) {
    try {
      validateMessage(WorkRequestSchema, request);
    } catch (error) {
      if (isFirst || !keepSoundReports(request, refuse)) throw error;
    }
    isFirst = false;
    yield request;
  }
}

/** Takes the reports out of a message that break the contract; false when that is not what is wrong with it. */
function keepSoundReports(request: WorkRequest, refuse: (settlement: Settlement) => void): boolean {
  const { message } = request;
  let refusals: readonly Settlement[];
  if (message.case === 'succeeded') {
    const { kept, refused } = sift(Succeeded_ItemSchema, message.value.items);
    request.message = { case: message.case, value: create(SucceededSchema, { items: kept }) };
    refusals = refused;
  } else if (message.case === 'failed') {
    const { kept, refused } = sift(Failed_ItemSchema, message.value.items);
    request.message = { case: message.case, value: create(FailedSchema, { items: kept }) };
    refusals = refused;
  } else return false;
  if (refusals.length === 0) return false;
  // There need not be any left.
  if (request.message.value.items.length > 0) validateMessage(WorkRequestSchema, request);
  for (const refusal of refusals) refuse(refusal);
  return true;
}

function sift<Desc extends DescMessage>(
  schema: Desc,
  items: readonly (MessageShape<Desc> & { readonly lease?: LeaseRef | undefined })[],
) {
  const refused: Settlement[] = [];
  const kept = items.filter((item) => {
    const refusal = refusalOf(schema, item);
    if (refusal !== undefined) refused.push(refusal);
    return refusal === undefined;
  });
  return { kept, refused };
}

/** Undefined for one that is sound, and for one that nobody could be told of: that ends the stream. */
function refusalOf<Desc extends DescMessage>(
  schema: Desc,
  item: MessageShape<Desc> & { readonly lease?: LeaseRef | undefined },
): Settlement | undefined {
  try {
    validateMessage(schema, item);
    return undefined;
  } catch (error) {
    if (!(error instanceof DstcError) || item.lease === undefined) return undefined;
    if (!isSound(item.lease)) return undefined;
    return toRefusal(fenceOf(item.lease), error);
  }
}

function isSound(lease: LeaseRef): boolean {
  try {
    validateMessage(LeaseRefSchema, lease);
    return true;
  } catch {
    return false;
  }
}
