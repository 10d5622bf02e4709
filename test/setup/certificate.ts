import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generate } from 'selfsigned';

/** A certificate of 127.0.0.1 and its key, as PEM and as files; it is its own authority. */
export interface TestCertificate {
  readonly certificate: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** Makes a certificate and writes it into a directory, over the one that may be there. */
export async function writeTestCertificate(directory: string, name = 'node'): Promise<TestCertificate> {
  const { cert: certificate, private: key } = await generate([{ name: 'commonName', value: name }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate: new Date(Date.now() - 86_400_000),
    extensions: [
      { name: 'basicConstraints', cA: true },
      { name: 'keyUsage', digitalSignature: true, keyCertSign: true },
      { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
      {
        name: 'subjectAltName',
        altNames: [
          { type: 7, ip: '127.0.0.1' },
          { type: 2, value: 'localhost' },
        ],
      },
    ],
  });
  const [certFile, keyFile] = [join(directory, `${name}.crt`), join(directory, `${name}.key`)];
  await Promise.all([writeFile(certFile, certificate), writeFile(keyFile, key, { mode: 0o600 })]);
  return { certificate, key, certFile, keyFile };
}
