import { describe, expect, it, test } from 'vitest';
import { createAddressCheck, isLocalName, localAddresses, parseNetwork } from './addresses.ts';

describe('without allowed networks', () => {
  const isAllowed = createAddressCheck([]);

  it.each(['93.184.216.34', '8.8.8.8', '2606:2800:220:1:248:1893:25c8:1946', '2a00:1450:4001:81b::200e'])(
    'allows %s of the Internet',
    (address) => expect(isAllowed(address)).toBe(true),
  );

  it.each([
    ['loopback', ['127.0.0.1', '127.1.2.3', '::1']],
    ['unspecified', ['0.0.0.0', '0.1.2.3', '::']],
    ['private', ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1']],
    ['shared by carriers, with a metadata service', ['100.64.0.1', '100.100.100.200']],
    ['link-local, with most metadata services', ['169.254.169.254', '169.254.170.2', 'fe80::1', 'fe80::1%eth0']],
    ['unique local, with a metadata service', ['fc00::1', 'fd00:ec2::254']],
    ['site-local of old', ['fec0::1']],
    ['multicast', ['224.0.0.1', '239.255.255.250', 'ff02::1']],
    ['broadcast and reserved', ['255.255.255.255', '240.0.0.1', '192.0.0.192']],
    ['for documentation and benchmarks', ['192.0.2.1', '198.51.100.1', '203.0.113.1', '198.18.0.1', '2001:db8::1']],
    ['IPv4 as IPv6', ['::ffff:127.0.0.1', '::ffff:10.0.0.1', '::ffff:a9fe:a9fe', '::127.0.0.1']],
    ['translated to IPv4', ['64:ff9b::7f00:1', '64:ff9b:1::a00:1', '2002:7f00:1::', '2001:0:7f00:1::']],
    ['a metadata service among public ones', ['168.63.129.16', '::ffff:168.63.129.16']],
    ['no address', ['', 'localhost', '127.1', '0x7f000001', '2130706433', '1.2.3.4.5', '[::1]', '127.0.0.1:80']],
  ])('refuses addresses that are %s', (_, addresses) => {
    expect(addresses.filter(isAllowed)).toEqual([]);
  });
});

test('allowed networks hold also for IPv4 addresses that are written as IPv6', () => {
  const isAllowed = createAddressCheck(['10.1.0.0/16', 'fd00::/8', '127.0.0.1'].map(parseNetwork));
  const addresses = ['10.1.2.3', '::ffff:10.1.2.3', 'fd00::5', '127.0.0.1', '10.2.0.1', 'fc00::1', '127.0.0.2', '::1'];
  expect(addresses.filter(isAllowed)).toEqual(['10.1.2.3', '::ffff:10.1.2.3', 'fd00::5', '127.0.0.1']);
});

test.each(['', 'localhost', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/-1', 'fd00::/129', '10.1/16', '1.2.3.4/8/8'])(
  '%j is no network',
  (text) => expect(() => parseNetwork(text)).toThrow('is no network'),
);

test.each([
  [
    ['127.0.0.0/8', '::1'],
    ['127.0.0.1', '::1'],
  ],
  [['127.0.0.0/8'], ['127.0.0.1']],
  [['::1'], ['::1']],
  [['127.0.0.2', '10.0.0.0/8'], []],
])('with %j a name of this machine stands for %j', (networks, expected) => {
  expect(localAddresses(createAddressCheck(networks.map(parseNetwork)))).toEqual(expected);
});

test('names of this machine are known, and others are not taken for one', () => {
  const names = ['localhost', 'a.localhost', 'LOCALHOST.', 'localhost.example.com', 'notlocalhost'];
  expect(names.filter(isLocalName)).toEqual(['localhost', 'a.localhost', 'LOCALHOST.']);
});
