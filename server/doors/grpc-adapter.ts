import {
  create,
  type DescMessage,
  fromBinary,
  type Message,
  type MessageInitShape,
  toBinary,
} from '@bufbuild/protobuf';
import type { HandlerContext, MethodImplSpec, ServiceImplSpec } from '@connectrpc/connect';
import {
  Metadata,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
  type UntypedHandleCall,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { DstcError } from '../domain/errors.ts';
import { abortReason } from './deadline.ts';
import type { DoorLimits } from './door-limits.ts';
import { type ErrorDeps, messageTooLarge, toConnectError } from './errors.ts';
import type { Arrival, Arrivals } from './grpc-arrivals.ts';
import { createGrpcContext, type GrpcContext } from './grpc-context.ts';
import { statusOf } from './grpc-status.ts';
import { createGrpcWriter, type GrpcWriter } from './grpc-writer.ts';

export interface AdapterDeps extends ErrorDeps {
  readonly limits: DoorLimits;
  readonly arrivals: Arrivals;
}

type Output = MessageInitShape<DescMessage>;
type OutgoingStream = ServerWritableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>;

/** What grpc-js is told of a service: messages go through as bytes, so that nothing is parsed before the call is admitted. */
export function definitionOf({ service }: ServiceImplSpec): ServiceDefinition {
  return Object.fromEntries(
    service.methods.map((method) => [
      method.localName,
      {
        path: `/${service.typeName}/${method.name}`,
        requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
        responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
        requestSerialize: asIs,
        requestDeserialize: asIs,
        responseSerialize: asIs,
        responseDeserialize: asIs,
      },
    ]),
  );
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}

/** The handlers of a service, written for Connect, as grpc-js calls them. */
export function handlersOf(deps: AdapterDeps, { methods }: ServiceImplSpec): UntypedServiceImplementation {
  return Object.fromEntries(Object.entries(methods).map(([name, spec]) => [name, handlerOf(deps, spec)]));
}

function handlerOf(deps: AdapterDeps, spec: MethodImplSpec): UntypedHandleCall {
  switch (spec.kind) {
    case 'unary':
      return (call: ServerUnaryCall<Buffer, Buffer>, respond: sendUnaryData<Buffer>) => {
        const { arrival, context } = enter(deps, spec, call.metadata);
        unary(deps, spec, call.request, context).then(
          (bytes) => {
            const { header, trailer } = context.responseMetadata();
            if (header !== undefined) call.sendMetadata(header);
            arrival.stage = 'answered';
            respond(null, bytes, trailer);
          },
          (error: unknown) => {
            arrival.stage = 'answered';
            respond(statusOf(toConnectError(deps, error, arrival)));
          },
        );
      };
    case 'server_streaming':
      return (call: ServerWritableStream<Buffer, Buffer>) => {
        const { arrival, context } = enter(deps, spec, call.metadata);
        const writer = createGrpcWriter(deps.limits, arrival, call);
        void stream(deps, arrival, call, writer, async () => {
          for await (const output of spec.impl(parse(spec.method.input, call.request), context)) {
            await writer.write(serialize(deps.limits, spec.method.output, output));
          }
        });
      };
    case 'bidi_streaming':
      return (call: ServerDuplexStream<Buffer, Buffer>) => {
        const { arrival, context } = enter(deps, spec, call.metadata);
        const writer = createGrpcWriter(deps.limits, arrival, call);
        void stream(deps, arrival, call, writer, async () => {
          for await (const output of spec.impl(requestsOf(arrival, spec.method.input, call), context)) {
            await writer.write(serialize(deps.limits, spec.method.output, output));
          }
        });
      };
    case 'client_streaming':
      throw new Error(`${spec.method.name}: the gRPC door has no client streaming`);
  }
}

function enter(
  deps: AdapterDeps,
  spec: MethodImplSpec,
  metadata: Metadata,
): { arrival: Arrival; context: GrpcContext } {
  const arrival = deps.arrivals.of(metadata);
  arrival.stage = 'entered';
  return { arrival, context: createGrpcContext(arrival, spec, metadata) };
}

async function unary(
  deps: AdapterDeps,
  spec: MethodImplSpec & { readonly kind: 'unary' },
  request: Buffer,
  context: HandlerContext,
): Promise<Buffer> {
  const output = await spec.impl(parse(spec.method.input, request), context);
  return serialize(deps.limits, spec.method.output, output);
}

/** Runs a stream to its end and answers with its status. The headers go out first, so that the client knows it is served. */
async function stream(
  deps: AdapterDeps,
  arrival: Arrival,
  call: OutgoingStream,
  writer: GrpcWriter,
  run: () => Promise<void>,
): Promise<void> {
  call.sendMetadata(new Metadata());
  try {
    await run();
    await writer.flush(deps.limits.streamWriteDeadlineMs);
    arrival.stage = 'answered';
    call.end();
  } catch (error) {
    // With an error event the call is also destroyed by whoever iterates over its requests, and what it has not written
    // by then keeps it from ever sending its status: the client would believe that it is still served.
    await writer.flush(deps.limits.streamStatusMs);
    arrival.stage = 'answered';
    if (arrival.stream.closed) return;
    // grpc-js takes the status of a stream from its error event.
    call.emit(
      'error',
      Object.assign(new Error('the stream ends with a status'), statusOf(toConnectError(deps, error, arrival))),
    );
  }
}

async function* requestsOf(
  arrival: Arrival,
  schema: DescMessage,
  call: ServerDuplexStream<Buffer, Buffer>,
): AsyncGenerator<Message> {
  try {
    // The stream outlives the reading of it: a handler may stop reading and still answer.
    for await (const bytes of call.iterator({ destroyOnReturn: false })) yield parse(schema, bytes);
  } catch (error) {
    throw arrival.controller.signal.aborted ? abortReason(arrival.controller.signal) : error;
  }
  // A stream that was reset or lost its connection ends like one whose caller has said everything, only that it is closed
  // both ways.
  if (arrival.stream.closed) throw abortReason(arrival.controller.signal);
}

function parse(schema: DescMessage, bytes: Buffer): Message {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    throw new DstcError('FIELD_INVALID', `the message cannot be parsed as ${schema.typeName}`, { cause });
  }
}

function serialize(limits: DoorLimits, schema: DescMessage, output: Output): Buffer {
  const bytes = toBinary(schema, create(schema, output));
  if (bytes.byteLength > limits.messageBytesMax) throw messageTooLarge(limits.messageBytesMax);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
