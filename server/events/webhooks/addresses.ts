import { Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** A block of addresses, such as `10.1.0.0/16`. */
export type Network = readonly [ipaddr.IPv4 | ipaddr.IPv6, number];

/** Throws what is wrong with it. */
export function parseNetwork(text: string): Network {
  const [address = '', bits] = text.split('/');
  if (isIP(address) === 0) throw new Error(`${JSON.stringify(text)} is no network such as 10.1.0.0/16 or fd00::/8`);
  try {
    return bits === undefined ? ipaddr.parseCIDR(`${text}/${isIP(address) === 4 ? 32 : 128}`) : ipaddr.parseCIDR(text);
  } catch {
    throw new Error(`${JSON.stringify(text)} is no network such as 10.1.0.0/16 or fd00::/8`);
  }
}

/** Whether requests may go to an address. */
export type AddressCheck = (address: string) => boolean;

/** What looks public and is not: the metadata service of Azure. */
const refusedAddresses = new Set(['168.63.129.16']);
/** All of IPv6 that is routed on the Internet. */
const globalUnicast = ipaddr.parseCIDR('2000::/3');

/**
 * Allows addresses of the Internet, and those of the allowed networks. Everything with a meaning of its own is refused:
 * loopback, private, shared, link-local (where metadata services are), multicast, documentation, and IPv6 addresses that
 * carry an IPv4 address, because a gateway may take them for that one.
 */
export function createAddressCheck(allowed: readonly Network[]): AddressCheck {
  return (text) => {
    if (isIP(text) === 0 || text.includes('%')) return false;
    // An IPv4 address in the clothes of IPv6 reaches the IPv4 address.
    const address = ipaddr.process(text);
    if (allowed.some(([network, bits]) => network.kind() === address.kind() && address.match(network, bits)))
      return true;
    if (address.range() !== 'unicast' || refusedAddresses.has(address.toString())) return false;
    return address.kind() === 'ipv4' || address.match(...globalUnicast);
  };
}

/** Finds the addresses of a name; rejects when it has none. */
export type Resolve = (hostname: string) => Promise<readonly string[]>;

const resolveMsMax = 2_000;

/**
 * Asks the name servers. Not the operating system: that has few threads for it, which one name whose servers do not
 * answer would keep from everybody else.
 */
export const resolveName: Resolve = async (hostname) => {
  const resolver = new Resolver({ timeout: resolveMsMax, tries: 2 });
  const answers = await Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)]);
  const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  if (addresses.length > 0) return addresses;
  for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
  throw new Error(`${hostname} has no address`);
};

/** RFC 6761: such names mean this machine, whatever name servers say; they stand for its `localAddresses`. */
export function isLocalName(hostname: string): boolean {
  return /(^|\.)localhost\.?$/i.test(hostname);
}

/** Those of this machine's own addresses that requests may go to: whoever allows one need not allow all. */
export function localAddresses(isAllowed: AddressCheck): readonly string[] {
  return ['127.0.0.1', '::1'].filter(isAllowed);
}
