import { type DescFile, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import type { ServiceImplSpec } from '@connectrpc/connect';
import type { Server } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';

/** Serves the contract itself (v1 and v1alpha), so that generic clients need no files. It is public anyway. */
export function addReflection(server: Server, services: readonly ServiceImplSpec[]): void {
  const files = new Map<string, DescFile>();
  for (const { service } of services) collect(service.file, files);
  const fileDescriptorProtos = [...files.values()].map((file) =>
    Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)),
  );
  // The library wants what proto-loader makes of files; of that it reads only the descriptors.
  const contract = { format: 'Protocol Buffer 3 EnumDescriptorProto' as const, type: {}, fileDescriptorProtos };
  new ReflectionService({ contract }, { services: services.map(({ service }) => service.typeName) }).addToServer(
    server,
  );
}

function collect(file: DescFile, files: Map<string, DescFile>): void {
  if (files.has(file.name)) return;
  files.set(file.name, file);
  for (const dependency of file.dependencies) collect(dependency, files);
}
