/** Where to connect next: first where the last coordinator sent the worker, then around the configured ones. */
export class Addresses {
  readonly #configured: readonly string[];
  #hints: string[] = [];
  #index: number;

  constructor(configured: readonly string[], random: () => number = Math.random) {
    if (configured.length === 0) throw new TypeError('a worker needs at least one address');
    this.#configured = configured;
    // Workers of one configuration spread over its coordinators.
    this.#index = Math.floor(random() * configured.length);
  }

  next(): string {
    const hint = this.#hints.shift();
    if (hint !== undefined) return hint;
    const address = this.#configured[this.#index % this.#configured.length];
    this.#index += 1;
    if (address === undefined) throw new Error('an index within the addresses has no address');
    return address;
  }

  /** Whether there is anywhere to go but to the given address. */
  suggest(hints: readonly string[], current: string): boolean {
    this.#hints = hints.filter((address) => address !== current);
    return this.#hints.length > 0 || this.#configured.some((address) => address !== current);
  }
}
