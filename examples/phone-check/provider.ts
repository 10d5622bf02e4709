/** A phone number that can be in use. */
interface PhoneNumber {
  /** `+442079460958`, without an extension. */
  readonly e164: string;
  /** `+44 20 7946 0100 x55`: groups parted by spaces, with the extension. */
  readonly international: string;
  /** ISO 3166 region; null for numbers of no country, such as +800. */
  readonly country: string | null;
  readonly type: string;
}

/** What a provider can say about a number. */
export type Finding =
  | { readonly kind: 'valid'; readonly number: PhoneNumber }
  | { readonly kind: 'invalid' }
  /** A national number, and no country to read it in. */
  | { readonly kind: 'country-unknown' }
  /** This provider cannot read it; another one might. */
  | { readonly kind: 'incapable'; readonly why: string };

/** A library or a service that knows phone numbers. All providers give the same finding or say that they cannot. */
export interface PhoneProvider {
  readonly name: string;
  readonly find: (written: string, country: string | undefined) => Finding;
}

/** Whether the number itself says which country it belongs to: a plus sign, also full-width, or a `phone-context`. */
export function hasCountryCode(written: string): boolean {
  return /^\s*(tel:)?[\s(]*[+＋]|;phone-context=\+/i.test(written);
}
