import { expect, test } from 'vitest';
import { hostOf } from './channel.ts';
import { issuerUrl } from './identity-provider.ts';
import { isLoopback } from './loopback.ts';

test.each([
  ['localhost:7420', 'localhost', true],
  ['127.0.0.1:7420', '127.0.0.1', true],
  ['127.9.9.9:1', '127.9.9.9', true],
  ['[::1]:7420', '::1', true],
  ['coordinator.example:443', 'coordinator.example', false],
  ['127.0.0.1.example:443', '127.0.0.1.example', false],
  ['localhost.example:443', 'localhost.example', false],
])('finds the host of %s', (address, host, loopback) => {
  expect(hostOf(address)).toBe(host);
  expect(isLoopback(host)).toBe(loopback);
});

test.each(['localhost', ':7420', 'http://localhost:7420', 'a:b', '::1:7420', ''])(
  'refuses the address %j',
  (address) => {
    expect(() => hostOf(address)).toThrow('is not an address');
  },
);

test.each(['https://id.example/realm', 'http://127.0.0.1:7490', 'http://localhost:7490', 'http://[::1]:7490'])(
  'takes the issuer %s',
  (issuer) => {
    expect(issuerUrl(issuer).href).toContain(issuer);
  },
);

test.each(['http://id.example', 'http://127.0.0.1.example', 'ftp://localhost', 'file:///etc/passwd'])(
  'refuses the issuer %s',
  (issuer) => {
    expect(() => issuerUrl(issuer)).toThrow('must be an https URL');
  },
);
