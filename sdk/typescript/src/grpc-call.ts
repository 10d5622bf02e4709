import {
  type DescMessage,
  type DescMethodBiDiStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import type { Client, ClientDuplexStream, CallOptions as GrpcCallOptions } from '@grpc/grpc-js';
import { Metadata } from '@grpc/grpc-js';
import { errorOf } from './error-details.ts';

/** What a call needs besides its message. */
export interface CallContext {
  readonly token: string;
  readonly signal?: AbortSignal | undefined;
  /** Wall-clock time in ms after which the call fails with DEADLINE_EXCEEDED. */
  readonly deadline?: number | undefined;
}

/** One request, one answer. Rejects with DstcError, or with the signal's reason once that is aborted. */
export function callUnary<I extends DescMessage, O extends DescMessage>(
  channel: Client,
  method: DescMethodUnary<I, O>,
  request: MessageShape<I>,
  context: CallContext,
): Promise<MessageShape<O>> {
  return new Promise((resolve, reject) => {
    const { signal } = context;
    signal?.throwIfAborted();
    const call = channel.makeUnaryRequest(
      pathOf(method),
      serializer(method.input),
      deserializer(method.output),
      request,
      metadataOf(context),
      optionsOf(context),
      (error, response) => {
        signal?.removeEventListener('abort', cancel);
        if (response !== undefined) resolve(response);
        else reject(signal?.aborted ? signal.reason : errorOf(error));
      },
    );
    const cancel = () => call.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
  });
}

/** One request, many answers; reading slowly slows the server down. Leaving the loop cancels the call. */
export async function* callServerStream<I extends DescMessage, O extends DescMessage>(
  channel: Client,
  method: DescMethodServerStreaming<I, O>,
  request: MessageShape<I>,
  context: CallContext,
): AsyncGenerator<MessageShape<O>, void, undefined> {
  const { signal } = context;
  signal?.throwIfAborted();
  const call = channel.makeServerStreamRequest(
    pathOf(method),
    serializer(method.input),
    deserializer(method.output),
    request,
    metadataOf(context),
    optionsOf(context),
  );
  const cancel = () => call.cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    for await (const message of call) yield message;
  } catch (error) {
    throw signal?.aborted ? signal.reason : errorOf(error);
  } finally {
    signal?.removeEventListener('abort', cancel);
    // A cancelled call reports that as an error, which nobody waits for any more.
    call.on('error', () => undefined);
    call.cancel();
  }
}

/**
 * Both ways at once. `write` answers false when the peer or the network is behind: then wait for `drain`. The caller
 * must listen for `error`, and turns what it gets into a DstcError with `errorOf`.
 */
export function openBidiStream<I extends DescMessage, O extends DescMessage>(
  channel: Client,
  method: DescMethodBiDiStreaming<I, O>,
  context: CallContext,
): ClientDuplexStream<MessageShape<I>, MessageShape<O>> {
  return channel.makeBidiStreamRequest(
    pathOf(method),
    serializer(method.input),
    deserializer(method.output),
    metadataOf(context),
    optionsOf(context),
  );
}

function pathOf(method: { readonly name: string; readonly parent: { readonly typeName: string } }): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function serializer<D extends DescMessage>(schema: D) {
  return (message: MessageShape<D>): Buffer => {
    const bytes = toBinary(schema, message);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

function deserializer<D extends DescMessage>(schema: D) {
  return (bytes: Buffer): MessageShape<D> => fromBinary(schema, bytes);
}

function metadataOf({ token }: CallContext): Metadata {
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}

function optionsOf({ deadline }: CallContext): GrpcCallOptions {
  return deadline === undefined ? {} : { deadline };
}
